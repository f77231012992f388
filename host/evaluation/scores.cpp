#include "ebmcuda/scores.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "host/core/check.hpp"

namespace ebm {
namespace {

std::vector<float> sorted(std::string_view field, std::span<const float> scores) {
  require(!scores.empty(), field, 0, "must hold at least one score");
  for (const float score : scores) require(!std::isnan(score), field, score, "a score is a number");
  std::vector<float> result(scores.begin(), scores.end());
  std::ranges::sort(result);
  return result;
}

// Share of the sorted `others` below `score`, those equal to it by half.
double share_below(std::span<const float> others, float score) {
  const auto [first, last] = std::equal_range(others.begin(), others.end(), score);
  const auto below = static_cast<double>(first - others.begin());
  const auto equal = static_cast<double>(last - first);
  return (below + equal / 2) / static_cast<double>(others.size());
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

// Variance of the mean of independent values; NaN for one.
double variance_of_mean(const std::vector<double>& values) {
  if (values.size() < 2) return std::numeric_limits<double>::quiet_NaN();
  const double mean = mean_of(values);
  double square = 0;
  for (const double v : values) square += (v - mean) * (v - mean);
  const auto n = static_cast<double>(values.size());
  return square / (n - 1) / n;
}

}  // namespace

Auroc auroc(std::span<const float> normal, std::span<const float> anomalies) {
  const std::vector<float> low = sorted("normal", normal), high = sorted("anomalies", anomalies);
  // DeLong's placements: of each anomaly among the normal points, and of each normal point among the anomalies.
  std::vector<double> above(high.size()), below(low.size());
  for (std::size_t i = 0; i < high.size(); ++i) above[i] = share_below(low, high[i]);
  for (std::size_t j = 0; j < low.size(); ++j) below[j] = share_below(high, low[j]);
  return {mean_of(above), std::sqrt(variance_of_mean(above) + variance_of_mean(below))};
}

std::vector<RocPoint> roc_curve(std::span<const float> normal, std::span<const float> anomalies) {
  const std::vector<float> low = sorted("normal", normal), high = sorted("anomalies", anomalies);
  std::vector<RocPoint> curve{{std::numeric_limits<double>::infinity(), 0, 0}};
  const auto share = [](std::size_t above, const std::vector<float>& of) {
    return static_cast<double>(above) / static_cast<double>(of.size());
  };
  // From the highest score down; points with equal scores are called together.
  std::size_t i = low.size(), j = high.size();
  const auto highest_left = [&] {
    const float a = i > 0 ? low[i - 1] : -std::numeric_limits<float>::infinity();
    return j > 0 ? std::max(a, high[j - 1]) : a;
  };
  while (i > 0 || j > 0) {
    const float called = highest_left();
    while (i > 0 && low[i - 1] == called) --i;
    while (j > 0 && high[j - 1] == called) --j;
    curve.push_back({static_cast<double>(highest_left()), share(low.size() - i, low), share(high.size() - j, high)});
  }
  return curve;
}

std::vector<double> percentiles(std::span<const float> scores, std::span<const float> held_out) {
  const std::vector<float> reference = sorted("held_out", held_out);
  std::vector<double> result(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    require(!std::isnan(scores[i]), "scores", scores[i], "a score is a number");
    result[i] = 100 * share_below(reference, scores[i]);
  }
  return result;
}

double false_alarm_threshold(std::span<const float> held_out, double rate) {
  require(rate > 0 && rate < 1, "false_alarm_rate", rate, "must be in (0, 1)");
  const std::vector<float> reference = sorted("held_out", held_out);
  const auto n = static_cast<double>(reference.size());
  // In exact arithmetic; a rate such as 0.05 is off by a rounding, which must not cost a whole score.
  const double rank = std::ceil((1 - rate) * (n + 1) - 1e-9 * n);
  if (rank > n) {
    reject("false_alarm_rate", rate,
           fmt::format("takes {:.0f} held-out points or more; there are {}", std::ceil(1 / rate - 1 - 1e-9 * n),
                       reference.size()));
  }
  return static_cast<double>(reference[static_cast<std::size_t>(std::max(rank, 1.0)) - 1]);
}

}  // namespace ebm
