// How many components, how much shrinkage, how many factors: by the likelihood of rows left out.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ebmcuda/dataset.hpp"
#include "host/evaluation/baselines/fitting.hpp"

namespace ebm {
namespace {

constexpr std::size_t kFewestRows = 10, kManyRows = 1000;
constexpr int kFolds = 5, kMostComponents = 64, kMostStarts = 5;
constexpr double kDearest = 2e8;                   // multiplications in an iteration
constexpr double kAffordable = 5e6, kQuick = 2e6;  // of all starts together: at the end, and in the search
constexpr double kOverhead = 8;                    // multiplications' worth of an exponential and the like
constexpr int kSearchIterations = 100, kFew = 16;
constexpr double kLeastGain = 1e-3;  // nats per row that another component or factor must bring
constexpr double kLittleShrinkage = 0.3, kMuchShrinkage = 3;  // rows for each column, beside one and none
constexpr int kFirstFactors = 4, kMostFactors = 32;

struct Candidate {
  MixtureOptions options;
  double likelihood = -std::numeric_limits<double>::infinity();
};

class Search {
 public:
  Search(MatrixView x, std::uint64_t seed) : columns_(x.cols) {
    const auto order = shuffled_order(x.rows, seed);
    const int folds = x.rows < kManyRows ? kFolds : 1;
    for (int fold = 0; fold < folds; ++fold) {
      const std::size_t begin = x.rows * static_cast<std::size_t>(fold) / kFolds;
      const std::size_t end = x.rows * static_cast<std::size_t>(fold + 1) / kFolds;
      auto rotated = order;
      std::rotate(rotated.begin(), rotated.begin() + static_cast<std::ptrdiff_t>(begin), rotated.end());
      judged_.push_back(select_rows(x, rotated, 0, end - begin));
      fitted_.push_back(select_rows(x, rotated, end - begin, x.rows));
    }
  }

  // Likelihood of the rows left out.
  Candidate judge(MixtureOptions options) const {
    options = with_starts(options, kQuick);
    options.max_iterations = kSearchIterations;
    double likelihood = 0;
    for (std::size_t fold = 0; fold < fitted_.size(); ++fold) {
      try {
        likelihood += GaussianMixture::fit(fitted_[fold], options).mean_log_likelihood(judged_[fold]) /
                      static_cast<double>(fitted_.size());
      } catch (const ConfigError&) {  // a component that collapses, or a fold in which nothing varies
        return {options, -std::numeric_limits<double>::infinity()};
      }
    }
    return {options, likelihood};
  }

  // Expectation maximisation finds a local optimum: the best of some, where they cost little.
  MixtureOptions with_starts(MixtureOptions options, double affordable) const {
    const int starts = std::clamp(static_cast<int>(affordable / cost(options.components)), 1, kMostStarts);
    options.starts = options.components == 1 ? 1 : starts;
    options.max_iterations = MixtureOptions{}.max_iterations;
    return options;
  }

  // From one component on: doubled while that helps, with one more look beyond where that is cheap, and then a number
  // in between.
  Candidate grow(MixtureOptions options) const {
    const auto with = [&](int components) {
      options.components = components;
      return judge(options);
    };
    Candidate best = with(1);
    const auto take = [&](const Candidate& other) {
      if (!(other.likelihood > best.likelihood + kLeastGain)) return false;
      best = other;
      return true;
    };
    int failures = 0;
    for (int k = 2; can_afford(k) && failures < (k <= kFew ? 2 : 1); k *= 2) {
      failures = take(with(k)) ? 0 : failures + 1;
    }
    const int found = best.options.components;
    if (found >= 4 && !(can_afford(found + found / 2) && take(with(found + found / 2)))) take(with(found - found / 4));
    return best;
  }

 private:
  double cost(int components) const {
    const double each = static_cast<double>(columns_ * columns_) + kOverhead;
    return static_cast<double>(fitted_.front().rows()) * components * each;
  }
  bool can_afford(int components) const {
    return 4 * static_cast<std::size_t>(components) <= fitted_.front().rows() && cost(components) <= kDearest &&
           components <= kMostComponents;
  }

  std::size_t columns_;
  std::vector<Matrix> fitted_, judged_;
};

const Candidate& better(const Candidate& a, const Candidate& b) { return b.likelihood > a.likelihood ? b : a; }

MixtureOptions choose_full_covariances(const Search& search, std::size_t columns, std::uint64_t seed) {
  MixtureOptions options;
  options.seed = seed;
  const Candidate plain = search.grow(options);
  options.shrinkage = static_cast<double>(columns);
  Candidate best = better(plain, search.grow(options));
  if (best.options.components == 1) return plain.options;  // nothing to shrink
  if (best.options.shrinkage > 0) {
    const MixtureOptions middle = best.options;
    for (const double rows : {kLittleShrinkage, kMuchShrinkage}) {
      options = middle;
      options.shrinkage = rows * static_cast<double>(columns);
      best = better(best, search.judge(options));
    }
  }
  return best.options;
}

MixtureOptions choose_factor_analysers(const Search& search, std::size_t columns, std::uint64_t seed) {
  const int most = std::clamp(static_cast<int>(columns) / 2, 1, kMostFactors);
  MixtureOptions options;
  options.seed = seed;
  options.factors = std::min(kFirstFactors, most);
  options.shrinkage = kLittleShrinkage * static_cast<double>(columns);
  Candidate best = search.grow(options);
  const auto try_factors = [&](int factors) {
    options = best.options;
    options.factors = factors;
    const Candidate other = search.judge(options);
    if (!(other.likelihood > best.likelihood + kLeastGain)) return false;
    best = other;
    return true;
  };
  bool grew = false;
  for (int q = 2 * options.factors; q <= most && try_factors(q); q *= 2) grew = true;
  for (int q = kFirstFactors / 2; !grew && q >= 1 && q < best.options.factors && try_factors(q); q /= 2) {
  }
  return best.options;
}

}  // namespace

MixtureOptions choose_mixture(MatrixView x, MixtureFamily family, std::uint64_t seed) {
  require(x.rows >= kFewestRows, "x", x.rows, fmt::format("must hold {} points or more", kFewestRows));
  const ColumnScaling scaling = scaling_of(x, 0);
  const Matrix kept = kept_columns(x, scaling);
  const Search search(kept, seed);
  // Below three columns there is nothing that factors could leave out.
  const bool factors = family == MixtureFamily::factor_analysers && kept.cols() >= 3;
  return search.with_starts(
      factors ? choose_factor_analysers(search, kept.cols(), seed) : choose_full_covariances(search, kept.cols(), seed),
      kAffordable);
}

}  // namespace ebm
