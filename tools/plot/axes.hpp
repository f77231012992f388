// A rectangle with axes: maps data to pixels, draws frame, ticks, grid and labels.
#pragma once

#include <string>
#include <vector>

#include "tools/plot/canvas.hpp"

namespace ebm::tools {

struct Range {
  double lo, hi;
};

struct Tick {
  double value;
  std::string label;
};
// Ticks of an axis. Their labels are of (value - offset) / unit, short enough to stand beside one another; labels of
// different ticks differ.
struct Ticks {
  std::vector<Tick> at;
  double offset = 0, unit = 1;

  // What the numbers along the axis are: "x1", "x1 - 1000000", "(x1 - 1000000) / 1e-06".
  std::string name(const std::string& quantity) const;
};
// About `target` round numbers (1, 2 or 5 times a power of ten, counted from the offset) inside the range.
Ticks linear_ticks(Range range, int target);
// Powers of ten, with 2 and 5 times them where there are few. lo > 0.
Ticks log_ticks(Range range);

// Where nearly all of the values lie: between their 0.1 % and 99.9 % quantiles, and not farther outside the quartiles
// than five times their distance, so that a few outliers do not squash the rest. A single value gets room around it; lo
// > hi without values.
Range range_without_outliers(std::vector<double> values);
// The range and a share of its width on either side.
Range with_margin(Range range, double share);

struct Axes {
  int left, top, width, height;  // pixels
  Range x, y;
  bool log_y = false;
  bool x_labels = true, y_labels = true;

  Point at(double data_x, double data_y) const;
  // Grid behind the data; frame and labels on top of it.
  void draw_grid(Canvas& canvas) const;
  void draw_frame(Canvas& canvas, const std::string& title, const std::string& x_label,
                  const std::string& y_label) const;
  // A line through the points, cut to the frame; points that are not finite break it.
  void draw_curve(Canvas& canvas, const std::vector<double>& xs, const std::vector<double>& ys, Color color) const;

 private:
  Ticks x_ticks() const { return linear_ticks(x, std::max(2, width / 80)); }
  Ticks y_ticks() const { return log_y ? log_ticks(y) : linear_ticks(y, std::max(2, height / 36)); }
};

inline constexpr double kTextSize = 9, kTitleSize = 11;

}  // namespace ebm::tools
