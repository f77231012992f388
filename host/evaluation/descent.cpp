#include "host/evaluation/descent.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

namespace ebm {
namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

constexpr std::size_t kPairs = 6;       // that the approximation of the Hessian remembers
constexpr double kSufficient = 1e-4;    // Armijo's constant
constexpr double kRounding = 4e-7;      // of an energy in single precision, relative
constexpr double kShortestStep = 1e-7;  // relative to the position: float32 knows no shorter one

class Descent {
 public:
  Descent(std::span<const float> x, const ModesOptions& options) : options_(options), x_(x.begin(), x.end()) {}

  bool over() const { return over_; }
  bool converged() const { return converged_; }
  const Vector& position() const { return x_; }
  double energy() const { return energy_; }
  // What is to be evaluated next.
  Vector trial() const {
    Vector y = x_;
    for (std::size_t d = 0; d < direction_.size(); ++d) y[d] += step_ * direction_[d];
    return y;
  }

  void evaluated(double energy, std::span<const float> gradient) {
    Vector g(gradient.begin(), gradient.end());
    const bool finite = std::isfinite(energy) && std::ranges::all_of(g, [](double v) { return std::isfinite(v); });
    if (direction_.empty()) {
      energy_ = energy;
      gradient_ = std::move(g);
      if (!finite) return end(false);
      return aim();
    }
    const double slope = dot(direction_, gradient_);
    const double allowed = kSufficient * step_ * slope + kRounding * (1 + std::abs(energy_));
    if (!finite || energy > energy_ + allowed) {
      step_ /= 2;
      // Where rounding hides every descent the point is as low as single precision can tell.
      if (step_ * length_ < kShortestStep * (1 + std::sqrt(dot(x_, x_)))) end(true);
      return;
    }
    const Vector y = trial();
    Vector moved(x_.size()), turned(x_.size());
    for (std::size_t d = 0; d < x_.size(); ++d) {
      moved[d] = y[d] - x_[d];
      turned[d] = g[d] - gradient_[d];
    }
    const double curvature = dot(moved, turned);
    if (curvature > 1e-10 * dot(turned, turned)) {
      pairs_.push_back({std::move(moved), std::move(turned), 1 / curvature});
      if (pairs_.size() > kPairs) pairs_.pop_front();
    }
    x_ = y;
    energy_ = energy;
    gradient_ = std::move(g);
    aim();
  }

 private:
  struct Pair {
    Vector moved, turned;
    double inverse;
  };

  void end(bool converged) {
    over_ = true;
    converged_ = converged;
  }

  // The next direction, by the two loops over the pairs.
  void aim() {
    const auto largest = std::ranges::max(gradient_, {}, [](double v) { return std::abs(v); });
    if (std::abs(largest) <= options_.tolerance) return end(true);
    Vector q = gradient_;
    Vector along(pairs_.size());
    for (std::size_t k = pairs_.size(); k-- > 0;) {
      along[k] = pairs_[k].inverse * dot(pairs_[k].moved, q);
      for (std::size_t d = 0; d < q.size(); ++d) q[d] -= along[k] * pairs_[k].turned[d];
    }
    if (!pairs_.empty()) {
      const Pair& last = pairs_.back();
      const double scale = 1 / (last.inverse * dot(last.turned, last.turned));
      for (double& v : q) v *= scale;
    }
    for (std::size_t k = 0; k < pairs_.size(); ++k) {
      const double back = pairs_[k].inverse * dot(pairs_[k].turned, q);
      for (std::size_t d = 0; d < q.size(); ++d) q[d] += (along[k] - back) * pairs_[k].moved[d];
    }
    for (double& v : q) v = -v;
    if (!(dot(q, gradient_) < 0)) {  // rounding has spoilt the pairs
      pairs_.clear();
      q = gradient_;
      for (double& v : q) v = -v;
    }
    direction_ = std::move(q);
    length_ = std::sqrt(dot(direction_, direction_));
    step_ = std::min(1.0, options_.longest_step / length_);
  }

  const ModesOptions& options_;
  Vector x_, gradient_, direction_;
  double energy_ = 0, step_ = 0, length_ = 0;
  std::deque<Pair> pairs_;
  bool over_ = false, converged_ = false;
};

}  // namespace

Descents descend(const EnergyGradient& energy, Matrix x, const ModesOptions& options) {
  const std::size_t n = x.rows(), dim = x.cols();
  std::vector<Descent> descents;
  for (std::size_t i = 0; i < n; ++i) descents.emplace_back(x.row(i), options);
  std::vector<std::size_t> active(n);
  std::iota(active.begin(), active.end(), std::size_t{0});
  for (int e = 0; e < options.evaluations && !active.empty(); ++e) {
    Matrix points(active.size(), dim);
    for (std::size_t k = 0; k < active.size(); ++k) {
      const Vector y = descents[active[k]].trial();
      std::ranges::transform(y, &points(k, 0), [](double v) { return static_cast<float>(v); });
    }
    std::vector<float> values(active.size()), gradients(active.size() * dim);
    energy(points, values, gradients);
    for (std::size_t k = 0; k < active.size(); ++k) {
      descents[active[k]].evaluated(static_cast<double>(values[k]), std::span(gradients).subspan(k * dim, dim));
    }
    std::erase_if(active, [&](std::size_t i) { return descents[i].over(); });
  }
  Descents result{std::move(x), {}, {}};
  for (std::size_t i = 0; i < n; ++i) {
    std::ranges::transform(descents[i].position(), &result.x(i, 0), [](double v) { return static_cast<float>(v); });
    result.energy.push_back(static_cast<float>(descents[i].energy()));
    result.converged.push_back(descents[i].converged());
  }
  return result;
}

}  // namespace ebm
