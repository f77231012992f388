#include "ebmcuda/classification.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "ebmcuda/energy.hpp"
#include "host/core/check.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {
namespace {

constexpr std::uint32_t kBootstrapBlock = 0xFFFD;  // clear of the blocks that AIS and the baselines use

std::size_t best_class(std::span<const float> row) {
  return static_cast<std::size_t>(std::ranges::max_element(row) - row.begin());
}

// What one row adds to every statistic.
struct RowLoss {
  double negative_log_likelihood, brier, confidence;
  std::size_t bin;
  bool right;
};

RowLoss loss_of(std::span<const float> log_p, std::size_t label, std::size_t bins) {
  const std::size_t best = best_class(log_p);
  RowLoss loss{-static_cast<double>(log_p[label]), 0, std::exp(static_cast<double>(log_p[best])), 0, best == label};
  for (std::size_t y = 0; y < log_p.size(); ++y) {
    const double away = std::exp(static_cast<double>(log_p[y])) - (y == label ? 1 : 0);
    loss.brier += away * away;
  }
  const double place = std::ceil(loss.confidence * static_cast<double>(bins)) - 1;
  loss.bin = static_cast<std::size_t>(std::clamp(place, 0.0, static_cast<double>(bins - 1)));
  return loss;
}

// Sums over any rows, and the four statistics of them.
class Tally {
 public:
  explicit Tally(std::size_t bins) : bins_(bins) {}

  void add(const RowLoss& loss) {
    ++rows_;
    right_ += loss.right ? 1 : 0;
    negative_log_likelihood_ += loss.negative_log_likelihood;
    brier_ += loss.brier;
    Bin& bin = bins_[loss.bin];
    ++bin.rows;
    bin.confidence += loss.confidence;
    bin.right += loss.right ? 1 : 0;
  }

  std::array<double, 4> statistics() const {
    const auto n = static_cast<double>(rows_);
    double apart = 0;
    for (const Bin& bin : bins_) apart += std::abs(bin.confidence - static_cast<double>(bin.right));
    return {static_cast<double>(right_) / n, negative_log_likelihood_ / n, brier_ / n, apart / n};
  }

  std::vector<ReliabilityBin> reliability() const {
    std::vector<ReliabilityBin> result;
    for (const Bin& bin : bins_) {
      const double n = bin.rows == 0 ? 1 : static_cast<double>(bin.rows);
      result.push_back({bin.rows, bin.confidence / n, static_cast<double>(bin.right) / n});
    }
    return result;
  }

 private:
  struct Bin {
    std::size_t rows = 0, right = 0;
    double confidence = 0;
  };
  std::vector<Bin> bins_;
  std::size_t rows_ = 0, right_ = 0;
  double negative_log_likelihood_ = 0, brier_ = 0;
};

// Resample r draws row index_below(word i % 4 of step i / 4, N) as its i-th.
Tally resampled(const std::vector<RowLoss>& losses, std::size_t bins, std::uint64_t seed, std::uint64_t resample) {
  Tally tally(bins);
  for (std::size_t i = 0; i < losses.size(); i += 4) {
    const PhiloxWords w = philox(seed, Purpose::evaluation, resample, i / 4, kBootstrapBlock);
    const std::uint32_t words[] = {w.r0, w.r1, w.r2, w.r3};
    for (std::size_t k = 0; k < std::min<std::size_t>(4, losses.size() - i); ++k) {
      tally.add(losses[index_below(words[k], losses.size())]);
    }
  }
  return tally;
}

}  // namespace

Matrix class_log_probabilities(const Mlp& model, MatrixView x, const Device& device) {
  require(model.shape().head == Head::logits, "head", to_string(model.shape().head),
          "only a model with a logits head has classes");
  Matrix result = Energy(model, device).outputs(x);
  for (std::size_t i = 0; i < result.rows(); ++i) {
    const std::span<float> row = result.row(i);
    const auto largest = static_cast<double>(*std::ranges::max_element(row));
    double sum = 0;
    for (const float f : row) sum += std::exp(static_cast<double>(f) - largest);
    const double log_sum = largest + std::log(sum);
    for (float& f : row) f = static_cast<float>(static_cast<double>(f) - log_sum);
  }
  return result;
}

std::vector<int> most_probable_class(MatrixView log_probabilities) {
  std::vector<int> result(log_probabilities.rows);
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<int>(best_class(log_probabilities.row(i)));
  return result;
}

std::vector<float> confidence(MatrixView log_probabilities) {
  std::vector<float> result(log_probabilities.rows);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto row = log_probabilities.row(i);
    result[i] = std::exp(row[best_class(row)]);
  }
  return result;
}

ClassificationQuality judge_classifier(MatrixView log_probabilities, std::span<const int> labels,
                                       const ClassificationOptions& options) {
  require(options.bins >= 1 && options.bins <= 1000, "bins", options.bins, "must be in 1 .. 1000");
  require(options.resamples >= 10 && options.resamples <= 1'000'000, "resamples", options.resamples,
          "must be in 10 .. 1000000");
  require(options.level > 0 && options.level < 1, "level", options.level, "must be in (0, 1)");
  const std::size_t n = log_probabilities.rows, bins = static_cast<std::size_t>(options.bins);
  require(n >= 1 && log_probabilities.cols >= 1, "log_probabilities", fmt::format("{} x {}", n, log_probabilities.cols),
          "must hold at least one row");
  require(labels.size() == n, "labels", labels.size(), fmt::format("must hold one label for each of {} rows", n));
  std::vector<RowLoss> losses;
  losses.reserve(n);
  Tally all(bins);
  for (std::size_t i = 0; i < n; ++i) {
    const auto row = log_probabilities.row(i);
    require(labels[i] >= 0 && static_cast<std::size_t>(labels[i]) < row.size(), fmt::format("labels[{}]", i), labels[i],
            fmt::format("must be in 0 .. {}", row.size() - 1));
    for (const float v : row) require(!std::isnan(v), fmt::format("log_probabilities[{}]", i), v, "must be a number");
    losses.push_back(loss_of(row, static_cast<std::size_t>(labels[i]), bins));
    all.add(losses.back());
  }
  const auto values = all.statistics();
  std::array<std::vector<double>, 4> scatter;
  for (int r = 0; r < options.resamples; ++r) {
    const auto statistics = resampled(losses, bins, options.seed, static_cast<std::uint64_t>(r)).statistics();
    for (std::size_t k = 0; k < scatter.size(); ++k) scatter[k].push_back(statistics[k]);
  }
  const auto estimate = [&](std::size_t k) {
    std::ranges::sort(scatter[k]);
    const auto quantile = [&](double share) {
      return scatter[k][static_cast<std::size_t>(share * static_cast<double>(scatter[k].size() - 1) + 0.5)];
    };
    return Estimate{values[k], quantile((1 - options.level) / 2), quantile((1 + options.level) / 2)};
  };
  return {estimate(0), estimate(1), estimate(2), estimate(3), all.reliability()};
}

}  // namespace ebm
