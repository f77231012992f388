// Densities that an energy-based model has to beat, fitted by maximum likelihood. All in data units, double inside.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ebmcuda/matrix.hpp"

namespace ebm {

// Gaussian with full covariance.
class GaussianDensity {
 public:
  // Covariance of the rows of `x` plus `ridge` times its mean diagonal on the diagonal (so that it stays positive
  // definite). Throws ConfigError for fewer than two rows.
  static GaussianDensity fit(MatrixView x, double ridge = 1e-6);
  double log_density(std::span<const float> x) const;
  double mean_log_likelihood(MatrixView x) const;

 private:
  friend class GaussianMixture;
  std::vector<double> mean_, cholesky_;  // lower triangle, row-major
  double log_normalizer_ = 0;
};

// Mixture of full-covariance Gaussians by expectation maximisation, started by k-means++ on Philox numbers.
class GaussianMixture {
 public:
  // Throws ConfigError when components < 1 or > rows. `ridge` as above, relative to the data's own covariance.
  static GaussianMixture fit(MatrixView x, int components, std::uint64_t seed = 0, double ridge = 1e-3,
                             int max_iterations = 200);
  double log_density(std::span<const float> x) const;
  double mean_log_likelihood(MatrixView x) const;
  int components() const noexcept { return static_cast<int>(components_.size()); }

 private:
  std::vector<GaussianDensity> components_;
  std::vector<double> log_weights_;
};

}  // namespace ebm
