#include "ebmcuda/baselines.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "ebmcuda/densities.hpp"
#include "ebmcuda/error.hpp"
#include "host/core/normal_pair.hpp"

namespace ebm {
namespace {

// Rows A n + b with n standard normal, A = [[2, 0], [1, 0.5]], b = (3, -1).
Matrix correlated(std::size_t n, std::uint64_t seed) {
  Matrix x(n, 2);
  for (std::size_t i = 0; i < n; ++i) {
    const PhiloxWords w = philox(seed, Purpose::evaluation, i, 0, 0);
    const auto [a, b] = double_normal_pair(w.r0, w.r1);
    x(i, 0) = static_cast<float>(3 + 2 * a);
    x(i, 1) = static_cast<float>(-1 + a + 0.5 * b);
  }
  return x;
}

TEST(GaussianDensity, ByHand) {
  // Two points at +-1 in each of two uncorrelated dimensions, the second twice as wide: covariance diag(1, 4).
  const Matrix x(4, 2, {1, 2, 1, -2, -1, 2, -1, -2});
  const GaussianDensity density = GaussianDensity::fit(x, 0);
  const auto expected = [](double a, double b) {
    return -std::log(2 * std::numbers::pi) - std::log(2.0) - a * a / 2 - b * b / 8;
  };
  EXPECT_NEAR(density.log_density(x.row(0)), expected(1, 2), 1e-12);
  const std::vector<float> away = {3, -5};
  EXPECT_NEAR(density.log_density(away), expected(3, -5), 1e-12);
  EXPECT_NEAR(density.mean_log_likelihood(x), expected(1, 2), 1e-12);
  // The ridge is relative to each column's variance.
  EXPECT_NEAR(GaussianDensity::fit(x, 0.4).log_density(std::vector<float>{0, 0}),
              -std::log(2 * std::numbers::pi) - 0.5 * std::log(1.4 * 5.6), 1e-12);
}

TEST(GaussianDensity, ReachesTheEntropyOfAGaussian) {
  // The best mean log-likelihood of N(b, A A^T) is -(1 + log 2 pi + log |det A|), det A = 1.
  const Matrix x = correlated(200'000, 1), others = correlated(200'000, 2);
  const GaussianDensity density = GaussianDensity::fit(x);
  const double best = -(1 + std::log(2 * std::numbers::pi));
  // -log p scatters by 1 per point; 400,000 draws in all.
  EXPECT_NEAR(density.mean_log_likelihood(others), best, 5 / std::sqrt(200'000.0));
}

TEST(GaussianDensity, RejectsWhatItCannotFit) {
  const Matrix one_point(1, 2), equal(5, 2), line(3, 2, {1, 2, 2, 4, 3, 6}), good = correlated(10, 1);
  EXPECT_THROW(GaussianDensity::fit(one_point), ConfigError);
  EXPECT_THROW(GaussianDensity::fit(equal), ConfigError);
  EXPECT_THROW(GaussianDensity::fit(line, 0), ConfigError);
  EXPECT_NO_THROW(GaussianDensity::fit(line, 1e-6));
  EXPECT_THROW(GaussianDensity::fit(good, -1), ConfigError);
  Matrix not_finite = good;
  not_finite(3, 1) = std::numeric_limits<float>::infinity();
  EXPECT_THROW(GaussianDensity::fit(not_finite), ConfigError);
  const GaussianDensity density = GaussianDensity::fit(good);
  const Matrix wide(3, 3), empty(0, 2);
  EXPECT_THROW(density.mean_log_likelihood(wide), ConfigError);
  EXPECT_THROW(density.mean_log_likelihood(empty), ConfigError);
  EXPECT_THROW(density.log_density(std::vector<float>{1}), ConfigError);
}

TEST(GaussianMixture, OneComponentIsTheGaussian) {
  const Matrix x = correlated(500, 3);
  EXPECT_NEAR(GaussianMixture::fit(x, 1).mean_log_likelihood(x), GaussianDensity::fit(x).mean_log_likelihood(x), 1e-9);
  EXPECT_NEAR(GaussianMixture::fit(x, 1, 0, 0.1).mean_log_likelihood(x),
              GaussianDensity::fit(x, 0.1).mean_log_likelihood(x), 1e-9);
}

Matrix in_units(const Matrix& x, double first, double second, double offset) {
  Matrix result(x.rows(), 2);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    result(i, 0) = static_cast<float>(first * static_cast<double>(x(i, 0)));
    result(i, 1) = static_cast<float>(second * static_cast<double>(x(i, 1)) + offset);
  }
  return result;
}

TEST(Baselines, DoNotDependOnTheUnitsOfAColumn) {
  // Powers of two, so that the columns hold the same numbers: log p moves by the logarithm of the units and no more.
  const Matrix x = draw(Density2d::two_moons, 500, 7);
  const double gaussian = GaussianDensity::fit(x).mean_log_likelihood(x);
  const double mixture = GaussianMixture::fit(x, 6, 1).mean_log_likelihood(x);
  for (const int e : {-90, -12, 12, 90}) {
    const double first = std::ldexp(1.0, e), second = std::ldexp(1.0, -e / 2);
    const Matrix scaled = in_units(x, first, second, 0);
    const double shift = std::log(first) + std::log(second);
    EXPECT_NEAR(GaussianDensity::fit(scaled).mean_log_likelihood(scaled), gaussian - shift, 1e-6) << e;
    EXPECT_NEAR(GaussianMixture::fit(scaled, 6, 1).mean_log_likelihood(scaled), mixture - shift, 1e-6) << e;
  }
  // An offset costs what single precision costs the data.
  const Matrix moved = in_units(x, 1, 1, 1000);
  EXPECT_NEAR(GaussianMixture::fit(moved, 6, 1).mean_log_likelihood(moved), mixture, 2e-3);
}

TEST(Baselines, ReachTheTruthOfIndependentColumnsOfAnyScale) {
  const std::size_t n = 20'000;
  const Matrix a = correlated(n, 4);
  Matrix x(n, 3);
  for (std::size_t i = 0; i < n; ++i) {
    const PhiloxWords w = philox(9, Purpose::evaluation, i, 0, 0);
    const auto [u, v] = normal_pair(w.r0, w.r1);
    x(i, 0) = static_cast<float>(1e-3 * u);
    x(i, 1) = static_cast<float>(v);
    x(i, 2) = static_cast<float>(1e3 * (static_cast<double>(a(i, 0)) - 3) / 2);
  }
  const double truth = -1.5 * (1 + std::log(2 * std::numbers::pi));  // the scales multiply to one
  EXPECT_NEAR(GaussianDensity::fit(x).mean_log_likelihood(x), truth, 0.05);
  EXPECT_NEAR(GaussianMixture::fit(x, 4).mean_log_likelihood(x), truth, 0.05);
}

TEST(Baselines, LeaveConstantColumnsOutAndNameThem) {
  const Matrix x = correlated(500, 3);
  Matrix wide(500, 4);
  for (std::size_t i = 0; i < 500; ++i) {
    wide(i, 0) = 7;
    wide(i, 1) = x(i, 0);
    wide(i, 2) = 0;
    wide(i, 3) = x(i, 1);
  }
  const GaussianDensity density = GaussianDensity::fit(wide);
  EXPECT_EQ(density.constant_columns(), (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(density.dim(), 4u);
  EXPECT_NEAR(density.mean_log_likelihood(wide), GaussianDensity::fit(x).mean_log_likelihood(x), 1e-12);
  const GaussianMixture mixture = GaussianMixture::fit(wide, 3);
  EXPECT_EQ(mixture.constant_columns(), (std::vector<std::size_t>{0, 2}));
  EXPECT_NEAR(mixture.mean_log_likelihood(wide), GaussianMixture::fit(x, 3).mean_log_likelihood(x), 1e-12);
  EXPECT_THROW(GaussianDensity::fit(Matrix(10, 3)), ConfigError);
}

TEST(GaussianMixture, EveryIterationOfExpectationMaximisationGains) {
  // Without a ridge, which is no part of the likelihood. Overlapping components, so that EM has work to do.
  const Matrix x = draw(Density2d::two_moons, 2000, 5);
  double previous = -std::numeric_limits<double>::infinity(), first = 0;
  for (int iterations = 1; iterations <= 30; ++iterations) {
    const double now = GaussianMixture::fit(x, 6, 1, 0, iterations).mean_log_likelihood(x);
    EXPECT_GE(now, previous - 1e-9) << iterations;
    if (iterations == 1) first = now;
    previous = now;
  }
  EXPECT_GT(previous, first + 0.05);
}

TEST(GaussianMixture, FindsTheEightGaussians) {
  const Matrix train = draw(Density2d::eight_gaussians, 8000, 1), test = draw(Density2d::eight_gaussians, 50'000, 2);
  const double best = -entropy(Density2d::eight_gaussians);
  // 47 free parameters on 8000 points cost about 47 / 16000 = 0.003 nat.
  EXPECT_NEAR(GaussianMixture::fit(train, 8, 0, 1e-6).mean_log_likelihood(test), best, 0.02);
  // Power: one Gaussian is far off.
  EXPECT_LT(GaussianMixture::fit(train, 1).mean_log_likelihood(test), best - 1);
}

TEST(GaussianMixture, IsReproducibleAndSeedMatters) {
  const Matrix x = draw(Density2d::spirals, 1000, 1);
  const double a = GaussianMixture::fit(x, 10, 1).mean_log_likelihood(x);
  EXPECT_EQ(a, GaussianMixture::fit(x, 10, 1).mean_log_likelihood(x));
  EXPECT_NE(a, GaussianMixture::fit(x, 10, 2).mean_log_likelihood(x));
}

TEST(GaussianMixture, SurvivesMoreComponentsThanDistinctPoints) {
  Matrix x(6, 1, {0, 0, 0, 1, 1, 1});
  const GaussianMixture mixture = GaussianMixture::fit(x, 5);
  EXPECT_EQ(mixture.components(), 5);
  EXPECT_TRUE(std::isfinite(mixture.mean_log_likelihood(x)));
}

TEST(GaussianMixture, RejectsWhatItCannotFit) {
  const Matrix x = correlated(10, 1);
  EXPECT_THROW(GaussianMixture::fit(x, 2).log_density(std::vector<float>{1}), ConfigError);
  EXPECT_THROW(GaussianMixture::fit(x, 0), ConfigError);
  EXPECT_THROW(GaussianMixture::fit(x, 11), ConfigError);
  EXPECT_THROW(GaussianMixture::fit(x, 2, 0, 1e-3, 0), ConfigError);
  EXPECT_THROW(GaussianMixture::fit(x, 2, 0, std::numeric_limits<double>::quiet_NaN()), ConfigError);
  EXPECT_NO_THROW(GaussianMixture::fit(x, 10));
}

}  // namespace
}  // namespace ebm
