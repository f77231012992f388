#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>

#include "tools/plot/figures.hpp"

namespace ebm::tools {
namespace {

constexpr Range kNothing{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};

Range extend(Range range, const std::vector<double>& values) {
  for (const double v : values) {
    if (std::isfinite(v)) range = {std::min(range.lo, v), std::max(range.hi, v)};
  }
  return range;
}

// The curves' values with a margin. A spike or a diverged end is cut at the frame, so that the rest can be seen.
Range range_of(std::initializer_list<const std::vector<double>*> curves, Range at_least = kNothing) {
  for (const auto* values : curves) {
    const Range own = range_without_outliers(*values);
    if (own.lo <= own.hi) at_least = {std::min(at_least.lo, own.lo), std::max(at_least.hi, own.hi)};
  }
  return at_least.lo <= at_least.hi ? with_margin(at_least, 0.07) : Range{0, 1};
}

}  // namespace

Canvas draw_curves(const TrainingCurves& curves, const std::string& title) {
  constexpr int kLeft = 74, kWidth = 640, kHeight = 150, kTop = 40, kStep = 216;
  Canvas canvas(kLeft + kWidth + 24, kTop + 3 * kStep + 2);
  Range x = extend(kNothing, curves.iteration);
  if (!(x.lo < x.hi)) x = x.lo <= x.hi ? with_margin(x, 0.07) : Range{0, 1};
  const auto panel = [&](int k, Range y, bool log_y) {
    return Axes{kLeft, kTop + k * kStep, kWidth, kHeight, x, y, log_y};
  };

  const Axes gap = panel(0, range_of({&curves.energy_gap}, {0, 0}), false);
  gap.draw_grid(canvas);
  // The line that training aims at.
  canvas.line(gap.at(x.lo, 0), gap.at(x.hi, 0), 1, {0.45f, 0.47f, 0.5f});
  gap.draw_curve(canvas, curves.iteration, curves.energy_gap, kBlue);
  gap.draw_frame(canvas, title, "", "energy gap");

  const Axes energies = panel(1, range_of({&curves.energy_data, &curves.energy_samples}), false);
  energies.draw_grid(canvas);
  energies.draw_curve(canvas, curves.iteration, curves.energy_samples, kOrange);
  energies.draw_curve(canvas, curves.iteration, curves.energy_data, kBlue);
  energies.draw_frame(canvas, "", "", "energy");
  double at = kLeft + kWidth - 170;
  for (const auto& [name, color] : {std::pair{"data", kBlue}, std::pair{"samples", kOrange}}) {
    canvas.line({at, energies.top - 9.0}, {at + 18, energies.top - 9.0}, 3, color);
    canvas.text(name, {at + 26, energies.top - 9 + kTextSize / 2}, kTextSize);
    at += 80;
  }

  Range norms = kNothing;
  for (const double v : curves.gradient_norm) {
    if (v > 0) norms = extend(norms, {v});
  }
  const bool any = norms.lo <= norms.hi;
  const Axes norm = panel(2, any ? Range{norms.lo / 1.25, norms.hi * 1.25} : Range{0.1, 1}, true);
  norm.draw_grid(canvas);
  norm.draw_curve(canvas, curves.iteration, curves.gradient_norm, kBlue);
  norm.draw_frame(canvas, "", "iteration", "gradient norm");
  return canvas;
}

}  // namespace ebm::tools
