#include "ebmcuda/scores.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "ebmcuda/error.hpp"
#include "host/core/normal_pair.hpp"

namespace ebm {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> normals(std::size_t n, double mean, std::uint64_t seed) {
  std::vector<float> result;
  for (std::size_t i = 0; i < n; ++i) {
    const PhiloxWords w = philox(seed, Purpose::evaluation, i, 0, 0);
    result.push_back(static_cast<float>(mean + double_normal_pair(w.r0, w.r1).first));
  }
  return result;
}

// Straight from the definition, n m comparisons.
double area_by_pairs(const std::vector<float>& normal, const std::vector<float>& anomalies) {
  double sum = 0;
  for (const float a : anomalies) {
    for (const float b : normal) sum += a > b ? 1 : a == b ? 0.5 : 0;
  }
  return sum / static_cast<double>(normal.size() * anomalies.size());
}

TEST(Auroc, ByHand) {
  EXPECT_EQ(auroc(std::vector<float>{1, 2}, std::vector<float>{3, 4}).area, 1);
  EXPECT_EQ(auroc(std::vector<float>{3, 4}, std::vector<float>{1, 2}).area, 0);
  EXPECT_EQ(auroc(std::vector<float>{1, 3}, std::vector<float>{2, 4}).area, 0.75);
  // Ties: all equal is a coin's throw, whatever the order of the rows.
  EXPECT_EQ(auroc(std::vector<float>{5, 5, 5}, std::vector<float>{5, 5}).area, 0.5);
  EXPECT_EQ(auroc(std::vector<float>{1, 2}, std::vector<float>{2, 3}).area, 0.875);
  EXPECT_EQ(auroc(std::vector<float>{0, kInfinity}, std::vector<float>{kInfinity, kInfinity}).area, 0.75);
}

TEST(Auroc, IsTheShareOfPairsWithTies) {
  std::vector<float> normal = normals(300, 0, 1), anomalies = normals(200, 0.7, 2);
  for (float& v : normal) v = std::round(v * 3);
  for (float& v : anomalies) v = std::round(v * 3);
  EXPECT_NEAR(auroc(normal, anomalies).area, area_by_pairs(normal, anomalies), 1e-12);
  EXPECT_NEAR(auroc(normal, anomalies).area + auroc(anomalies, normal).area, 1, 1e-12);
}

TEST(Auroc, OfTwoGaussiansIsPhiWithinItsStandardError) {
  // P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2).
  const Auroc result = auroc(normals(4000, 0, 3), normals(3000, 1, 4));
  const double exact = 0.5 * std::erfc(-0.5);
  // Five standard errors, alpha 6e-7; it would reject means that are 0.94 apart.
  EXPECT_NEAR(result.area, exact, 5 * result.standard_error);
  EXPECT_GT(result.standard_error, 0.004);
  EXPECT_LT(result.standard_error, 0.006);
}

TEST(Auroc, StandardErrorIsTheScatterOverRepeats) {
  double mean = 0, square = 0, claimed = 0;
  constexpr int kRepeats = 2000;
  for (int r = 0; r < kRepeats; ++r) {
    const auto seed = static_cast<std::uint64_t>(r);
    const Auroc result = auroc(normals(40, 0, 10 + 2 * seed), normals(30, 0.8, 11 + 2 * seed));
    mean += result.area / kRepeats;
    square += result.area * result.area / kRepeats;
    claimed += result.standard_error / kRepeats;
  }
  const double scatter = std::sqrt(square - mean * mean);
  // A standard deviation of 2,000 repeats is known to 1.6 %; alpha 1e-6 is 4.9 of those. One group's part alone would
  // be 25 % too small.
  EXPECT_NEAR(claimed / scatter, 1, 0.08);
}

TEST(Auroc, RejectsWhatHasNone) {
  const std::vector<float> some = {1, 2}, none, bad = {1, kNan};
  EXPECT_THROW(auroc(none, some), ConfigError);
  EXPECT_THROW(auroc(some, none), ConfigError);
  EXPECT_THROW(auroc(bad, some), ConfigError);
  EXPECT_THROW(roc_curve(some, bad), ConfigError);
  EXPECT_TRUE(std::isnan(auroc(std::vector<float>{1}, some).standard_error));
}

TEST(RocCurve, RunsFromNoneToAllAndItsAreaIsTheStatistic) {
  std::vector<float> normal = normals(200, 0, 5), anomalies = normals(100, 1, 6);
  for (float& v : normal) v = std::round(v * 2);
  for (float& v : anomalies) v = std::round(v * 2);
  const auto curve = roc_curve(normal, anomalies);
  EXPECT_EQ(curve.front().false_alarm_rate, 0);
  EXPECT_EQ(curve.front().detection_rate, 0);
  EXPECT_EQ(curve.back().false_alarm_rate, 1);
  EXPECT_EQ(curve.back().detection_rate, 1);
  double area = 0;
  for (std::size_t k = 1; k < curve.size(); ++k) {
    EXPECT_LT(curve[k].threshold, curve[k - 1].threshold);
    area += (curve[k].false_alarm_rate - curve[k - 1].false_alarm_rate) *
            (curve[k].detection_rate + curve[k - 1].detection_rate) / 2;
  }
  EXPECT_NEAR(area, auroc(normal, anomalies).area, 1e-12);
  // Each point is what its threshold does.
  for (const RocPoint& point : curve) {
    const auto above = [&](const std::vector<float>& scores) {
      return static_cast<double>(
                 std::ranges::count_if(scores, [&](float s) { return static_cast<double>(s) > point.threshold; })) /
             static_cast<double>(scores.size());
    };
    EXPECT_EQ(point.false_alarm_rate, above(normal));
    EXPECT_EQ(point.detection_rate, above(anomalies));
  }
}

TEST(Percentiles, CountRowsBelowAndTiesByHalf) {
  const std::vector<float> held_out = {4, 1, 3, 3}, scores = {0, 1, 2, 3, 4, 5, kInfinity};
  EXPECT_EQ(percentiles(scores, held_out), (std::vector<double>{0, 12.5, 25, 50, 87.5, 100, 100}));
  EXPECT_THROW(percentiles(scores, std::vector<float>{}), ConfigError);
  EXPECT_THROW(percentiles(std::vector<float>{kNan}, held_out), ConfigError);
}

TEST(FalseAlarmThreshold, IsTheConformalOrderStatistic) {
  std::vector<float> held_out;
  for (int i = 99; i >= 1; --i) held_out.push_back(static_cast<float>(i));
  EXPECT_EQ(false_alarm_threshold(held_out, 0.01), 99);  // ceil(0.99 * 100)
  EXPECT_EQ(false_alarm_threshold(held_out, 0.05), 95);
  EXPECT_EQ(false_alarm_threshold(held_out, 0.5), 50);
  EXPECT_EQ(false_alarm_threshold(held_out, 0.999), 1);
  EXPECT_THROW(false_alarm_threshold(held_out, 0.0099), ConfigError);
  held_out.pop_back();
  EXPECT_THROW(false_alarm_threshold(held_out, 0.01), ConfigError);  // 98 rows can't promise 1 %
  for (const double rate : {0.0, 1.0, -0.1, 2.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW(false_alarm_threshold(held_out, rate), ConfigError) << rate;
  }
}

TEST(FalseAlarmThreshold, KeepsItsPromiseForSmallSamplesOfAnything) {
  // Over samples of 19 and a new point each: exactly 5 % for continuous scores.
  constexpr int kRepeats = 40'000;
  int alarms = 0;
  for (int r = 0; r < kRepeats; ++r) {
    std::vector<float> scores = normals(20, 0, 100 + static_cast<std::uint64_t>(r));
    for (float& v : scores) v = std::exp(3 * v);
    const float fresh = scores.back();
    scores.pop_back();
    alarms += static_cast<double>(fresh) > false_alarm_threshold(scores, 0.05) ? 1 : 0;
  }
  // alpha 1e-6 is 4.9 standard errors of 0.0011; the plain 95 % quantile of 19 rows would give 10 %.
  EXPECT_NEAR(static_cast<double>(alarms) / kRepeats, 0.05, 0.0054);
}

}  // namespace
}  // namespace ebm
