#include "tools/plot/histogram.hpp"

#include <cmath>

namespace ebm::tools {

std::vector<double> histogram(std::span<const float> values, Range range, int bins) {
  std::vector<double> heights(static_cast<std::size_t>(bins), 0.0);
  const double width = (range.hi - range.lo) / bins;
  for (const float v : values) {
    const double bin = (static_cast<double>(v) - range.lo) / width;
    if (bin >= 0 && bin < bins)
      heights[static_cast<std::size_t>(bin)] += 1 / (static_cast<double>(values.size()) * width);
  }
  return heights;
}

void draw_bars(Canvas& canvas, const Axes& axes, const std::vector<double>& heights, Color color) {
  const double width = (axes.x.hi - axes.x.lo) / static_cast<double>(heights.size());
  for (std::size_t bin = 0; bin < heights.size(); ++bin) {
    const Point corner = axes.at(axes.x.lo + static_cast<double>(bin) * width, heights[bin]);
    const Point end = axes.at(axes.x.lo + static_cast<double>(bin + 1) * width, 0);
    const int x0 = static_cast<int>(std::lround(corner.x)), x1 = static_cast<int>(std::lround(end.x));
    const int y0 = static_cast<int>(std::lround(corner.y)), y1 = static_cast<int>(std::lround(end.y));
    canvas.fill(x0, y0, x1 - x0, y1 - y0, color);
  }
}

void draw_steps(Canvas& canvas, const Axes& axes, const std::vector<double>& heights, Color color) {
  const double width = (axes.x.hi - axes.x.lo) / static_cast<double>(heights.size());
  Polyline steps;
  for (std::size_t bin = 0; bin < heights.size(); ++bin) {
    steps.push_back(axes.at(axes.x.lo + static_cast<double>(bin) * width, heights[bin]));
    steps.push_back(axes.at(axes.x.lo + static_cast<double>(bin + 1) * width, heights[bin]));
  }
  canvas.stroke({&steps, 1}, 1.2, color);
}

void Legend::add(const std::string& name, Color color) {
  canvas_.line({x_, y_}, {x_ + 18, y_}, 4, color);
  canvas_.text(name, {x_ + 26, y_ + kTextSize / 2}, kTextSize);
  x_ += 34 + 10 * static_cast<double>(name.size());
}

}  // namespace ebm::tools
