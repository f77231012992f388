// Histograms over the width of a pair of axes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tools/plot/axes.hpp"
#include "tools/plot/canvas.hpp"

namespace ebm::tools {

inline constexpr Color kPale{0.74f, 0.83f, 0.92f};

// Densities in equal bins over the range: with the values outside it they integrate to one. All 0 without values.
std::vector<double> histogram(std::span<const float> values, Range range, int bins);

// One height for each of equal parts of the axes' width: filled from 0 up, or as a line of steps.
void draw_bars(Canvas& canvas, const Axes& axes, const std::vector<double>& heights, Color color);
void draw_steps(Canvas& canvas, const Axes& axes, const std::vector<double>& heights, Color color);

// Names and colours in a row within the axes' upper left corner.
class Legend {
 public:
  Legend(Canvas& canvas, const Axes& axes) : canvas_(canvas), x_(axes.left + 14), y_(axes.top + 14) {}
  void add(const std::string& name, Color color);

 private:
  Canvas& canvas_;
  double x_, y_;
};

}  // namespace ebm::tools
