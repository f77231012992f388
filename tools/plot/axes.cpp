#include "tools/plot/axes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ebm::tools {

std::string Ticks::name(const std::string& quantity) const {
  if (offset == 0 && unit == 1) return quantity;
  std::string text = quantity;
  if (offset != 0) text = fmt::format("{} {} {:.15g}", quantity, offset < 0 ? '+' : '-', std::fabs(offset));
  if (unit == 1) return text;
  return fmt::format("{} / {:.0e}", offset != 0 ? fmt::format("({})", text) : text, unit);
}

Ticks linear_ticks(Range range, int target) {
  const double span = range.hi - range.lo, rough = span / target;
  Ticks ticks;
  if (!(rough > 0) || !std::isfinite(rough)) return ticks;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double lead = rough / power;
  const double step = power * (lead <= 1 ? 1 : (lead <= 2 ? 2 : (lead <= 5 ? 5 : 10)));
  // More digits than a label has room for: count from a round number in the middle.
  constexpr double kMostSteps = 2e4;
  if (std::max(std::fabs(range.lo), std::fabs(range.hi)) / step > kMostSteps) {
    const double round = std::pow(10, std::ceil(std::log10(span)) + 1);
    ticks.offset = std::round((range.lo + span / 2) / round) * round;
  }
  const double lo = range.lo - ticks.offset, hi = range.hi - ticks.offset;
  const double largest = std::max(std::fabs(lo), std::fabs(hi));
  if (largest >= 1e5 || step < 1e-4) ticks.unit = std::pow(10, std::floor(std::log10(largest) + 1e-9));
  const int decimals = std::clamp(static_cast<int>(-std::floor(std::log10(step / ticks.unit) + 1e-9)), 0, 9);
  for (double k = std::ceil(lo / step - 1e-9); k * step <= hi + 1e-9 * step; ++k) {
    const double value = k == 0 ? 0 : k * step;  // no -0
    ticks.at.push_back({ticks.offset + value, fmt::format("{:.{}f}", value / ticks.unit, decimals)});
  }
  // One tick gives no scale.
  return ticks.at.size() >= 2 || target > 16 ? ticks : linear_ticks(range, 2 * target);
}

Ticks log_ticks(Range range) {
  const double decades = std::log10(range.hi / range.lo);
  Ticks ticks;
  if (!(decades > 0) || !std::isfinite(decades)) return ticks;
  const bool few = decades < 2.5;
  const int every = std::max(1, static_cast<int>(std::ceil(decades / 6)));
  for (int e = static_cast<int>(std::floor(std::log10(range.lo))); e <= std::log10(range.hi); ++e) {
    for (const int lead : {1, 2, 5}) {
      const double value = lead * std::pow(10, e);
      if ((few || (lead == 1 && e % every == 0)) && value >= range.lo && value <= range.hi)
        ticks.at.push_back({value, fmt::format("{:.3g}", value)});
    }
  }
  // A fraction of an octave holds none of these.
  return ticks.at.size() >= 2 ? ticks : linear_ticks(range, 4);
}

Range range_without_outliers(std::vector<double> values) {
  std::erase_if(values, [](double v) { return !std::isfinite(v); });
  if (values.empty()) return {1, -1};
  std::ranges::sort(values);
  const auto quantile = [&](double share) {
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  };
  // The upper quantiles are those of the mirrored values.
  const auto upper = [&](double share) {
    return values[values.size() - 1 - static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  };
  Range range{quantile(0.001), upper(0.001)};
  const double low = quantile(0.25), high = upper(0.25), reach = 5 * (high - low);
  if (reach > 0) {
    // To the outermost values inside, not to the fence itself.
    range.lo = std::max(range.lo, *std::ranges::lower_bound(values, low - reach));
    range.hi = std::min(range.hi, *(std::ranges::upper_bound(values, high + reach) - 1));
  }
  return range;
}

Range with_margin(Range range, double share) {
  const double margin = range.hi > range.lo ? share * (range.hi - range.lo)
                        : range.lo == 0.0   ? 1.0
                                            : 0.1 * std::fabs(range.lo);
  return {range.lo - margin, range.hi + margin};
}

Point Axes::at(double data_x, double data_y) const {
  const double u = (data_x - x.lo) / (x.hi - x.lo);
  const double v = log_y ? std::log(data_y / y.lo) / std::log(y.hi / y.lo) : (data_y - y.lo) / (y.hi - y.lo);
  return {left + u * width, top + (1 - v) * height};
}

void Axes::draw_grid(Canvas& canvas) const {
  for (const Tick& tick : x_ticks().at) {
    const double px = std::floor(at(tick.value, y.lo).x) + 0.5;
    canvas.line({px, top + 0.5}, {px, top + height - 0.5}, 1, kFaint);
  }
  for (const Tick& tick : y_ticks().at) {
    const double py = std::floor(at(x.lo, tick.value).y) + 0.5;
    canvas.line({left + 0.5, py}, {left + width - 0.5, py}, 1, kFaint);
  }
}

void Axes::draw_frame(Canvas& canvas, const std::string& title, const std::string& x_label,
                      const std::string& y_label) const {
  const double l = left - 0.5, r = left + width + 0.5, t = top - 0.5, b = top + height + 0.5;
  const Polyline frame{{l, t}, {r, t}, {r, b}, {l, b}, {l, t}};
  canvas.stroke({&frame, 1}, 1, kInk);
  const Ticks along = x_ticks(), up = y_ticks();
  for (const Tick& tick : along.at) {
    if (!x_labels) break;
    const double px = std::clamp(std::floor(at(tick.value, y.lo).x) + 0.5, l, r);
    canvas.line({px, b}, {px, b + 4}, 1, kInk);
    canvas.text(tick.label, {px, b + 8 + kTextSize}, kTextSize, Align::center);
  }
  for (const Tick& tick : up.at) {
    if (!y_labels) break;
    const double py = std::clamp(std::floor(at(x.lo, tick.value).y) + 0.5, t, b);
    canvas.line({l - 4, py}, {l, py}, 1, kInk);
    canvas.text(tick.label, {l - 8, py + kTextSize / 2}, kTextSize, Align::right);
  }
  canvas.text(title, {left + width / 2.0, t - 10}, kTitleSize, Align::center);
  if (x_labels)
    canvas.text(along.name(x_label), {left + width / 2.0, b + 20 + 2 * kTextSize}, kTextSize, Align::center);
  if (y_labels) canvas.text(up.name(y_label), {l - 48, top + height / 2.0}, kTextSize, Align::center, kInk, true);
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
