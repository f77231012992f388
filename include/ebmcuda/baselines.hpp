// Densities that an energy-based model has to beat, fitted by maximum likelihood. All in data units, double inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"

namespace ebm {

struct Moments;

// Gaussian with full covariance.
class EBMCUDA_API GaussianDensity {
 public:
  // Covariance of the rows of `x` plus `ridge` times its mean diagonal on the diagonal (so that it stays positive
  // definite). Throws ConfigError for fewer than two rows, values that are not finite, or a singular covariance.
  static GaussianDensity fit(MatrixView x, double ridge = 1e-6);
  // log p(x), nats; x holds D values.
  double log_density(std::span<const float> x) const;
  double mean_log_likelihood(MatrixView x) const;
  std::size_t dim() const noexcept { return mean_.size(); }

 private:
  friend class GaussianMixture;
  static GaussianDensity from_moments(Moments moments, double diagonal);
  double log_density(std::span<const float> x, std::span<double> work) const;  // work holds D values
  std::vector<double> mean_, root_;  // the covariance is U^T U, U = root_ upper triangular, row-major
  double log_normalizer_ = 0;
};

// Mixture of full-covariance Gaussians by expectation maximisation, started by k-means++ on Philox numbers. Stops when
// an iteration gains less than 1e-5 nats per point.
class EBMCUDA_API GaussianMixture {
 public:
  // Throws ConfigError as above, and when components < 1 or > rows. `ridge` as above, relative to the data's own
  // covariance.
  static GaussianMixture fit(MatrixView x, int components, std::uint64_t seed = 0, double ridge = 1e-3,
                             int max_iterations = 200);
  double log_density(std::span<const float> x) const;
  double mean_log_likelihood(MatrixView x) const;
  int components() const noexcept { return static_cast<int>(components_.size()); }

 private:
  // log weight + log density of each component; returns their log-sum-exp. `work` holds D values.
  double log_terms(std::span<const float> x, std::span<double> terms, std::span<double> work) const;
  std::vector<GaussianDensity> components_;
  std::vector<double> log_weights_;
};

}  // namespace ebm
