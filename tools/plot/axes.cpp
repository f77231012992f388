#include "tools/plot/axes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ebm::tools {

std::vector<Tick> linear_ticks(Range range, int target) {
  const double rough = (range.hi - range.lo) / target;
  if (!(rough > 0) || !std::isfinite(rough)) return {};
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double lead = rough / power;
  const double step = power * (lead <= 1 ? 1 : (lead <= 2 ? 2 : (lead <= 5 ? 5 : 10)));
  const int decimals = std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 9);
  std::vector<Tick> ticks;
  for (double k = std::ceil(range.lo / step - 1e-9); k * step <= range.hi + 1e-9 * step; ++k) {
    const double value = k == 0 ? 0 : k * step;  // no -0
    const bool large = std::max(std::fabs(range.lo), std::fabs(range.hi)) >= 1e6;
    ticks.push_back({value, large ? fmt::format("{:.3g}", value) : fmt::format("{:.{}f}", value, decimals)});
  }
  return ticks;
}

std::vector<Tick> log_ticks(Range range) {
  const bool few = std::log10(range.hi / range.lo) < 2.5;
  std::vector<Tick> ticks;
  for (int e = static_cast<int>(std::floor(std::log10(range.lo))); e <= std::log10(range.hi); ++e) {
    for (const int lead : {1, 2, 5}) {
      const double value = lead * std::pow(10, e);
      if ((lead == 1 || few) && value >= range.lo && value <= range.hi)
        ticks.push_back({value, fmt::format("{:.3g}", value)});
    }
  }
  return ticks;
}

Point Axes::at(double data_x, double data_y) const {
  const double u = (data_x - x.lo) / (x.hi - x.lo);
  const double v = log_y ? std::log(data_y / y.lo) / std::log(y.hi / y.lo) : (data_y - y.lo) / (y.hi - y.lo);
  return {left + u * width, top + (1 - v) * height};
}

void Axes::draw_grid(Canvas& canvas) const {
  for (const Tick& tick : x_ticks()) {
    const double px = std::floor(at(tick.value, y.lo).x) + 0.5;
    canvas.line({px, top + 0.5}, {px, top + height - 0.5}, 1, kFaint);
  }
  for (const Tick& tick : y_ticks()) {
    const double py = std::floor(at(x.lo, tick.value).y) + 0.5;
    canvas.line({left + 0.5, py}, {left + width - 0.5, py}, 1, kFaint);
  }
}

void Axes::draw_frame(Canvas& canvas, const std::string& title, const std::string& x_label,
                      const std::string& y_label) const {
  const double l = left - 0.5, r = left + width + 0.5, t = top - 0.5, b = top + height + 0.5;
  const Polyline frame{{l, t}, {r, t}, {r, b}, {l, b}, {l, t}};
  canvas.stroke({&frame, 1}, 1, kInk);
  for (const Tick& tick : x_ticks()) {
    const double px = std::clamp(std::floor(at(tick.value, y.lo).x) + 0.5, l, r);
    canvas.line({px, b}, {px, b + 4}, 1, kInk);
    canvas.text(tick.label, {px, b + 8 + kTextSize}, kTextSize, Align::center);
  }
  for (const Tick& tick : y_ticks()) {
    const double py = std::clamp(std::floor(at(x.lo, tick.value).y) + 0.5, t, b);
    canvas.line({l - 4, py}, {l, py}, 1, kInk);
    canvas.text(tick.label, {l - 8, py + kTextSize / 2}, kTextSize, Align::right);
  }
  canvas.text(title, {left + width / 2.0, t - 10}, kTitleSize, Align::center);
  canvas.text(x_label, {left + width / 2.0, b + 20 + 2 * kTextSize}, kTextSize, Align::center);
  canvas.text(y_label, {l - 48, top + height / 2.0}, kTextSize, Align::center, kInk, true);
}

void Axes::draw_curve(Canvas& canvas, const std::vector<double>& xs, const std::vector<double>& ys, Color color) const {
  std::vector<Polyline> pieces(1);
  for (std::size_t i = 0; i < xs.size(); ++i) {
    if (!std::isfinite(ys[i]) || (log_y && ys[i] <= 0)) {
      if (!pieces.back().empty()) pieces.emplace_back();
      continue;
    }
    pieces.back().push_back(at(xs[i], std::clamp(ys[i], y.lo, y.hi)));
  }
  // A lone point would leave no trace as a line.
  for (Polyline& piece : pieces) {
    if (piece.size() == 1) piece.push_back(piece.front());
  }
  canvas.stroke(pieces, 1.6, color);
}

}  // namespace ebm::tools
