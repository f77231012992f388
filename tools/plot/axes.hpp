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
// About `target` round numbers (1, 2 or 5 times a power of ten) inside the range.
std::vector<Tick> linear_ticks(Range range, int target);
// Powers of ten, with 2 and 5 times them where there are few. lo > 0.
std::vector<Tick> log_ticks(Range range);

struct Axes {
  int left, top, width, height;  // pixels
  Range x, y;
  bool log_y = false;

  Point at(double data_x, double data_y) const;
  // Grid behind the data; frame and labels on top of it.
  void draw_grid(Canvas& canvas) const;
  void draw_frame(Canvas& canvas, const std::string& title, const std::string& x_label,
                  const std::string& y_label) const;
  // A line through the points, cut to the frame; points that are not finite break it.
  void draw_curve(Canvas& canvas, const std::vector<double>& xs, const std::vector<double>& ys, Color color) const;

 private:
  std::vector<Tick> x_ticks() const { return linear_ticks(x, std::max(2, width / 80)); }
  std::vector<Tick> y_ticks() const { return log_y ? log_ticks(y) : linear_ticks(y, std::max(2, height / 36)); }
};

inline constexpr double kTextSize = 9, kTitleSize = 11;

}  // namespace ebm::tools
