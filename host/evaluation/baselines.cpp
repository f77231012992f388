#include "ebmcuda/baselines.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "host/core/check.hpp"
#include "host/core/linear_algebra.hpp"
#include "host/sampling/transition.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {
namespace {

// One k-means++ draw per component, clear of the blocks that AIS uses under the same purpose.
constexpr std::uint32_t kSeedingBlock = 0xFFFF;
constexpr double kGaussianRidge = 1e-6, kMixtureRidge = 1e-3;
constexpr double kSmallestGain = 1e-5;  // nats per point and iteration, below which expectation maximisation stops

void require_data(MatrixView x, double ridge) {
  require(x.rows >= 2 && x.cols >= 1, "x", fmt::format("{} x {}", x.rows, x.cols), "must hold at least two points");
  require_points("x", x, static_cast<int>(x.cols));
  require_non_negative("ridge", ridge);
}

std::vector<double> factor(Moments moments, double diagonal) {
  const std::size_t n = moments.mean.size();
  add_to_diagonal(moments.covariance, n, diagonal);
  auto root = cholesky(std::move(moments.covariance), n);
  require(root.has_value(), "x", fmt::format("{} columns", n),
          fmt::format("their covariance is singular with a ridge of {}: some depend linearly on others", diagonal));
  return *std::move(root);
}

double log_normalizer(std::span<const double> root, std::size_t n) {
  double result = -0.5 * static_cast<double>(n) * std::log(2 * std::numbers::pi);
  for (std::size_t d = 0; d < n; ++d) result -= std::log(root[d * n + d]);
  return result;
}

double mean_over_rows(MatrixView x, const ColumnScaling& scaling, const auto& log_density) {
  require(x.rows >= 1, "x", x.rows, "must hold at least one point");
  require_points("x", x, static_cast<int>(scaling.dim()));
  std::vector<double> z(scaling.kept().size());
  double sum = 0;
  for (std::size_t i = 0; i < x.rows; ++i) {
    scaling.apply(x.row(i), z);
    sum += log_density(z);
  }
  return sum / static_cast<double>(x.rows) - scaling.log_volume();
}

// The columns that vary, standardised. Single precision is plenty for numbers of size one.
Matrix standardized(MatrixView x, const ColumnScaling& scaling) {
  Matrix result(x.rows, scaling.kept().size());
  std::vector<double> z(result.cols());
  for (std::size_t i = 0; i < x.rows; ++i) {
    scaling.apply(x.row(i), z);
    std::ranges::transform(z, result.row(i).begin(), [](double v) { return static_cast<float>(v); });
  }
  return result;
}

ColumnScaling scaling_of(MatrixView x, double ridge) {
  require_data(x, ridge);
  ColumnScaling scaling(x);
  require(!scaling.kept().empty(), "x", fmt::format("{} x {}", x.rows, x.cols),
          "every column is constant: there is no density to fit");
  return scaling;
}

double square_distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) {
    const double delta = static_cast<double>(a[d]) - static_cast<double>(b[d]);
    sum += delta * delta;
  }
  return sum;
}

// Arthur and Vassilvitskii 2007: every centre is a point drawn with probability proportional to its squared distance
// from the nearest centre so far. Returns the nearest centre of each point.
std::vector<std::size_t> seed_clusters(MatrixView x, int components, std::uint64_t seed) {
  std::vector<double> nearest(x.rows, std::numeric_limits<double>::infinity());
  std::vector<std::size_t> owner(x.rows);
  for (std::size_t k = 0; k < static_cast<std::size_t>(components); ++k) {
    const PhiloxWords w = philox(seed, Purpose::evaluation, k, 0, kSeedingBlock);
    double total = 0;
    for (const double square : nearest) total += square;
    std::size_t centre = index_below(w.r0, x.rows);
    if (k > 0 && total > 0) {
      double target = unit_double(w.r0) * total;
      for (std::size_t i = 0; i < x.rows; ++i) {
        if (nearest[i] > 0) centre = i;  // also what rounding at the end falls back on
        target -= nearest[i];
        if (target < 0) break;
      }
    }
    for (std::size_t i = 0; i < x.rows; ++i) {
      const double square = square_distance(x.row(i), x.row(centre));
      if (square >= nearest[i]) continue;
      nearest[i] = square;
      owner[i] = k;
    }
  }
  return owner;
}

}  // namespace

ColumnScaling::ColumnScaling(MatrixView x) : dim_(x.cols) {
  const auto n = static_cast<double>(x.rows);
  for (std::size_t d = 0; d < x.cols; ++d) {
    float lo = x.row(0)[d], hi = lo;
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < x.rows; ++i) {
      lo = std::min(lo, x.row(i)[d]);
      hi = std::max(hi, x.row(i)[d]);
      mean += static_cast<double>(x.row(i)[d]) / n;
    }
    if (lo == hi) {
      constant_.push_back(d);
      continue;
    }
    for (std::size_t i = 0; i < x.rows; ++i) {
      const double away = static_cast<double>(x.row(i)[d]) - mean;
      square += away * away / n;
    }
    kept_.push_back(d);
    mean_.push_back(mean);
    std_.push_back(std::sqrt(square));
    log_volume_ += std::log(std_.back());
  }
}

void ColumnScaling::apply(std::span<const float> x, std::span<double> z) const {
  for (std::size_t k = 0; k < kept_.size(); ++k) z[k] = (static_cast<double>(x[kept_[k]]) - mean_[k]) / std_[k];
}

GaussianDensity GaussianDensity::from_moments(Moments moments, double diagonal) {
  GaussianDensity result;
  result.mean_ = moments.mean;
  result.root_ = factor(std::move(moments), diagonal);
  result.log_normalizer_ = log_normalizer(result.root_, result.mean_.size());
  return result;
}

GaussianDensity GaussianDensity::fit(MatrixView x, double ridge) {
  ColumnScaling scaling = scaling_of(x, ridge);
  const Matrix points = standardized(x, scaling);
  GaussianDensity result = from_moments(moments(points), ridge);
  result.scaling_ = std::move(scaling);
  return result;
}

double GaussianDensity::log_density(std::span<const double> z, std::span<double> work) const {
  for (std::size_t d = 0; d < work.size(); ++d) work[d] = z[d] - mean_[d];
  solve_transposed(root_, work);
  double square = 0;
  for (const double v : work) square += v * v;
  return log_normalizer_ - square / 2;
}

double GaussianDensity::log_density(std::span<const float> x) const {
  require(x.size() == dim(), "x", x.size(), fmt::format("must hold {} values", dim()));
  std::vector<double> z(mean_.size()), work(mean_.size());
  scaling_.apply(x, z);
  return log_density(z, work) - scaling_.log_volume();
}

double GaussianDensity::mean_log_likelihood(MatrixView x) const {
  std::vector<double> work(mean_.size());
  return mean_over_rows(x, scaling_, [&](std::span<const double> z) { return log_density(z, work); });
}

GaussianMixture GaussianMixture::fit(MatrixView x, int components, std::uint64_t seed,
                                     std::optional<double> given_ridge, int max_iterations) {
  const double ridge = given_ridge.value_or(components == 1 ? kGaussianRidge : kMixtureRidge);
  require(components >= 1 && static_cast<std::size_t>(components) <= x.rows, "components", components,
          fmt::format("must be in 1 .. {}, the number of points", x.rows));
  require(max_iterations >= 1, "max_iterations", max_iterations, "must be >= 1");

  const auto n_components = static_cast<std::size_t>(components);
  GaussianMixture result;
  result.scaling_ = scaling_of(x, ridge);
  const Matrix points = standardized(x, result.scaling_);
  const std::size_t dim = points.cols();
  const auto n = static_cast<double>(x.rows);
  // A component that no point belongs to has the data's own shape and no weight.
  result.components_.assign(n_components, GaussianDensity::from_moments(moments(points), ridge));
  result.log_weights_.assign(n_components, -std::numeric_limits<double>::infinity());

  // responsibility[k][i]: the share of point i that component k takes.
  std::vector<std::vector<double>> responsibility(n_components, std::vector<double>(x.rows));
  const std::vector<std::size_t> owner = seed_clusters(points, components, seed);
  for (std::size_t i = 0; i < x.rows; ++i) responsibility[owner[i]][i] = 1;

  double previous = -std::numeric_limits<double>::infinity();
  std::vector<double> terms(n_components), work(dim), z(dim);
  for (int iteration = 0; iteration < max_iterations; ++iteration) {
    for (std::size_t k = 0; k < n_components; ++k) {
      double share = 0;
      for (const double r : responsibility[k]) share += r;
      result.log_weights_[k] = std::log(share / n);
      if (share < 1e-6) continue;  // keeps its shape; it may come back
      result.components_[k] = GaussianDensity::from_moments(moments(points, responsibility[k]), ridge);
    }
    double likelihood = 0;
    for (std::size_t i = 0; i < x.rows; ++i) {
      std::ranges::copy(points.row(i), z.begin());
      const double log_p = result.log_terms(z, terms, work);
      likelihood += log_p / n;
      for (std::size_t k = 0; k < n_components; ++k) responsibility[k][i] = std::exp(terms[k] - log_p);
    }
    if (likelihood - previous < kSmallestGain) break;
    previous = likelihood;
  }
  return result;
}

double GaussianMixture::log_terms(std::span<const double> z, std::span<double> terms, std::span<double> work) const {
  for (std::size_t k = 0; k < terms.size(); ++k) terms[k] = log_weights_[k] + components_[k].log_density(z, work);
  return log_sum_exp(terms);
}

double GaussianMixture::log_density(std::span<const float> x) const {
  require(x.size() == scaling_.dim(), "x", x.size(), fmt::format("must hold {} values", scaling_.dim()));
  const std::size_t dim = scaling_.kept().size();
  std::vector<double> terms(components_.size()), work(dim), z(dim);
  scaling_.apply(x, z);
  return log_terms(z, terms, work) - scaling_.log_volume();
}

double GaussianMixture::mean_log_likelihood(MatrixView x) const {
  std::vector<double> terms(components_.size()), work(scaling_.kept().size());
  return mean_over_rows(x, scaling_, [&](std::span<const double> z) { return log_terms(z, terms, work); });
}

}  // namespace ebm
