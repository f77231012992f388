#include <algorithm>
#include <cmath>
#include <iterator>

#include "tools/plot/figures.hpp"

namespace ebm::tools {
namespace {

Range value_range(const SheetFigure& figure) {
  std::vector<float> values;
  for (const Sheet& sheet : figure.sheets) {
    std::ranges::copy_if(sheet.images.values(), std::back_inserter(values), [](float v) { return !std::isnan(v); });
  }
  if (values.empty()) return {0, 1};
  const auto quantile = [&](double share) {
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), at, values.end());
    return static_cast<double>(*at);
  };
  const double lo = quantile(0.005), hi = quantile(0.995);
  return hi > lo ? Range{lo, hi} : Range{lo - 0.5, lo + 0.5};
}

}  // namespace

Canvas draw_sheets(const SheetFigure& figure) {
  constexpr int kMargin = 14, kTitle = 24, kGap = 3, kBetween = 26;
  const int h = figure.image_height, w = figure.image_width;
  // Whole pixels per image pixel, so that an image of 8 x 8 becomes about 48 wide and one of 64 x 64 stays as it is.
  const int scale = std::clamp(48 / std::max(h, w), 1, 8);
  const int cell_w = w * scale + kGap, cell_h = h * scale + kGap;
  std::size_t most = 1;
  bool titles = false;
  for (const Sheet& sheet : figure.sheets) {
    most = std::max(most, sheet.images.rows());
    titles = titles || !sheet.title.empty();
  }
  const int per_row = figure.per_row > 0
                          ? figure.per_row
                          : static_cast<int>(std::ceil(std::sqrt(static_cast<double>(most) * cell_h / cell_w)));
  const int rows = static_cast<int>((most + static_cast<std::size_t>(per_row) - 1) / static_cast<std::size_t>(per_row));
  const int top = kMargin + (titles ? kTitle : 0), sheet_w = per_row * cell_w - kGap;
  const int sheets = static_cast<int>(figure.sheets.size());
  Canvas canvas(2 * kMargin + sheets * sheet_w + (sheets - 1) * kBetween, top + rows * cell_h - kGap + kMargin);

  const Range range = figure.range ? *figure.range : value_range(figure);
  for (int k = 0; k < sheets; ++k) {
    const Sheet& sheet = figure.sheets[static_cast<std::size_t>(k)];
    const int left = kMargin + k * (sheet_w + kBetween);
    canvas.text(sheet.title, {left + sheet_w / 2.0, top - 12.0}, kTitleSize, Align::center);
    for (std::size_t i = 0; i < sheet.images.rows(); ++i) {
      const int x0 = left + static_cast<int>(i % static_cast<std::size_t>(per_row)) * cell_w;
      const int y0 = top + static_cast<int>(i / static_cast<std::size_t>(per_row)) * cell_h;
      const auto image = sheet.images.row(i);
      for (int y = 0; y < h; ++y) {
        for (int x = 0; x < w; ++x) {
          const auto value = static_cast<double>(image[static_cast<std::size_t>(y * w + x)]);
          if (std::isnan(value)) continue;
          canvas.fill(x0 + x * scale, y0 + y * scale, scale, scale,
                      color_of(figure.colormap, (value - range.lo) / (range.hi - range.lo)));
        }
      }
      // A thin frame, so that an empty image is still seen to be one.
      const double l = x0 - 0.5, t = y0 - 0.5, r = x0 + w * scale + 0.5, b = y0 + h * scale + 0.5;
      const Polyline frame{{l, t}, {r, t}, {r, b}, {l, b}, {l, t}};
      canvas.stroke({&frame, 1}, 1, kFaint);
    }
  }
  return canvas;
}

}  // namespace ebm::tools
