#include "host/data/marginals.hpp"

#include <algorithm>
#include <cmath>

#include "host/core/normal_quantile.hpp"

namespace ebm {
namespace {

// A probability this close to 0 or 1 stands for all beyond: u stays within 7.04.
constexpr double kRarest = 1e-12;
constexpr std::size_t kMostKernels = 1024;  // order statistics that stand for a long column
constexpr double kKnotSpacing = 0.25;       // in u
constexpr double kWindow = 8.5;             // widths beyond which a kernel is 0 or 1

double clipped_quantile(double t) { return normal_quantile(std::clamp(t, kRarest, 1 - kRarest)); }

std::size_t interval(const std::vector<double>& ascending, double at) {
  const auto above = std::upper_bound(ascending.begin() + 1, ascending.end() - 1, at);
  return static_cast<std::size_t>(above - ascending.begin()) - 1;
}

// The rational quadratic between knots k and k + 1 (Gregory and Delbourgo 1982), which is monotone for positive slopes:
// u = u_k + (u_{k+1} - u_k) (s t^2 + d0 t (1 - t)) / B, B = s + (d0 + d1 - 2 s) t (1 - t), s the mean slope.
struct Piece {
  double width, rise, s, d0, d1;
  Piece(const MarginalColumn& c, std::size_t k)
      : width(c.x[k + 1] - c.x[k]), rise(c.y[k + 1] - c.y[k]), s(rise / width), d0(c.slope[k]), d1(c.slope[k + 1]) {}
  double bend() const { return d0 + d1 - 2 * s; }
  double below(double t) const { return s + bend() * t * (1 - t); }
  double value(double t) const { return rise * (s * t * t + d0 * t * (1 - t)) / below(t); }
  double top(double t) const { return d1 * t * t + 2 * s * t * (1 - t) + d0 * (1 - t) * (1 - t); }
  double log_slope(double t) const { return std::log(top(t)) + 2 * std::log(s / below(t)); }
  double log_slope_gradient(double t) const {
    const double top_change = 2 * d1 * t + 2 * s * (1 - 2 * t) - 2 * d0 * (1 - t);
    return (top_change / top(t) - 2 * bend() * (1 - 2 * t) / below(t)) / width;
  }
  double solve(double v) const {  // t with value(t) = v
    const double a = rise * (s - d0) + v * bend(), b = rise * d0 - v * bend(), c = -s * v;
    return 2 * c / (-b - std::sqrt(std::max(b * b - 4 * a * c, 0.0)));
  }
};

// Beyond the last knot, a distance `away` outwards, with the slope s there: log(1 + s away) without a bound, and
// -s room log(1 - away / room) towards a bound that is `room` away. Both begin with slope s; the first grows so slowly
// that a point a hundred deviations out is an unlikely one, not an impossible one.
struct Tail {
  double s, room;
  bool bounded() const { return room < MarginalColumn::kUnbounded; }
  double rise(double away) const { return bounded() ? -s * room * std::log1p(-away / room) : std::log1p(s * away); }
  double away(double rise) const { return bounded() ? -room * std::expm1(-rise / (s * room)) : std::expm1(rise) / s; }
  double log_slope(double away) const {
    return std::log(s) - (bounded() ? std::log1p(-away / room) : std::log1p(s * away));
  }
  double log_slope_gradient(double away) const {  // outwards
    return bounded() ? 1 / (room - away) : -s / (1 + s * away);
  }
};
Tail low_tail(const MarginalColumn& c) { return {c.slope.front(), c.x.front() - c.lower}; }
Tail high_tail(const MarginalColumn& c) { return {c.slope.back(), c.upper - c.x.back()}; }

// A bound is no place for a density's value: half an ulp of a float inside stands for it.
double inside(const MarginalColumn& c, double at) {
  const double low = c.lower + 1e-9 * (c.x.front() - c.lower), high = c.upper - 1e-9 * (c.upper - c.x.back());
  return std::clamp(at, std::isfinite(c.lower) ? low : at, std::isfinite(c.upper) ? high : at);
}

// The largest float below x.
double just_below(double x) {
  const auto f = static_cast<float>(x);
  return static_cast<double>(static_cast<double>(f) < x ? f
                                                        : std::nextafter(f, -std::numeric_limits<float>::infinity()));
}

class KernelDensity {
 public:
  KernelDensity(const std::vector<double>& sorted, double width, double lower, double upper) : width_(width) {
    const std::size_t n = sorted.size(), m = std::min(n, kMostKernels);
    for (std::size_t j = 0; j < m; ++j) {
      const double at = sorted[(2 * j + 1) * n / (2 * m)];
      points_.push_back(at);
      if (std::isfinite(lower)) points_.push_back(2 * lower - at);
      if (std::isfinite(upper)) points_.push_back(2 * upper - at);
    }
    std::ranges::sort(points_);
    below_ = std::isfinite(lower) ? sum(lower) : 0;
    total_ = (std::isfinite(upper) ? sum(upper) : static_cast<double>(points_.size())) - below_;
  }
  double cdf(double x) const { return (sum(x) - below_) / total_; }
  double pdf(double x) const {
    double value = 0;
    for (auto it = first(x); it != points_.end() && *it < x + kWindow * width_; ++it) {
      value += std::exp(log_normal_pdf((x - *it) / width_));
    }
    return value / (width_ * total_);
  }
  double quantile(double t, double low, double high) const {
    for (int i = 0; i < 50; ++i) {
      const double middle = (low + high) / 2;
      (cdf(middle) < t ? low : high) = middle;
    }
    return (low + high) / 2;
  }

 private:
  std::vector<double>::const_iterator first(double x) const {
    return std::ranges::lower_bound(points_, x - kWindow * width_);
  }
  double sum(double x) const {
    auto it = first(x);
    auto value = static_cast<double>(it - points_.begin());
    for (; it != points_.end() && *it < x + kWindow * width_; ++it) value += normal_cdf((x - *it) / width_);
    return value;
  }
  double width_, below_ = 0, total_ = 1;
  std::vector<double> points_;
};

}  // namespace

double MarginalColumn::forward(double at) const {
  if (cells) {
    const std::size_t k = interval(x, at);
    return clipped_quantile(y[k] + (y[k + 1] - y[k]) * std::clamp((at - x[k]) / (x[k + 1] - x[k]), 0.0, 1.0));
  }
  at = inside(*this, at);
  if (at <= x.front()) return y.front() - low_tail(*this).rise(x.front() - at);
  if (at >= x.back()) return y.back() + high_tail(*this).rise(at - x.back());
  const std::size_t k = interval(x, at);
  return y[k] + Piece(*this, k).value((at - x[k]) / (x[k + 1] - x[k]));
}

double MarginalColumn::inverse(double u) const {
  if (cells) {
    const double t = normal_cdf(u);
    const std::size_t k = interval(y, t);
    const double at = x[k] + (x[k + 1] - x[k]) * std::clamp((t - y[k]) / (y[k + 1] - y[k]), 0.0, 1.0);
    return std::min(at, just_below(x.back()));  // whole numbers are floors, and the last edge belongs to no cell
  }
  if (u <= y.front()) return inside(*this, x.front() - low_tail(*this).away(y.front() - u));
  if (u >= y.back()) return inside(*this, x.back() + high_tail(*this).away(u - y.back()));
  const std::size_t k = interval(y, u);
  return x[k] + (x[k + 1] - x[k]) * Piece(*this, k).solve(u - y[k]);
}

double MarginalColumn::log_slope(double at) const {
  if (cells) {
    if (at < x.front() || at > x.back()) return -kUnbounded;
    const std::size_t k = interval(x, at);
    return std::log((y[k + 1] - y[k]) / (x[k + 1] - x[k])) - log_normal_pdf(forward(at));
  }
  if (at < lower || at > upper) return -kUnbounded;
  at = inside(*this, at);
  if (at <= x.front()) return low_tail(*this).log_slope(x.front() - at);
  if (at >= x.back()) return high_tail(*this).log_slope(at - x.back());
  const std::size_t k = interval(x, at);
  return Piece(*this, k).log_slope((at - x[k]) / (x[k + 1] - x[k]));
}

double MarginalColumn::log_slope_gradient(double at) const {
  if (cells) {
    if (at < x.front() || at > x.back()) return 0;
    return forward(at) * std::exp(log_slope(at));
  }
  if (at < lower || at > upper) return 0;
  at = inside(*this, at);
  if (at <= x.front()) return -low_tail(*this).log_slope_gradient(x.front() - at);
  if (at >= x.back()) return high_tail(*this).log_slope_gradient(at - x.back());
  const std::size_t k = interval(x, at);
  return Piece(*this, k).log_slope_gradient((at - x[k]) / (x[k + 1] - x[k]));
}

MarginalColumn fit_cells(std::span<const double> values, double width, double lower, std::size_t n_cells) {
  std::vector<double> count(n_cells, 1 / static_cast<double>(n_cells));
  for (const double v : values) count[static_cast<std::size_t>(std::lround((v - lower) / width))] += 1;
  MarginalColumn column;
  column.cells = true;
  double reached = 0;
  for (std::size_t k = 0; k <= n_cells; ++k) {
    column.x.push_back(lower + width * static_cast<double>(k));
    column.y.push_back(k == n_cells ? 1 : reached / static_cast<double>(values.size() + 1));
    if (k < n_cells) reached += count[k];
  }
  return column;
}

MarginalColumn fit_smooth(std::vector<double> values, double lower, double upper) {
  std::ranges::sort(values);
  const auto n = static_cast<double>(values.size());
  double mean = 0, square = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) square += (v - mean) * (v - mean) / n;
  const double std = std::sqrt(square);
  MarginalColumn column;
  column.lower = lower;
  column.upper = upper;
  if (values.front() == values.back() || !(std > 0)) {
    column.lower = -MarginalColumn::kUnbounded;
    column.upper = MarginalColumn::kUnbounded;
    const double at = values.front(), scale = std::max(1.0, std::abs(at) * 1e-6);
    column.x = {at - scale, at + scale};
    column.y = {-1, 1};
    column.slope = {1 / scale, 1 / scale};
    return column;
  }
  const auto at = [&](double share) { return values[static_cast<std::size_t>(share * (n - 1))]; };
  const double quartiles = (at(0.75) - at(0.25)) / 1.349;  // 1.349: of a Gaussian
  const double width = 0.9 * (quartiles > 0 ? std::min(std, quartiles) : std) * std::pow(n, -0.2);
  const KernelDensity density(values, width, lower, upper);
  const double last = normal_quantile(1 - 1 / (n + 1));
  const auto half = static_cast<int>(std::ceil(last / kKnotSpacing));
  double low = std::max(lower, values.front() - 10 * width);
  const double high = std::min(upper, values.back() + 10 * width);
  const double closest = 1e-9 * (high - low);
  for (int k = -half; k <= half; ++k) {
    const double u = last * k / half, x = density.quantile(normal_cdf(u), low, high);
    const double slope = density.pdf(x) / std::exp(log_normal_pdf(u));
    if (!(slope > 0) || (!column.x.empty() && x - column.x.back() <= closest)) continue;
    if (x - lower <= closest || upper - x <= closest) continue;  // a tail needs room
    low = x;
    column.x.push_back(x);
    column.y.push_back(u);
    column.slope.push_back(slope);
  }
  if (column.x.size() < 2) {  // all but a few values are one: no density to speak of
    column.x = {mean - std, mean + std};
    column.y = {-1, 1};
    column.slope = {1 / std, 1 / std};
    column.lower = std::min(column.lower, mean - 2 * std);
    column.upper = std::max(column.upper, mean + 2 * std);
  }
  return column;
}

}  // namespace ebm
