#include <algorithm>
#include <cmath>
#include <limits>

#include "host/core/linear_algebra.hpp"
#include "host/evaluation/baselines/factor_analysis.hpp"
#include "host/evaluation/baselines/fitting.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {
namespace {

// One k-means++ draw per component, clear of the blocks that AIS uses under the same purpose.
constexpr std::uint32_t kSeedingBlock = 0xFFFF;
constexpr int kLloydSteps = 10;
constexpr double kGaussianRidge = 1e-6, kMixtureRidge = 1e-3;
constexpr double kSmallestGain = 1e-5;  // nats per point and iteration, below which expectation maximisation stops
constexpr int kFirstIterations = 5;     // shrinkage and factors may lose likelihood at first: they settle together
constexpr double kNegligible = 60;      // nats: a component so far below the best adds nothing to a double
constexpr int kFactorSteps = 2;         // of each factor model in an iteration
constexpr double kNoRows = 1e-6;        // rows in all, below which a component keeps its shape

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

// Lloyd's k-means from there: expectation maximisation then starts from compact groups.
void improve_clusters(MatrixView x, std::size_t components, std::vector<std::size_t>& owner) {
  for (int step = 0; step < kLloydSteps; ++step) {
    Matrix centres(components, x.cols);
    std::vector<double> sums(components * x.cols), count(components);
    for (std::size_t i = 0; i < x.rows; ++i) {
      ++count[owner[i]];
      for (std::size_t d = 0; d < x.cols; ++d) sums[owner[i] * x.cols + d] += static_cast<double>(x.row(i)[d]);
    }
    for (std::size_t k = 0; k < components; ++k) {
      for (std::size_t d = 0; d < x.cols && count[k] > 0; ++d) {
        centres(k, d) = static_cast<float>(sums[k * x.cols + d] / count[k]);
      }
    }
    bool moved = false;
    for (std::size_t i = 0; i < x.rows; ++i) {
      std::size_t best = owner[i];
      double nearest = square_distance(x.row(i), centres.view().row(best));
      for (std::size_t k = 0; k < components; ++k) {
        if (count[k] == 0) continue;
        const double square = square_distance(x.row(i), centres.view().row(k));
        if (square >= nearest) continue;
        nearest = square;
        best = k;
      }
      moved = moved || best != owner[i];
      owner[i] = best;
    }
    if (!moved) return;
  }
}

void require_options(MatrixView x, const MixtureOptions& options) {
  require(options.components >= 1 && static_cast<std::size_t>(options.components) <= x.rows, "components",
          options.components, fmt::format("must be in 1 .. {}, the number of points", x.rows));
  require(options.max_iterations >= 1, "max_iterations", options.max_iterations, "must be >= 1");
  require(options.starts >= 1, "starts", options.starts, "must be >= 1");
  require(options.factors >= 0, "factors", options.factors, "must be >= 0 (0: full covariances)");
  require_non_negative("shrinkage", options.shrinkage);
}

}  // namespace

double MixtureOptions::effective_ridge() const {
  if (ridge) return *ridge;
  // What is shrunk to the covariance of all cannot collapse.
  return components == 1 || shrinkage > 0 ? kGaussianRidge : kMixtureRidge;
}

// One run of expectation maximisation and all it keeps from one iteration to the next.
class GaussianMixture::Fit {
 public:
  Fit(MatrixView points, const MixtureOptions& options, std::uint64_t seed, GaussianMixture* mixture)
      : points_(points),
        options_(options),
        mixture_(*mixture),
        n_(static_cast<std::size_t>(options.components)),
        share_(n_),
        moments_(n_),
        responsibility_(n_, std::vector<double>(points.rows)) {
    // A component that no point belongs to has the data's own shape and no weight.
    mixture_.components_.assign(n_, GaussianDensity::from_moments(moments(points), options.effective_ridge()));
    mixture_.log_weights_.assign(n_, -std::numeric_limits<double>::infinity());
    owner_ = seed_clusters(points, options.components, seed);
    improve_clusters(points, n_, owner_);
    for (std::size_t i = 0; i < points.rows; ++i) responsibility_[owner_[i]][i] = 1;
    if (options.factors > 0 && static_cast<std::size_t>(options.factors) < points.cols) factors_.resize(n_);
  }

  // Mean log-likelihood of the standardised points.
  double run() {
    double previous = -std::numeric_limits<double>::infinity();
    const bool settles = options_.shrinkage > 0 || !factors_.empty();
    for (int iteration = 0; iteration < options_.max_iterations; ++iteration) {
      maximise();
      const double likelihood = expect();
      const bool gains = likelihood - previous >= kSmallestGain;
      previous = likelihood;
      if (!gains && (!settles || iteration >= kFirstIterations)) break;
    }
    return previous;
  }

 private:
  void maximise() {
    for (std::size_t k = 0; k < n_; ++k) {
      share_[k] = 0;
      for (const double r : responsibility_[k]) share_[k] += r;
      mixture_.log_weights_[k] = std::log(share_[k] / static_cast<double>(points_.rows));
      if (share_[k] >= kNoRows) moments_[k] = moments(points_, responsibility_[k]);
    }
    const std::vector<double> pooled = options_.shrinkage > 0 ? pooled_covariance() : std::vector<double>{};
    for (std::size_t k = 0; k < n_; ++k) {
      if (share_[k] < kNoRows) continue;  // keeps its shape; it may come back
      Moments shape = moments_[k];
      for (std::size_t i = 0; i < pooled.size(); ++i) {
        shape.covariance[i] =
            (share_[k] * shape.covariance[i] + options_.shrinkage * pooled[i]) / (share_[k] + options_.shrinkage);
      }
      if (!factors_.empty()) shape.covariance = by_factors(k, shape.covariance);
      mixture_.components_[k] = GaussianDensity::from_moments(std::move(shape), options_.effective_ridge());
    }
  }

  // Of the points about the means of their components.
  std::vector<double> pooled_covariance() const {
    std::vector<double> pooled(points_.cols * points_.cols);
    double total = 0;
    for (std::size_t k = 0; k < n_; ++k) {
      if (share_[k] < kNoRows) continue;
      total += share_[k];
      for (std::size_t i = 0; i < pooled.size(); ++i) pooled[i] += share_[k] * moments_[k].covariance[i];
    }
    for (double& v : pooled) v /= total;
    return pooled;
  }

  std::vector<double> by_factors(std::size_t k, const std::vector<double>& covariance) {
    const double least = options_.effective_ridge();
    FactorModel& model = factors_[k];
    if (model.dim == 0) {
      model = start_factors(covariance, points_.cols, static_cast<std::size_t>(options_.factors), least);
    }
    for (int step = 0; step < kFactorSteps; ++step) improve_factors(model, covariance, least);
    return model.covariance();
  }

  double expect() {
    std::vector<double> terms(n_), work(points_.cols), z(points_.cols);
    double likelihood = 0;
    for (std::size_t i = 0; i < points_.rows; ++i) {
      std::ranges::copy(points_.row(i), z.begin());
      const double log_p = mixture_.log_terms(z, terms, work, owner_[i]);
      likelihood += log_p / static_cast<double>(points_.rows);
      for (std::size_t k = 0; k < n_; ++k) {
        const double below = log_p - terms[k];
        responsibility_[k][i] = below > kNegligible ? 0 : std::exp(-below);
        if (terms[k] > terms[owner_[i]]) owner_[i] = k;
      }
    }
    return likelihood;
  }

  MatrixView points_;
  const MixtureOptions& options_;
  GaussianMixture& mixture_;
  std::size_t n_;
  std::vector<double> share_;  // rows that each component has
  std::vector<Moments> moments_;
  std::vector<std::vector<double>> responsibility_;  // [k][i]: the share of point i that component k takes
  std::vector<std::size_t> owner_;                   // the component that has most of each point
  std::vector<FactorModel> factors_;                 // [k], or empty for full covariances
};

GaussianMixture GaussianMixture::fit(MatrixView x, const MixtureOptions& options) {
  require_options(x, options);
  const ColumnScaling scaling = scaling_of(x, options.effective_ridge());
  const Matrix points = standardized(x, scaling);
  GaussianMixture best;
  double best_likelihood = -std::numeric_limits<double>::infinity();
  for (int start = 0; start < options.starts; ++start) {
    GaussianMixture mixture;
    mixture.scaling_ = scaling;
    const double likelihood = Fit(points, options, options.seed + static_cast<std::uint64_t>(start), &mixture).run();
    if (start > 0 && !(likelihood > best_likelihood)) continue;
    best = std::move(mixture);
    best_likelihood = likelihood;
  }
  return best;
}

GaussianMixture GaussianMixture::fit(MatrixView x, int components, std::uint64_t seed, std::optional<double> ridge,
                                     int max_iterations) {
  MixtureOptions options;
  options.components = components;
  options.seed = seed;
  options.ridge = ridge;
  options.max_iterations = max_iterations;
  return fit(x, options);
}

double GaussianMixture::log_terms(std::span<const double> z, std::span<double> terms, std::span<double> work,
                                  std::size_t first) const {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  double best = kNone;
  const auto look_at = [&](std::size_t k) {
    terms[k] = log_weights_[k] + components_[k].log_density(z, work, best - kNegligible - log_weights_[k]);
    best = std::max(best, terms[k]);
  };
  look_at(first);
  for (std::size_t k = 0; k < terms.size(); ++k) {
    if (k != first) look_at(k);
  }
  return log_sum_exp(terms);
}

double GaussianMixture::log_density(std::span<const float> x) const {
  require(x.size() == scaling_.dim(), "x", x.size(), fmt::format("must hold {} values", scaling_.dim()));
  const std::size_t dim = scaling_.kept().size();
  std::vector<double> terms(components_.size()), work(dim), z(dim);
  scaling_.apply(x, z);
  return log_terms(z, terms, work, 0) - scaling_.log_volume();
}

double GaussianMixture::mean_log_likelihood(MatrixView x) const {
  std::vector<double> terms(components_.size()), work(scaling_.kept().size());
  return mean_over_rows(x, scaling_, [&](std::span<const double> z) { return log_terms(z, terms, work, 0); });
}

}  // namespace ebm
