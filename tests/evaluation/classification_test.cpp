#include "ebmcuda/classification.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ebmcuda/error.hpp"
#include "kernels/math/philox.hpp"
#include "tests/evaluation/closed_forms.hpp"

namespace ebm {
namespace {

Matrix logs(const Matrix& p) {
  Matrix result = p;
  for (float& v : result.values()) v = std::log(v);
  return result;
}

TEST(ClassProbabilities, AreBayesRuleOfAMixture) {
  // p(y | x) of two Gaussians at +-1 with weights 3 : 1 is the sigmoid of 2 x + log 3.
  const Mlp model = test::gaussian_mixture(Matrix(2, 1, {1, -1}), {std::log(3.0), 0}, 1);
  const Matrix x(4, 1, {-2, -1, 0.25f, 30});
  const Matrix log_p = class_log_probabilities(model, x, Device::cpu());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const double logit = 2 * static_cast<double>(x(i, 0)) + std::log(3.0);
    EXPECT_NEAR(static_cast<double>(log_p(i, 0)), -std::log1p(std::exp(-logit)), 2e-6) << i;
    EXPECT_NEAR(static_cast<double>(log_p(i, 1)), -std::log1p(std::exp(logit)), 2e-5) << i;  // 61 at the last row
  }
  EXPECT_EQ(most_probable_class(log_p), (std::vector<int>{1, 1, 0, 0}));
  EXPECT_NEAR(confidence(log_p)[2], 1 / (1 + std::exp(-0.5) / 3), 1e-6);
  EXPECT_THROW(class_log_probabilities(test::gaussian(1, 1), x, Device::cpu()), ConfigError);
}

TEST(MostProbableClass, TakesTheFirstOfEquals) {
  const Matrix p(2, 3, {-2, -1, -1, -1, -1, -1});
  EXPECT_EQ(most_probable_class(p), (std::vector<int>{1, 0}));
}

TEST(ClassifierQuality, ByHand) {
  const Matrix p(4, 2, {0.95f, 0.05f, 0.85f, 0.15f, 0.25f, 0.75f, 0.65f, 0.35f});
  const Matrix log_p = logs(p);
  const std::vector<int> labels = {0, 1, 1, 0};  // right, wrong, right, right
  const ClassificationQuality quality = judge_classifier(log_p, labels, {.bins = 10});
  EXPECT_EQ(quality.accuracy.value, 0.75);
  EXPECT_NEAR(quality.negative_log_likelihood.value,
              -(std::log(0.95) + std::log(0.15) + std::log(0.75) + std::log(0.65)) / 4, 1e-6);
  EXPECT_NEAR(quality.brier.value, 2 * (0.05 * 0.05 + 0.85 * 0.85 + 0.25 * 0.25 + 0.35 * 0.35) / 4, 1e-6);
  // One row a bin: |1 - 0.95|, |0 - 0.85|, |1 - 0.75|, |1 - 0.65|.
  EXPECT_NEAR(quality.calibration_error.value, (0.05 + 0.85 + 0.25 + 0.35) / 4, 1e-6);
  ASSERT_EQ(quality.bins.size(), 10u);
  std::size_t rows = 0;
  for (const ReliabilityBin& bin : quality.bins) rows += bin.rows;
  EXPECT_EQ(rows, 4u);
  // In one bin the errors make up for each other: |3/4 - 0.8|.
  EXPECT_NEAR(judge_classifier(log_p, labels, {.bins = 1}).calibration_error.value, 0.05, 1e-6);
}

TEST(ClassifierQuality, CertaintyFallsIntoTheLastBin) {
  const Matrix log_p(1, 2, {0, -std::numeric_limits<float>::infinity()});
  const auto quality = judge_classifier(log_p, std::vector<int>{0});
  EXPECT_EQ(quality.bins.back().rows, 1u);
  EXPECT_EQ(quality.calibration_error.value, 0);
  EXPECT_TRUE(std::isinf(judge_classifier(log_p, std::vector<int>{1}).negative_log_likelihood.value));
}

// n rows that are right with the probability they claim.
std::pair<Matrix, std::vector<int>> calibrated(std::size_t n, std::uint64_t seed) {
  Matrix log_p(n, 2);
  std::vector<int> labels;
  for (std::size_t i = 0; i < n; ++i) {
    const PhiloxWords w = philox(seed, Purpose::evaluation, i, 0, 0);
    const double p = 0.5 + 0.5 * unit_double(w.r0);
    log_p(i, 0) = static_cast<float>(std::log(p));
    log_p(i, 1) = static_cast<float>(std::log(1 - p));
    labels.push_back(unit_double(w.r1) < p ? 0 : 1);
  }
  return {log_p, labels};
}

TEST(ClassifierQuality, OfCalibratedProbabilitiesHasLittleError) {
  const auto [log_p, labels] = calibrated(100'000, 1);
  const auto quality = judge_classifier(log_p, labels, {.resamples = 10});
  // 8 bins of 12,500 rows whose accuracy scatters by 0.004 each: 0.003 expected. Confidences off by 0.02 would show.
  EXPECT_LT(quality.calibration_error.value, 0.01);
  EXPECT_NEAR(quality.accuracy.value, 0.75, 4.9 * 0.0014);
  EXPECT_NEAR(quality.brier.value, 1.0 / 3, 4.9 * 0.0012);  // E 2 p (1 - p), p uniform in (1/2, 1)
}

TEST(ClassifierQuality, IntervalsCoverTheTruthAsOftenAsTheySay) {
  int covered = 0;
  constexpr int kRepeats = 400;
  for (int r = 0; r < kRepeats; ++r) {
    const auto [log_p, labels] = calibrated(300, 1000 + static_cast<std::uint64_t>(r));
    const Estimate accuracy =
        judge_classifier(log_p, labels, {.resamples = 200, .level = 0.9, .seed = static_cast<std::uint64_t>(r)})
            .accuracy;
    EXPECT_LE(accuracy.lo, accuracy.value);
    EXPECT_GE(accuracy.hi, accuracy.value);
    covered += accuracy.lo <= 0.75 && 0.75 <= accuracy.hi ? 1 : 0;
  }
  // 0.9 +- 4.9 * 0.015; intervals half as wide would cover 0.59.
  EXPECT_NEAR(static_cast<double>(covered) / kRepeats, 0.9, 0.075);
}

TEST(ClassifierQuality, IntervalsFollowTheSeedAndNothingElse) {
  const auto [log_p, labels] = calibrated(101, 3);
  const auto hi = [&, &p = log_p, &y = labels](std::uint64_t seed) {
    return judge_classifier(p, y, {.seed = seed}).negative_log_likelihood.hi;
  };
  EXPECT_EQ(hi(1), hi(1));
  EXPECT_NE(hi(1), hi(2));
}

TEST(ClassifierQuality, RejectsWhatItCannotJudge) {
  const Matrix log_p = logs(Matrix(2, 2, {0.5f, 0.5f, 0.5f, 0.5f})), empty(0, 2);
  const std::vector<int> good = {0, 1};
  EXPECT_NO_THROW(judge_classifier(log_p, good));
  EXPECT_THROW(judge_classifier(empty, std::vector<int>{}), ConfigError);
  EXPECT_THROW(judge_classifier(log_p, std::vector<int>{0}), ConfigError);
  EXPECT_THROW(judge_classifier(log_p, std::vector<int>{0, 2}), ConfigError);
  EXPECT_THROW(judge_classifier(log_p, std::vector<int>{0, -1}), ConfigError);
  EXPECT_THROW(judge_classifier(log_p, good, {.bins = 0}), ConfigError);
  EXPECT_THROW(judge_classifier(log_p, good, {.resamples = 9}), ConfigError);
  EXPECT_THROW(judge_classifier(log_p, good, {.level = 1}), ConfigError);
  Matrix bad = log_p;
  bad(1, 1) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(judge_classifier(bad, good), ConfigError);
}

}  // namespace
}  // namespace ebm
