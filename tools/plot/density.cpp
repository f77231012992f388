#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tools/plot/figures.hpp"
#include "tools/plot/histogram.hpp"

namespace ebm::tools {
namespace {

constexpr int kLongSide = 420, kShortestSide = 160, kLeft = 60, kTop = 36, kBottom = 52, kBetween = 62;
constexpr int kBarGap = 16, kBarWidth = 14, kRight = 78;

// One point per pixel, its centre, row by row from the top.
Matrix pixel_grid(const Axes& axes) {
  Matrix grid(static_cast<std::size_t>(axes.width) * static_cast<std::size_t>(axes.height), 2);
  std::size_t row = 0;
  for (int j = 0; j < axes.height; ++j) {
    for (int i = 0; i < axes.width; ++i, ++row) {
      grid(row, 0) = static_cast<float>(axes.x.lo + (i + 0.5) / axes.width * (axes.x.hi - axes.x.lo));
      grid(row, 1) = static_cast<float>(axes.y.hi - (j + 0.5) / axes.height * (axes.y.hi - axes.y.lo));
    }
  }
  return grid;
}

double quantile(std::vector<double> values, double share) {
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, values.begin() + at);
  return values[static_cast<std::size_t>(at)];
}

void draw_colour_bar(Canvas& canvas, const Axes& last, Colormap colormap, double largest) {
  Axes bar{last.left + last.width + kBarGap, last.top, kBarWidth, last.height, {0, 1}, {0, largest}};
  for (int j = 0; j < bar.height; ++j) {
    canvas.fill(bar.left, bar.top + j, bar.width, 1, color_of(colormap, 1 - (j + 0.5) / bar.height));
  }
  const double l = bar.left - 0.5, r = bar.left + bar.width + 0.5, t = bar.top - 0.5, b = bar.top + bar.height + 0.5;
  const Polyline frame{{l, t}, {r, t}, {r, b}, {l, b}, {l, t}};
  canvas.stroke({&frame, 1}, 1, kInk);
  const Ticks ticks = linear_ticks(bar.y, 6);
  for (const Tick& tick : ticks.at) {
    const double y = std::clamp(std::floor(bar.at(0, tick.value).y) + 0.5, t, b);
    canvas.line({r, y}, {r + 4, y}, 1, kInk);
    canvas.text(tick.label, {r + 8, y + kTextSize / 2}, kTextSize);
  }
  canvas.text(ticks.name("p(x)"), {r + 8, t - 10}, ticks.unit == 1 ? kTitleSize : kTextSize, Align::center);
}

void draw_points(Canvas& canvas, const Axes& axes, const Matrix& points, bool over_density) {
  // Fewer points, larger dots; over a density they must let it shine through.
  const double radius =
      std::clamp((over_density ? 32 : 60) / std::sqrt(static_cast<double>(points.rows()) + 1), 0.7, 2.2);
  for (std::size_t i = 0; i < points.rows(); ++i) {
    const double x = static_cast<double>(points(i, 0)), y = static_cast<double>(points(i, 1));
    if (!(x >= axes.x.lo && x <= axes.x.hi && y >= axes.y.lo && y <= axes.y.hi)) continue;
    if (over_density) {
      canvas.disc(axes.at(x, y), radius, kWhite, 0.5f);
    } else {
      canvas.disc(axes.at(x, y), radius, kBlue, 0.45f);
    }
  }
}

}  // namespace

Canvas draw_plane(const PlaneFigure& figure) {
  const int panels = static_cast<int>(figure.panels.size());
  // A unit is equally long in both directions, unless the view is a sliver.
  const double x_span = figure.x.hi - figure.x.lo, y_span = figure.y.hi - figure.y.lo;
  const auto side = [&](double span) {
    return std::max(static_cast<int>(std::lround(kLongSide * span / std::max(x_span, y_span))), kShortestSide);
  };
  const int width = side(x_span), height = side(y_span);
  std::vector<std::vector<double>> densities;
  double largest = 0;
  for (const PlanePanel& panel : figure.panels) {
    const Axes axes{0, 0, width, height, figure.x, figure.y};
    const Matrix grid = pixel_grid(axes);
    densities.push_back(panel.density ? panel.density(grid) : std::vector<double>{});
    // A single spike must not darken everything else.
    if (panel.density) largest = std::max(largest, quantile(densities.back(), 0.999));
  }
  // A mode smaller than a thousandth of the picture is all that there is.
  if (largest == 0) {
    for (const auto& density : densities) {
      for (const double v : density) largest = std::isfinite(v) ? std::max(largest, v) : largest;
    }
  }
  const bool any_density = largest > 0 && std::isfinite(largest);
  const int right = any_density ? kBarGap + kBarWidth + kRight - 14 : 20;
  Canvas canvas(kLeft + panels * width + (panels - 1) * kBetween + right, kTop + height + kBottom);
  for (int k = 0; k < panels; ++k) {
    const Axes axes{kLeft + k * (width + kBetween), kTop, width, height, figure.x, figure.y};
    const PlanePanel& panel = figure.panels[static_cast<std::size_t>(k)];
    const std::vector<double>& density = densities[static_cast<std::size_t>(k)];
    if (density.empty()) {
      axes.draw_grid(canvas);
    } else {
      std::size_t i = 0;
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x, ++i) {
          canvas.set(axes.left + x, axes.top + y, color_of(figure.colormap, any_density ? density[i] / largest : 0.0));
        }
      }
    }
    draw_points(canvas, axes, panel.points, !density.empty());
    axes.draw_frame(canvas, panel.title, "x1", "x2");
    if (k + 1 == panels && any_density) draw_colour_bar(canvas, axes, figure.colormap, largest);
  }
  return canvas;
}

Canvas draw_line(const LineFigure& figure) {
  constexpr int kWidth = 640, kHeight = 320, kBins = 80;
  const std::vector<double> samples = histogram(figure.samples, figure.x, kBins);
  const std::vector<double> data = histogram(figure.data, figure.x, kBins);
  double top = 0;
  for (const auto* series : {&samples, &data, &figure.model_density}) {
    for (const double v : *series) top = std::isfinite(v) ? std::max(top, v) : top;
  }
  Axes axes{kLeft + 10, kTop + 6, kWidth, kHeight, figure.x, {0, top > 0 ? top * 1.06 : 1.0}};
  Canvas canvas(axes.left + kWidth + 24, axes.top + kHeight + kBottom);
  axes.draw_grid(canvas);
  if (!figure.samples.empty()) draw_bars(canvas, axes, samples, kPale);
  if (!figure.data.empty()) draw_steps(canvas, axes, data, kOrange);
  axes.draw_curve(canvas, figure.xs, figure.model_density, kBlue);
  Legend legend(canvas, axes);
  if (!figure.model_density.empty()) legend.add("model", kBlue);
  if (!figure.samples.empty()) legend.add("samples", kPale);
  if (!figure.data.empty()) legend.add("data", kOrange);
  axes.draw_frame(canvas, figure.title, "x", "p(x)");
  return canvas;
}

Range range_of(const std::vector<std::span<const float>>& values) {
  Range range{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (const auto& part : values) {
    const Range own = range_without_outliers({part.begin(), part.end()});
    if (!(own.lo <= own.hi)) continue;
    range = {std::min(range.lo, own.lo), std::max(range.hi, own.hi)};
  }
  if (!(range.lo <= range.hi)) return {-3, 3};
  return with_margin(range, 0.12);
}

View view_of(const std::vector<MatrixView>& points) {
  std::vector<std::vector<float>> columns[2];
  for (const MatrixView& part : points) {
    for (std::size_t d = 0; d < 2; ++d) {
      auto& column = columns[d].emplace_back();
      for (std::size_t i = 0; i < part.rows; ++i) column.push_back(part.row(i)[d]);
    }
  }
  const auto range = [](const std::vector<std::vector<float>>& parts) {
    return range_of(std::vector<std::span<const float>>(parts.begin(), parts.end()));
  };
  return {range(columns[0]), range(columns[1])};
}

}  // namespace ebm::tools
