// Densities that an energy-based model has to beat, fitted by maximum likelihood. All in data units, double inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"

namespace ebm {

struct Moments;

// Both are fitted to standardised columns, and the logarithm of the scales is taken off their densities: the units of a
// column change a log density by the logarithm of the unit and nothing else. A column that is constant in `x` has no
// density; it is left out of fit and density, and named by constant_columns().
class EBMCUDA_API ColumnScaling {
 public:
  ColumnScaling() = default;
  // Mean and standard deviation (over N) of every column that varies.
  explicit ColumnScaling(MatrixView x);

  std::size_t dim() const noexcept { return dim_; }
  const std::vector<std::size_t>& kept() const noexcept { return kept_; }          // columns that vary, ascending
  const std::vector<std::size_t>& constant() const noexcept { return constant_; }  // and those that do not
  double log_volume() const noexcept { return log_volume_; }                       // sum of log standard deviations
  void apply(std::span<const float> x, std::span<double> z) const;                 // D values -> kept().size()

 private:
  std::size_t dim_ = 0;
  std::vector<std::size_t> kept_, constant_;
  std::vector<double> mean_, std_;
  double log_volume_ = 0;
};

// Gaussian with full covariance.
class EBMCUDA_API GaussianDensity {
 public:
  // Covariance of the rows of `x` plus `ridge` times its diagonal on the diagonal (so that it stays positive definite).
  // Throws ConfigError for fewer than two rows, values that are not finite, columns all of which are constant, or a
  // singular covariance.
  static GaussianDensity fit(MatrixView x, double ridge = 1e-6);
  // log p of the columns that vary, nats; x holds D values.
  double log_density(std::span<const float> x) const;
  double mean_log_likelihood(MatrixView x) const;
  std::size_t dim() const noexcept { return scaling_.dim(); }
  const std::vector<std::size_t>& constant_columns() const noexcept { return scaling_.constant(); }  // from 0

 private:
  friend class GaussianMixture;
  static GaussianDensity from_moments(Moments moments, double diagonal);
  // Of standardised values, without the volume; `work` holds as many.
  double log_density(std::span<const double> z, std::span<double> work) const;
  ColumnScaling scaling_;
  std::vector<double> mean_, root_;  // the covariance is U^T U, U = root_ upper triangular, row-major
  double log_normalizer_ = 0;
};

// Mixture of full-covariance Gaussians by expectation maximisation, started by k-means++ on Philox numbers. Stops when
// an iteration gains less than 1e-5 nats per point.
class EBMCUDA_API GaussianMixture {
 public:
  // Throws ConfigError as above, and when components < 1 or > rows. `ridge` as above, relative to the data's own
  // variances; unset: 1e-3, which keeps a component from collapsing on a few points, and with one component, where
  // nothing can collapse, that of GaussianDensity: a mixture of one is the Gaussian.
  static GaussianMixture fit(MatrixView x, int components, std::uint64_t seed = 0, std::optional<double> ridge = {},
                             int max_iterations = 200);
  double log_density(std::span<const float> x) const;
  double mean_log_likelihood(MatrixView x) const;
  int components() const noexcept { return static_cast<int>(components_.size()); }
  const std::vector<std::size_t>& constant_columns() const noexcept { return scaling_.constant(); }

 private:
  // log weight + log density of each component, standardised; returns their log-sum-exp. `work` is as long as z.
  double log_terms(std::span<const double> z, std::span<double> terms, std::span<double> work) const;
  ColumnScaling scaling_;
  std::vector<GaussianDensity> components_;
  std::vector<double> log_weights_;
};

}  // namespace ebm
