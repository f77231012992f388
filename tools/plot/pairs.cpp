#include <algorithm>
#include <cmath>

#include "tools/plot/figures.hpp"

namespace ebm::tools {
namespace {

constexpr int kAll = 760, kSmallest = 84, kLargest = 190, kGap = 8, kLeft = 70, kTop = 40, kBottom = 52, kRight = 20;

std::vector<float> column_of(const Matrix& x, std::size_t column) {
  std::vector<float> values(x.rows());
  for (std::size_t i = 0; i < x.rows(); ++i) values[i] = x(i, column);
  return values;
}

void draw_histogram(Canvas& canvas, const Axes& axes, const std::vector<float>& values, Color color) {
  constexpr int kBins = 24;
  if (values.empty()) return;
  std::vector<double> heights(kBins);
  for (const float v : values) {
    const double bin = (static_cast<double>(v) - axes.x.lo) / (axes.x.hi - axes.x.lo) * kBins;
    if (bin >= 0 && bin < kBins) ++heights[static_cast<std::size_t>(bin)];
  }
  const double top = std::max(*std::ranges::max_element(heights), 1.0) * 1.1;
  Polyline steps;
  for (int bin = 0; bin < kBins; ++bin) {
    const double y = axes.top + axes.height * (1 - heights[static_cast<std::size_t>(bin)] / top);
    steps.push_back({axes.left + axes.width * static_cast<double>(bin) / kBins, y});
    steps.push_back({axes.left + axes.width * static_cast<double>(bin + 1) / kBins, y});
  }
  canvas.stroke({&steps, 1}, 1.3, color);
}

void draw_scatter(Canvas& canvas, const Axes& axes, const Matrix& points, std::size_t x_column, std::size_t y_column,
                  Color color) {
  const double radius = std::clamp(36 / std::sqrt(static_cast<double>(points.rows()) + 1), 0.6, 1.8);
  for (std::size_t i = 0; i < points.rows(); ++i) {
    const auto x = static_cast<double>(points(i, x_column)), y = static_cast<double>(points(i, y_column));
    if (!(x >= axes.x.lo && x <= axes.x.hi && y >= axes.y.lo && y <= axes.y.hi)) continue;
    canvas.disc(axes.at(x, y), radius, color, 0.5f);
  }
}

}  // namespace

Canvas draw_pairs(const PairFigure& figure) {
  const int n = static_cast<int>(figure.names.size());
  const int side = std::clamp(kAll / n, kSmallest, kLargest);
  std::vector<Range> ranges;
  for (std::size_t d = 0; d < figure.names.size(); ++d) {
    const std::vector<float> samples = column_of(figure.samples, d), data = column_of(figure.data, d);
    ranges.push_back(figure.range ? *figure.range : range_of({samples, data}));
  }
  Canvas canvas(kLeft + n * (side + kGap) + kRight, kTop + n * (side + kGap) + kBottom);
  for (int row = 0; row < n; ++row) {
    for (int column = 0; column < n; ++column) {
      const auto r = static_cast<std::size_t>(row), c = static_cast<std::size_t>(column);
      if (row < column && figure.data.rows() == 0) continue;
      Axes axes{kLeft + column * (side + kGap), kTop + row * (side + kGap), side, side, ranges[c], ranges[r]};
      axes.x_labels = row + 1 == n;
      axes.y_labels = column == 0 && row > 0;  // the first panel is a histogram
      if (row == column) {
        draw_histogram(canvas, axes, column_of(figure.samples, c), kBlue);
        draw_histogram(canvas, axes, column_of(figure.data, c), kOrange);
      } else if (row > column) {
        draw_scatter(canvas, axes, figure.samples, c, r, kBlue);
      } else {
        draw_scatter(canvas, axes, figure.data, c, r, kOrange);
      }
      axes.draw_frame(canvas, "", figure.names[c], figure.names[r]);
    }
  }
  canvas.text(figure.title, {kLeft, kTop - 14.0}, kTitleSize);
  if (figure.data.rows() > 0) {
    const double right = kLeft + n * (side + kGap) - kGap;
    canvas.text("above: data", {right, kTop - 14.0}, kTextSize, Align::right, kOrange);
    canvas.text("below: samples", {right - 100, kTop - 14.0}, kTextSize, Align::right, kBlue);
  }
  return canvas;
}

}  // namespace ebm::tools
