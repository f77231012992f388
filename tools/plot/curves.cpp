#include <algorithm>
#include <cmath>
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

Range with_margin(Range range) {
  if (!(range.lo <= range.hi)) return {0, 1};
  const double margin = range.hi > range.lo ? 0.07 * (range.hi - range.lo) : std::max(1.0, std::fabs(range.lo)) * 0.1;
  return {range.lo - margin, range.hi + margin};
}

}  // namespace

Canvas draw_curves(const TrainingCurves& curves, const std::string& title) {
  constexpr int kLeft = 74, kWidth = 640, kHeight = 150, kTop = 40, kStep = 216;
  Canvas canvas(kLeft + kWidth + 24, kTop + 3 * kStep + 2);
  Range x = extend(kNothing, curves.iteration);
  if (!(x.lo < x.hi)) x = with_margin(x);
  const auto panel = [&](int k, Range y, bool log_y) {
    return Axes{kLeft, kTop + k * kStep, kWidth, kHeight, x, y, log_y};
  };

  const Axes gap = panel(0, with_margin(extend({0, 0}, curves.energy_gap)), false);
  gap.draw_grid(canvas);
  // The line that training aims at.
  canvas.line(gap.at(x.lo, 0), gap.at(x.hi, 0), 1, {0.45f, 0.47f, 0.5f});
  gap.draw_curve(canvas, curves.iteration, curves.energy_gap, kBlue);
  gap.draw_frame(canvas, title, "", "energy gap");

  const Axes energies =
      panel(1, with_margin(extend(extend(kNothing, curves.energy_data), curves.energy_samples)), false);
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
