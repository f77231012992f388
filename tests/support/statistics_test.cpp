// The statistical tests themselves: published quantiles, and that each rejects what it is meant to reject.
#include "support/statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace {

using namespace support;

TEST(Statistics, NormalTable) {
  EXPECT_NEAR(normal_cdf(1.959963984540054), 0.975, 1e-15);
  EXPECT_NEAR(normal_quantile(0.999), 3.090232306167813, 1e-12);
  EXPECT_NEAR(two_sided_p_value(4.891638475699412), 1e-6, 1e-15);
}

TEST(Statistics, ChiSquaredTable) {
  EXPECT_NEAR(chi_squared_upper(3.841458820694124, 1), 0.05, 1e-12);
  EXPECT_NEAR(chi_squared_upper(18.307038053275146, 10), 0.05, 1e-12);
  EXPECT_NEAR(chi_squared_upper(29.58829844507442, 10), 0.001, 1e-12);
  EXPECT_NEAR(chi_squared_upper(2, 10), 0.9963401531726563, 1e-12);
}

// Kolmogorov's table: lambda 1.3581 at 5 %, 1.6276 at 1 %.
TEST(Statistics, KolmogorovLimit) {
  const std::size_t n = 1000000;
  for (const auto& [lambda, alpha] : {std::pair{1.3581, 0.05}, std::pair{1.6276, 0.01}}) {
    // Equally spaced points, all shifted up by lambda / sqrt(n): the statistic is that shift.
    std::vector<float> draws(n);
    for (std::size_t i = 0; i < n; ++i) draws[i] = (static_cast<float>(i) + 0.5f) / static_cast<float>(n);
    const double shift = lambda / std::sqrt(static_cast<double>(n));
    const double p = ks_p_value(draws, [&](double x) { return x + shift; });
    EXPECT_NEAR(p, alpha, 0.02 * alpha);
  }
}

TEST(Statistics, GaussianDrawsPassAndSmallDeparturesFail) {
  std::mt19937_64 bits(1);
  std::normal_distribution<float> normal;
  std::vector<float> draws(200000);
  for (float& v : draws) v = normal(bits);
  const auto zero = [](int) { return 0.0; };
  const auto one = [](int) { return 1.0; };
  EXPECT_GT(gaussian_p_value(draws, 2, zero, one), kAlpha);
  EXPECT_LT(gaussian_p_value(
                draws, 2, [](int) { return 0.02; }, one),
            kAlpha);
  EXPECT_LT(gaussian_p_value(draws, 2, zero, [](int) { return 1.03; }), kAlpha);
  std::vector<float> correlated = draws;
  for (std::size_t i = 0; i < draws.size(); i += 2) {
    correlated[i + 1] = 0.03f * draws[i] + std::sqrt(1 - 0.03f * 0.03f) * draws[i + 1];
  }
  EXPECT_LT(gaussian_p_value(correlated, 2, zero, one), kAlpha);
  draws[17] = std::nanf("");
  EXPECT_LT(gaussian_p_value(draws, 2, zero, one), kAlpha);
}

TEST(Statistics, TwoSamples) {
  std::mt19937_64 bits(2);
  std::normal_distribution<double> normal;
  std::vector<double> a(100000), b(100000);
  for (double& v : a) v = normal(bits);
  for (double& v : b) v = normal(bits);
  EXPECT_GT(ks_two_sample_p_value(a, b), kAlpha);
  for (double& v : b) v += 0.03;
  EXPECT_LT(ks_two_sample_p_value(a, b), kAlpha);
}

TEST(Statistics, UniformityRejectsATilt) {
  std::vector<double> counts(100, 10000.0);
  EXPECT_NEAR(uniformity_p_value(counts), 1, 1e-9);
  for (std::size_t i = 0; i < 50; ++i) counts[i] += 400;
  EXPECT_LT(uniformity_p_value(counts), kAlpha);
}

}  // namespace
