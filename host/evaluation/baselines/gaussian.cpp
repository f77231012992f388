#include <cmath>
#include <limits>
#include <numbers>

#include "host/core/linear_algebra.hpp"
#include "host/evaluation/baselines/fitting.hpp"

namespace ebm {
namespace {

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

}  // namespace

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

double GaussianDensity::log_density(std::span<const double> z, std::span<double> work, double least) const {
  const std::size_t n = work.size();
  for (std::size_t d = 0; d < n; ++d) work[d] = z[d] - mean_[d];
  // U^T y = z - mean by columns, so that the squares so far are a bound.
  double square = 0;
  const double most = 2 * (log_normalizer_ - least);
  for (std::size_t k = 0; k < n; ++k) {
    const double* row = root_.data() + k * n;
    work[k] /= row[k];
    square += work[k] * work[k];
    if (square > most) return -std::numeric_limits<double>::infinity();
    for (std::size_t j = k + 1; j < n; ++j) work[j] -= row[j] * work[k];
  }
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

}  // namespace ebm
