// Densities that an energy-based model has to beat, fitted by maximum likelihood. All in data units, double inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/transform.hpp"

namespace ebm {

struct Moments;

// All are fitted to standardised columns, and the logarithm of the scales is taken off their densities: the units of a
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
  // Of standardised values, without the volume; `work` holds as many. -infinity as soon as it is below `least`.
  double log_density(std::span<const double> z, std::span<double> work,
                     double least = -std::numeric_limits<double>::infinity()) const;
  ColumnScaling scaling_;
  std::vector<double> mean_, root_;  // the covariance is U^T U, U = root_ upper triangular, row-major
  double log_normalizer_ = 0;
};

struct EBMCUDA_API MixtureOptions {
  int components = 1;  // 1 .. rows
  // Rows' worth of the covariance that all components share (of the points about their components' means) in each
  // component's own: the mode under an inverse Wishart distribution around it. 0: none.
  double shrinkage = 0;
  // 0: full covariances. Else W W^T + a diagonal, W with so many columns: a mixture of factor analysers (Ghahramani and
  // Hinton 1996). As many as the columns or more are full covariances.
  int factors = 0;
  // On the diagonal, relative to the data's own variances. Unset: 1e-3, which keeps a component from collapsing on a
  // few points, and where nothing can collapse, with one component or shrinkage, that of GaussianDensity.
  std::optional<double> ridge{};
  std::uint64_t seed = 0;
  int starts = 1;  // from other seeds; the one with the best likelihood stays
  int max_iterations = 200;

  double effective_ridge() const;
};

// Mixture of Gaussians by expectation maximisation, started by k-means++ on Philox numbers and k-means. Stops when an
// iteration gains less than 1e-5 nats per point. A mixture of one is the Gaussian.
class EBMCUDA_API GaussianMixture {
 public:
  // Throws ConfigError as above, and for options out of range.
  static GaussianMixture fit(MatrixView x, const MixtureOptions& options);
  static GaussianMixture fit(MatrixView x, int components, std::uint64_t seed = 0, std::optional<double> ridge = {},
                             int max_iterations = 200);
  double log_density(std::span<const float> x) const;
  double mean_log_likelihood(MatrixView x) const;
  int components() const noexcept { return static_cast<int>(components_.size()); }
  const std::vector<std::size_t>& constant_columns() const noexcept { return scaling_.constant(); }

 private:
  class EBMCUDA_HIDDEN Fit;
  // log weight + log density of each component, standardised; returns their log-sum-exp. `first` is a guess at the
  // largest; terms far below it are -infinity. `work` is as long as z.
  double log_terms(std::span<const double> z, std::span<double> terms, std::span<double> work, std::size_t first) const;
  ColumnScaling scaling_;
  std::vector<GaussianDensity> components_;
  std::vector<double> log_weights_;
};

enum class MixtureFamily { full_covariances, factor_analysers };

// The options (components, shrinkage, factors) that do best on rows left out: five fifths in turn below 1,000 rows, one
// fifth above. Components double, then are tried in between, while that helps; at most 64, and fewer where one
// iteration would cost more than 2e8 multiplications. Throws ConfigError for fewer than 10 rows, and as fit().
EBMCUDA_API MixtureOptions choose_mixture(MatrixView x, MixtureFamily family, std::uint64_t seed = 0);

// Independent columns, and with them the Gaussian copula: each column mapped to a standard Gaussian by a transform's
// `marginals` (a histogram of whole numbers, else a kernel density estimate with heavy tails; ebmcuda/transform.hpp),
// and there either nothing or a Gaussian with full covariance.
class EBMCUDA_API MarginalDensity {
 public:
  enum class Dependence { none, gaussian };
  // `x` without the noise of `dequantize`, which the points of log_density have. Throws ConfigError as GaussianDensity
  // and Transform::fit.
  static MarginalDensity fit(MatrixView x, Dependence dependence, float dequantize = 0, std::uint64_t seed = 0);
  double log_density(std::span<const float> x) const;  // -infinity outside a histogram's range
  double mean_log_likelihood(MatrixView x) const;
  const std::vector<std::size_t>& constant_columns() const noexcept { return scaling_.constant(); }

 private:
  ColumnScaling scaling_;  // which columns vary
  Transform transform_;    // of those
  std::optional<GaussianDensity> copula_;
};

// Gaussian kernels around the data: spherical over standardised columns, or with the data's covariance, whichever does
// better on a fifth of the rows left out. The bandwidth maximises the leave-one-out likelihood of up to 512 rows. At
// most 16,384 rows, spread evenly, are kernels.
class EBMCUDA_API KernelDensityEstimate {
 public:
  // Throws ConfigError as GaussianDensity.
  static KernelDensityEstimate fit(MatrixView x, std::uint64_t seed = 0);
  double log_density(std::span<const float> x) const;
  double mean_log_likelihood(MatrixView x) const;
  double bandwidth() const noexcept { return bandwidth_; }  // in standard deviations
  bool has_covariance() const noexcept { return !mean_.empty(); }
  const std::vector<std::size_t>& constant_columns() const noexcept { return scaling_.constant(); }

 private:
  // Of standardised points, without their scaling.
  static KernelDensityEstimate with_kernels(MatrixView points, bool covariance, std::uint64_t seed);
  double mean_of(MatrixView points) const;
  std::vector<double> coordinates(std::span<const double> z) const;
  double log_sum(std::span<const double> at, std::vector<double>& squares) const;
  ColumnScaling scaling_;
  std::vector<double> mean_, root_;  // of the covariance, or empty: spherical kernels
  std::vector<double> kernels_;      // [n, D] in coordinates where kernels are spherical, divided by the bandwidth
  std::size_t n_ = 0;
  double bandwidth_ = 1, log_normalizer_ = 0;
};

}  // namespace ebm
