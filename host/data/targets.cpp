#include "ebmcuda/targets.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "host/core/check.hpp"
#include "host/core/linear_algebra.hpp"
#include "host/core/names.hpp"
#include "host/core/normal_pair.hpp"
#include "host/data/draw_limits.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {
namespace {

using std::numbers::pi;

constexpr std::array kNames = {
    Name<TargetKind>{TargetKind::gaussian, "gaussian"}, Name<TargetKind>{TargetKind::correlated, "correlated"},
    Name<TargetKind>{TargetKind::mixture, "mixture"},   Name<TargetKind>{TargetKind::twonorm, "twonorm"},
    Name<TargetKind>{TargetKind::ringnorm, "ringnorm"}, Name<TargetKind>{TargetKind::funnel, "funnel"},
    Name<TargetKind>{TargetKind::pieces, "pieces"},
};

constexpr int kMostDimensions = 16384;
const double kLogTwoPi = std::log(2 * pi);

// ---- gaussian: standard deviations 0.1 .. 10, evenly in their logarithm

double gaussian_sigma(int d, int dim) { return dim == 1 ? 1 : std::pow(10.0, -1 + 2.0 * d / (dim - 1)); }

// ---- correlated: x_d = 0.95 x_{d-1} + sqrt(1 - 0.95^2) n_d

constexpr double kFollow = 0.95, kFollowVariance = 1 - kFollow * kFollow;

// ---- mixtures of spherical Gaussians

struct Component {
  double log_weight;  // of exp(-|x - centre|^2 / 2 sigma^2), not normalised
  double sigma;
};
constexpr int kMixtureComponents = 5;
constexpr double kMixtureReach = 2.5, kRingnormSigma = 2;

int component_count(TargetKind kind) { return kind == TargetKind::mixture ? kMixtureComponents : 2; }

double centre(TargetKind kind, int k, int d, int dim) {
  if (kind == TargetKind::mixture) return kMixtureReach * std::cos(2 * pi * (k + 1) * (d + 1) / 11);
  if (kind == TargetKind::twonorm) return (k == 0 ? 2 : -2) / std::sqrt(static_cast<double>(dim));
  return k == 0 ? 0 : 1 / std::sqrt(static_cast<double>(dim));  // ringnorm
}

Component component(TargetKind kind, int k, int dim) {
  if (kind == TargetKind::mixture) return {std::log(k + 1.0), 1};
  if (kind == TargetKind::twonorm) return {0, 1};
  return k == 0 ? Component{-dim * std::log(kRingnormSigma), kRingnormSigma} : Component{0, 1};
}

bool is_mixture(TargetKind kind) {
  return kind == TargetKind::mixture || kind == TargetKind::twonorm || kind == TargetKind::ringnorm;
}

// 1, 2, .. 5 of 15, or even.
int drawn_component(TargetKind kind, std::uint32_t word) {
  if (kind != TargetKind::mixture) return static_cast<int>(index_below(word, 2));
  const std::uint32_t place = index_below(word, 15);
  int k = 0;
  for (std::uint32_t end = 1; place >= end; end += static_cast<std::uint32_t>(k) + 1) ++k;
  return k;
}

// ---- funnel

constexpr double kFunnelSigma = 3;

// ---- pieces: coordinate d is of kind d % 3

// 0.7 N(2, 0.5^2) + 0.3 N(-2, 0.5^2)
constexpr double kHighShare = 0.7, kWellCentre = 2, kWellSigma = 0.5;

double well_energy(double x, double* slope) {
  const double v = kWellSigma * kWellSigma;
  const double high = std::log(kHighShare) - (x - kWellCentre) * (x - kWellCentre) / (2 * v);
  const double low = std::log(1 - kHighShare) - (x + kWellCentre) * (x + kWellCentre) / (2 * v);
  const double terms[] = {high, low};
  const double log_sum = log_sum_exp(terms);
  *slope = (std::exp(high - log_sum) * (x - kWellCentre) + std::exp(low - log_sum) * (x + kWellCentre)) / v;
  return -log_sum;
}

// The logistic density, E = |x| + 2 log(1 + e^-|x|).
double logistic_energy(double x, double* slope) {
  const double small = std::exp(-std::abs(x));
  *slope = std::copysign((1 - small) / (1 + small), x);
  return std::abs(x) + 2 * std::log1p(small);
}

// Gumbel's, E = x + e^-x.
double gumbel_energy(double x, double* slope) {
  const double small = std::exp(-x);
  *slope = 1 - small;
  return x + small;
}

double piece_energy(int d, double x, double* slope) {
  if (d % 3 == 0) return well_energy(x, slope);
  return d % 3 == 1 ? logistic_energy(x, slope) : gumbel_energy(x, slope);
}

double draw_piece(int d, double normal, double uniform) {
  if (d % 3 == 0) return (uniform < kHighShare ? kWellCentre : -kWellCentre) + kWellSigma * normal;
  return d % 3 == 1 ? std::log(uniform / (1 - uniform)) : -std::log(-std::log(uniform));
}

double log_z_of(TargetKind kind, int dim) {
  const double gaussian = 0.5 * dim * kLogTwoPi;
  switch (kind) {
    case TargetKind::gaussian: {
      double volume = 0;
      for (int d = 0; d < dim; ++d) volume += std::log(gaussian_sigma(d, dim));
      return gaussian + volume;
    }
    case TargetKind::correlated:
      return gaussian + 0.5 * (dim - 1) * std::log(kFollowVariance);
    case TargetKind::mixture:
      return gaussian + std::log(15.0);
    case TargetKind::twonorm:
    case TargetKind::ringnorm:
      return gaussian + std::log(2.0);
    case TargetKind::funnel:
      return gaussian + std::log(kFunnelSigma);
    case TargetKind::pieces:  // the logistic and Gumbel densities have Z = 1
      return (dim + 2) / 3 * (0.5 * kLogTwoPi + std::log(kWellSigma));
  }
  return 0;
}

}  // namespace

std::vector<TargetKind> all_targets() {
  std::vector<TargetKind> all;
  for (const auto& entry : kNames) all.push_back(entry.value);
  return all;
}
std::string_view to_string(TargetKind kind) { return name_of<TargetKind>(kNames, kind); }
TargetKind parse_target(std::string_view name, std::string_view field) {
  return parse_name<TargetKind>(kNames, name, field);
}

Target::Target(TargetKind kind, int dim) : kind_(kind), dim_(dim), log_z_(0) {
  const int fewest = kind == TargetKind::funnel ? 2 : 1;
  require(dim >= fewest && dim <= kMostDimensions, "dim", dim,
          fmt::format("must be in {} .. {} for {}", fewest, kMostDimensions, to_string(kind)));
  log_z_ = log_z_of(kind, dim);
}

void Target::require_point(std::span<const float> x) const {
  require(x.size() == static_cast<std::size_t>(dim_), "x", x.size(), fmt::format("must hold {} values", dim_));
}

// visit(k, log of the component's share at x).
template <class Visit>
void Target::visit_components(std::span<const float> x, const Visit& visit) const {
  std::array<double, kMixtureComponents> terms{};
  const int n = component_count(kind_);
  for (int k = 0; k < n; ++k) {
    const Component c = component(kind_, k, dim_);
    double square = 0;
    for (int d = 0; d < dim_; ++d) {
      const double away = static_cast<double>(x[static_cast<std::size_t>(d)]) - centre(kind_, k, d, dim_);
      square += away * away;
    }
    terms[static_cast<std::size_t>(k)] = c.log_weight - square / (2 * c.sigma * c.sigma);
  }
  for (int k = 0; k < n; ++k) visit(k, terms[static_cast<std::size_t>(k)]);
}

double Target::energy(std::span<const float> x) const {
  require_point(x);
  const auto at = [&](int d) { return static_cast<double>(x[static_cast<std::size_t>(d)]); };
  if (is_mixture(kind_)) {
    std::vector<double> terms;
    visit_components(x, [&](int, double term) { terms.push_back(term); });
    return -log_sum_exp(terms);
  }
  double sum = 0, slope = 0;
  switch (kind_) {
    case TargetKind::gaussian:
      for (int d = 0; d < dim_; ++d) {
        const double z = at(d) / gaussian_sigma(d, dim_);
        sum += z * z / 2;
      }
      return sum;
    case TargetKind::correlated:
      sum = at(0) * at(0) / 2;
      for (int d = 1; d < dim_; ++d) {
        const double own = at(d) - kFollow * at(d - 1);
        sum += own * own / (2 * kFollowVariance);
      }
      return sum;
    case TargetKind::funnel:
      for (int d = 1; d < dim_; ++d) sum += at(d) * at(d) / 2;
      return at(0) * at(0) / (2 * kFunnelSigma * kFunnelSigma) + std::exp(-at(0)) * sum + 0.5 * (dim_ - 1) * at(0);
    default:
      for (int d = 0; d < dim_; ++d) sum += piece_energy(d, at(d), &slope);
      return sum;
  }
}

void Target::gradient(std::span<const float> x, std::span<float> result) const {
  require_point(x);
  require(result.size() == x.size(), "result", result.size(), fmt::format("must hold {} values", dim_));
  std::vector<double> g(x.size(), 0.0);
  const auto at = [&](std::size_t d) { return static_cast<double>(x[d]); };
  if (is_mixture(kind_)) {
    const double energy_here = energy(x);
    visit_components(x, [&](int k, double term) {
      const double sigma = component(kind_, k, dim_).sigma, share = std::exp(term + energy_here);
      for (std::size_t d = 0; d < g.size(); ++d) {
        g[d] += share * (at(d) - centre(kind_, k, static_cast<int>(d), dim_)) / (sigma * sigma);
      }
    });
  } else if (kind_ == TargetKind::gaussian) {
    for (std::size_t d = 0; d < g.size(); ++d) {
      const double sigma = gaussian_sigma(static_cast<int>(d), dim_);
      g[d] = at(d) / (sigma * sigma);
    }
  } else if (kind_ == TargetKind::correlated) {
    g[0] = at(0);
    for (std::size_t d = 1; d < g.size(); ++d) {
      const double own = (at(d) - kFollow * at(d - 1)) / kFollowVariance;
      g[d] += own;
      g[d - 1] -= kFollow * own;
    }
  } else if (kind_ == TargetKind::funnel) {
    const double shrunk = std::exp(-at(0));
    double squares = 0;
    for (std::size_t d = 1; d < g.size(); ++d) {
      g[d] = shrunk * at(d);
      squares += at(d) * at(d);
    }
    g[0] = at(0) / (kFunnelSigma * kFunnelSigma) - shrunk * squares / 2 + 0.5 * (dim_ - 1);
  } else {
    for (std::size_t d = 0; d < g.size(); ++d) static_cast<void>(piece_energy(static_cast<int>(d), at(d), &g[d]));
  }
  std::ranges::transform(g, result.begin(), [](double v) { return static_cast<float>(v); });
}

std::optional<double> Target::entropy() const {
  switch (kind_) {
    // A Gaussian's mean energy is D / 2; the funnel's too, as E v = 0.
    case TargetKind::gaussian:
    case TargetKind::correlated:
    case TargetKind::funnel:
      return log_z_ + 0.5 * dim_;
    default:
      return std::nullopt;
  }
}

// Word r0 of block 0 chooses the component. Normals and uniforms of dimensions 4 b .. 4 b + 3 are the words of block
// b + 1, step 0 and step 1.
void Target::draw_row(std::uint64_t seed, std::uint64_t point, std::span<float> row) const {
  const int k = is_mixture(kind_) ? drawn_component(kind_, philox(seed, Purpose::density_draw, point, 0, 0).r0) : 0;
  const double spread = is_mixture(kind_) ? component(kind_, k, dim_).sigma : 1;
  double previous = 0, funnel_scale = 1;
  for (std::size_t first = 0; first < row.size(); first += 4) {
    const auto block = static_cast<std::uint32_t>(first / 4 + 1);
    const PhiloxWords w = philox(seed, Purpose::density_draw, point, 0, block);
    const auto [a, b] = double_normal_pair(w.r0, w.r1);
    const auto [c, e] = double_normal_pair(w.r2, w.r3);
    const double normal[] = {a, b, c, e};
    PhiloxWords u{};
    if (kind_ == TargetKind::pieces) u = philox(seed, Purpose::density_draw, point, 1, block);
    const std::uint32_t uniform[] = {u.r0, u.r1, u.r2, u.r3};
    for (std::size_t i = 0; i < std::min<std::size_t>(4, row.size() - first); ++i) {
      const auto d = static_cast<int>(first + i);
      double value = 0;
      switch (kind_) {
        case TargetKind::gaussian:
          value = gaussian_sigma(d, dim_) * normal[i];
          break;
        case TargetKind::correlated:
          value = d == 0 ? normal[i] : kFollow * previous + std::sqrt(kFollowVariance) * normal[i];
          break;
        case TargetKind::funnel:
          value = d == 0 ? kFunnelSigma * normal[i] : funnel_scale * normal[i];
          if (d == 0) funnel_scale = std::exp(value / 2);
          break;
        case TargetKind::pieces:
          value = draw_piece(d, normal[i], unit_double(uniform[i]));
          break;
        default:
          value = centre(kind_, k, d, dim_) + spread * normal[i];
      }
      previous = value;
      row[first + i] = static_cast<float>(value);
    }
  }
}

Matrix Target::draw(std::int64_t n, std::uint64_t seed, std::uint64_t first) const {
  require_draws(n, first);
  Matrix x(static_cast<std::size_t>(n), static_cast<std::size_t>(dim_));
  for (std::size_t i = 0; i < x.rows(); ++i) draw_row(seed, first + i, x.row(i));
  return x;
}

}  // namespace ebm
