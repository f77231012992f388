// Temperature scaling: the temperature of labels that were drawn at one.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "ebmcuda/calibration.hpp"
#include "ebmcuda/classification.hpp"
#include "ebmcuda/error.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

// log softmax of random scores.
ebm::Matrix log_probabilities(std::size_t n, std::size_t classes, float scale) {
  const ebm::Matrix scores = random_points(n, classes, 3, scale);
  return ebm::at_temperature(scores, 1);
}

std::vector<int> drawn(const ebm::Matrix& log_p, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  std::uniform_real_distribution<double> uniform;
  std::vector<int> labels;
  for (std::size_t i = 0; i < log_p.rows(); ++i) {
    double left = uniform(bits);
    int y = 0;
    while (y + 1 < static_cast<int>(log_p.cols()) &&
           (left -= std::exp(static_cast<double>(log_p(i, static_cast<std::size_t>(y))))) > 0) {
      ++y;
    }
    labels.push_back(y);
  }
  return labels;
}

double cross_entropy(const ebm::Matrix& log_p, const std::vector<int>& labels) {
  return ebm::judge_classifier(log_p, labels, {.resamples = 10}).negative_log_likelihood.value;
}

// Labels of a classifier at temperature T: the fit finds T to 5 standard errors, and cross-entropy and calibration
// error are what they should be. Rejects 1/T for T, and a scale of probabilities in place of their logarithms.
TEST(Calibration, FindsTheTemperatureOfTheLabels) {
  const ebm::Matrix log_p = log_probabilities(20000, 5, 3);
  for (const double temperature : {0.5, 1.0, 2.5}) {
    const ebm::Matrix truth = ebm::at_temperature(log_p, temperature);
    const std::vector<int> labels = drawn(truth, 7);
    const double fitted = ebm::fit_temperature(log_p, labels);
    EXPECT_NEAR(fitted, temperature, 0.06 * temperature);
    const ebm::Matrix mended = ebm::at_temperature(log_p, fitted);
    EXPECT_LE(cross_entropy(mended, labels), cross_entropy(truth, labels) + 1e-9);
    for (const double other : {0.97 * fitted, 1.03 * fitted}) {
      EXPECT_GT(cross_entropy(ebm::at_temperature(log_p, other), labels), cross_entropy(mended, labels));
    }
    EXPECT_EQ(ebm::most_probable_class(mended), ebm::most_probable_class(log_p));
    const double error = ebm::judge_classifier(mended, labels, {.resamples = 10}).calibration_error.value;
    EXPECT_LT(error, 0.02);
    if (temperature != 1.0) {
      EXPECT_GT(ebm::judge_classifier(log_p, labels, {.resamples = 10}).calibration_error.value, 2 * error);
    }
  }
}

TEST(Calibration, AtOneNothingChangesAndRowsAddUp) {
  const ebm::Matrix log_p = log_probabilities(50, 4, 2);
  const ebm::Matrix same = ebm::at_temperature(log_p, 1), hot = ebm::at_temperature(log_p, 3);
  for (std::size_t i = 0; i < 50; ++i) {
    double sum = 0;
    for (std::size_t y = 0; y < 4; ++y) {
      EXPECT_NEAR(same(i, y), log_p(i, y), 1e-6f);
      sum += std::exp(static_cast<double>(hot(i, y)));
      EXPECT_NEAR(hot(i, y) - hot(i, 0), (log_p(i, y) - log_p(i, 0)) / 3, 1e-5f);
    }
    EXPECT_NEAR(sum, 1, 1e-6);
  }
}

TEST(Calibration, EndsOfTheScale) {
  const ebm::Matrix right(2, 2, {-0.1f, -2.4f, -2.4f, -0.1f});
  EXPECT_EQ(ebm::fit_temperature(right, std::vector<int>{0, 1}), 1e-3);
  EXPECT_EQ(ebm::fit_temperature(right, std::vector<int>{1, 0}), 1e3);
  const float never = -std::numeric_limits<float>::infinity();
  const ebm::Matrix sure(3, 2, {0, never, -0.1f, -2.4f, -0.1f, -2.4f});
  EXPECT_TRUE(std::isfinite(ebm::fit_temperature(sure, std::vector<int>{0, 0, 1})));
}

TEST(Calibration, WrongRequestsAreNamed) {
  const ebm::Matrix log_p = log_probabilities(3, 2, 1);
  const std::vector<int> good{0, 1, 0}, two{0, 1}, beyond{0, 1, 2};
  const ebm::Matrix nan(1, 2, {NAN, 0});
  EXPECT_NO_THROW(static_cast<void>(ebm::fit_temperature(log_p, good)));
  EXPECT_THROW(static_cast<void>(ebm::fit_temperature(log_p, two)), ebm::ConfigError);
  EXPECT_THROW(static_cast<void>(ebm::fit_temperature(log_p, beyond)), ebm::ConfigError);
  EXPECT_THROW(static_cast<void>(ebm::fit_temperature(nan, std::vector<int>{0})), ebm::ConfigError);
  EXPECT_THROW(static_cast<void>(ebm::at_temperature(log_p, 0)), ebm::ConfigError);
}

}  // namespace
