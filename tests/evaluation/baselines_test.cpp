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
    const auto [u, v] = double_normal_pair(w.r0, w.r1);
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
  const Matrix equal(10, 3);
  EXPECT_THROW(GaussianDensity::fit(equal), ConfigError);
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
  for (const auto& change : std::vector<void (*)(MixtureOptions&)>{[](MixtureOptions& o) { o.shrinkage = -1; },
                                                                   [](MixtureOptions& o) { o.factors = -1; },
                                                                   [](MixtureOptions& o) { o.starts = 0; }}) {
    MixtureOptions options;
    change(options);
    EXPECT_THROW(GaussianMixture::fit(x, options), ConfigError);
  }
  EXPECT_THROW(GaussianMixture::fit(x, 2, 0, std::numeric_limits<double>::quiet_NaN()), ConfigError);
  EXPECT_NO_THROW(GaussianMixture::fit(x, 10));
}

TEST(GaussianMixture, FullShrinkageTiesTheCovariances) {
  // Two groups far apart, of standard deviations 1 and 3. With one covariance for both, sqrt(5), the two bend alike.
  Matrix x(4000, 1);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const PhiloxWords w = philox(11, Purpose::evaluation, i, 0, 0);
    const double n = double_normal_pair(w.r0, w.r1).first;
    x(i, 0) = static_cast<float>(i % 2 == 0 ? n : 100 + 3 * n);
  }
  const auto variance_at = [](const GaussianMixture& mixture, float at) {
    const auto log_p = [&](float v) { return mixture.log_density(std::vector<float>{v}); };
    return -1 / (log_p(at + 1) - 2 * log_p(at) + log_p(at - 1));
  };
  MixtureOptions options;
  options.components = 2;
  const GaussianMixture apart = GaussianMixture::fit(x, options);
  EXPECT_NEAR(variance_at(apart, 0), 1 + 1e-3 * 2505, 0.2);  // the ridge is relative to the variance of all
  options.ridge = 1e-6;
  EXPECT_NEAR(variance_at(GaussianMixture::fit(x, options), 0), 1, 0.16);  // 4.9 sqrt(2 / 2000)
  EXPECT_NEAR(variance_at(GaussianMixture::fit(x, options), 100), 9, 1.4);
  options.shrinkage = 1e9;
  const GaussianMixture tied = GaussianMixture::fit(x, options);
  EXPECT_NEAR(variance_at(tied, 0), 5, 0.6);
  EXPECT_NEAR(variance_at(tied, 100), variance_at(tied, 0), 1e-3);
  // As many rows' worth as each has: half-way.
  options.shrinkage = 2000;
  EXPECT_NEAR(variance_at(GaussianMixture::fit(x, options), 0), 3, 0.4);
}

TEST(GaussianMixture, ShrinkageLeavesAMixtureOfOneTheGaussian) {
  const Matrix x = correlated(500, 3);
  MixtureOptions options;
  options.shrinkage = 50;
  EXPECT_NEAR(GaussianMixture::fit(x, options).mean_log_likelihood(x), GaussianDensity::fit(x).mean_log_likelihood(x),
              1e-9);
}

// Rows of six columns that one hidden number moves: W (3, -1, 2, 0, 1, 0.5), noise of standard deviation 0.5 .. 1.
Matrix one_factor(std::size_t n, std::uint64_t seed) {
  constexpr double kLoadings[] = {3, -1, 2, 0, 1, 0.5}, kNoise[] = {0.5, 0.6, 0.7, 0.8, 0.9, 1};
  Matrix x(n, 6);
  for (std::size_t i = 0; i < n; ++i) {
    const PhiloxWords w = philox(seed, Purpose::evaluation, i, 0, 0);
    const double hidden = double_normal_pair(w.r0, w.r1).first;
    for (std::uint32_t d = 0; d < 6; ++d) {
      const PhiloxWords v = philox(seed, Purpose::evaluation, i, 1, d);
      x(i, d) = static_cast<float>(kLoadings[d] * hidden + kNoise[d] * double_normal_pair(v.r0, v.r1).first);
    }
  }
  return x;
}

// -E log p of its law: det(N + W W^T) = det N (1 + W^T N^-1 W).
double one_factor_entropy() {
  constexpr double kLoadings[] = {3, -1, 2, 0, 1, 0.5}, kNoise[] = {0.5, 0.6, 0.7, 0.8, 0.9, 1};
  double log_det = 0, signal = 1;
  for (int d = 0; d < 6; ++d) {
    log_det += 2 * std::log(kNoise[d]);
    signal += kLoadings[d] * kLoadings[d] / (kNoise[d] * kNoise[d]);
  }
  return 3 * (1 + std::log(2 * std::numbers::pi)) + (log_det + std::log(signal)) / 2;
}

TEST(FactorAnalysers, ReachTheEntropyOfTheirOwnLawAndNeedFewerRows) {
  const Matrix test = one_factor(100'000, 2), many = one_factor(20'000, 1), few = one_factor(20, 3);
  MixtureOptions options;
  options.factors = 1;
  const auto likelihood = [&](const Matrix& train) {
    return GaussianMixture::fit(train, options).mean_log_likelihood(test);
  };
  // log p scatters by sqrt(3) a row: 5 standard errors of 100,000.
  EXPECT_NEAR(likelihood(many), -one_factor_entropy(), 0.03);
  // From 20 rows 12 numbers are known better than 21 are.
  EXPECT_GT(likelihood(few), GaussianDensity::fit(few).mean_log_likelihood(test) + 0.1);
}

TEST(FactorAnalysers, WithAsManyFactorsAsColumnsAreTheGaussian) {
  const Matrix x = one_factor(500, 4);
  MixtureOptions options;
  options.factors = 6;
  EXPECT_NEAR(GaussianMixture::fit(x, options).mean_log_likelihood(x), GaussianDensity::fit(x).mean_log_likelihood(x),
              1e-9);
  // Fewer lose likelihood on their own rows, the fewer the more.
  double previous = GaussianDensity::fit(x).mean_log_likelihood(x);
  for (const int factors : {3, 1}) {
    options.factors = factors;
    const double now = GaussianMixture::fit(x, options).mean_log_likelihood(x);
    EXPECT_LE(now, previous + 1e-6) << factors;
    previous = now;
  }
}

TEST(ChooseMixture, FindsTheNumberOfComponents) {
  const Matrix eight = draw(Density2d::eight_gaussians, 4000, 1);
  EXPECT_EQ(choose_mixture(eight, MixtureFamily::full_covariances).components, 8);
  const Matrix factors = one_factor(400, 5), few = correlated(9, 1);
  EXPECT_EQ(choose_mixture(factors, MixtureFamily::factor_analysers).components, 1);
  EXPECT_THROW(choose_mixture(few, MixtureFamily::full_covariances), ConfigError);
}

TEST(ChooseMixture, CostsLittleWhereOneGaussianIsTheTruth) {
  const Matrix x = correlated(2000, 8), test = correlated(20'000, 9);
  const GaussianMixture mixture = GaussianMixture::fit(x, choose_mixture(x, MixtureFamily::full_covariances));
  EXPECT_NEAR(mixture.mean_log_likelihood(test), GaussianDensity::fit(x).mean_log_likelihood(test), 0.01);
}

TEST(ChooseMixture, OfAGaussianIsTheGaussian) {
  const Matrix x = correlated(500, 3);
  const MixtureOptions options = choose_mixture(x, MixtureFamily::full_covariances);
  ASSERT_EQ(options.components, 1);
  EXPECT_NEAR(GaussianMixture::fit(x, options).mean_log_likelihood(x), GaussianDensity::fit(x).mean_log_likelihood(x),
              1e-9);
}

TEST(MarginalDensity, OfWholeNumbersIsTheirHistogram) {
  // 50 zeros, 30 ones, 20 twos beside the same turned round; one count is spread over the cells.
  Matrix x(100, 2), points(1, 2);
  for (std::size_t i = 0; i < 100; ++i) {
    x(i, 0) = i < 50 ? 0.0f : i < 80 ? 1.0f : 2.0f;
    x(i, 1) = 2 - x(i, 0);
  }
  const auto density = MarginalDensity::fit(x, MarginalDensity::Dependence::none, 1);
  points(0, 0) = 0.5f;
  points(0, 1) = 1.25f;
  const double cells = 3;
  EXPECT_NEAR(density.mean_log_likelihood(points), std::log((50 + 1 / cells) / 101) + std::log((30 + 1 / cells) / 101),
              1e-5);
  points(0, 0) = 7;
  EXPECT_EQ(density.mean_log_likelihood(points), -std::numeric_limits<double>::infinity());
}

// (e^a, e^(0.8 a + 0.6 b)): logarithms are Gaussian with correlation 0.8.
Matrix log_normal(std::size_t n, std::uint64_t seed) {
  Matrix x(n, 2);
  for (std::size_t i = 0; i < n; ++i) {
    const PhiloxWords w = philox(seed, Purpose::evaluation, i, 0, 0);
    const auto [a, b] = double_normal_pair(w.r0, w.r1);
    x(i, 0) = static_cast<float>(std::exp(a));
    x(i, 1) = static_cast<float>(std::exp(0.8 * a + 0.6 * b));
  }
  return x;
}

TEST(MarginalDensity, CopulaKnowsWhatIndependentColumnsMiss) {
  const Matrix train = log_normal(4000, 1), test = log_normal(20'000, 2);
  double truth = 0;
  for (std::size_t i = 0; i < test.rows(); ++i) {
    const double a = std::log(static_cast<double>(test(i, 0))), c = std::log(static_cast<double>(test(i, 1)));
    const double b = (c - 0.8 * a) / 0.6;
    truth += (-std::log(2 * std::numbers::pi) - std::log(0.6) - (a * a + b * b) / 2 - a - c) / 20'000;
  }
  const auto none = MarginalDensity::fit(train, MarginalDensity::Dependence::none);
  const auto copula = MarginalDensity::fit(train, MarginalDensity::Dependence::gaussian);
  // The mutual information, -log(1 - 0.64) / 2 = 0.51 nat, is the difference; the marginals' estimate costs the rest.
  EXPECT_NEAR(copula.mean_log_likelihood(test) - none.mean_log_likelihood(test), 0.51, 0.05);
  EXPECT_GT(copula.mean_log_likelihood(test), truth - 0.15);
  EXPECT_LT(copula.mean_log_likelihood(test), truth);
  EXPECT_LT(GaussianDensity::fit(train).mean_log_likelihood(test), truth - 1);
}

TEST(KernelDensity, IntegratesToOne) {
  Matrix x(200, 1);
  for (std::size_t i = 0; i < x.rows(); ++i) x(i, 0) = std::sin(static_cast<float>(i * i)) * 5 + 100;
  const auto density = KernelDensityEstimate::fit(x);
  double sum = 0;
  for (int i = 0; i < 40'000; ++i)
    sum += std::exp(density.log_density(std::vector<float>{80 + static_cast<float>(i) * 1e-3f})) * 1e-3;
  EXPECT_NEAR(sum, 1, 1e-3);
}

TEST(KernelDensity, ComesNearTheTruthInThePlane) {
  const Matrix train = draw(Density2d::two_moons, 4000, 1), test = draw(Density2d::two_moons, 10'000, 2);
  const auto density = KernelDensityEstimate::fit(train);
  double truth = 0;
  for (std::size_t i = 0; i < test.rows(); ++i) {
    truth += log_density(Density2d::two_moons, static_cast<double>(test(i, 0)), static_cast<double>(test(i, 1))) / 1e4;
  }
  EXPECT_NEAR(density.mean_log_likelihood(test), truth - 0.03, 0.03);
  // Half or twice the bandwidth would cost 0.1; a mixture of one Gaussian 0.9.
  EXPECT_LT(GaussianDensity::fit(train).mean_log_likelihood(test), truth - 0.5);
}

TEST(KernelDensity, TakesTheShapeOfCorrelatedData) {
  // Correlation 0.999: spherical kernels would have to be as narrow as the narrow direction.
  Matrix x(1000, 2), test(1000, 2);
  const Matrix a = correlated(1000, 1), b = correlated(1000, 2);
  const auto fill = [](const Matrix& from, Matrix& to) {
    for (std::size_t i = 0; i < to.rows(); ++i) {
      const float narrow = 0.04f * (from(i, 1) + 1 - (from(i, 0) - 3) / 2);
      to(i, 0) = from(i, 0);
      to(i, 1) = from(i, 0) + narrow;
    }
  };
  fill(a, x);
  fill(b, test);
  const auto density = KernelDensityEstimate::fit(x);
  EXPECT_TRUE(density.has_covariance());
  EXPECT_NEAR(density.mean_log_likelihood(test), GaussianDensity::fit(x).mean_log_likelihood(test), 0.1);
}

TEST(KernelDensity, SurvivesEqualRows) {
  const Matrix x(6, 1, {0, 0, 0, 1, 1, 1});
  EXPECT_TRUE(std::isfinite(KernelDensityEstimate::fit(x).mean_log_likelihood(x)));
}

// Every baseline on the same rows, for what they have in common.
std::vector<double> all_baselines(const Matrix& train, const Matrix& test) {
  MixtureOptions shrunk, factors;
  shrunk.components = 3;
  shrunk.shrinkage = 5;
  factors.components = 2;
  factors.factors = 1;
  return {GaussianDensity::fit(train).mean_log_likelihood(test),
          GaussianMixture::fit(train, shrunk).mean_log_likelihood(test),
          GaussianMixture::fit(train, factors).mean_log_likelihood(test),
          MarginalDensity::fit(train, MarginalDensity::Dependence::none).mean_log_likelihood(test),
          MarginalDensity::fit(train, MarginalDensity::Dependence::gaussian).mean_log_likelihood(test),
          KernelDensityEstimate::fit(train).mean_log_likelihood(test)};
}

TEST(Baselines, NoneDependsOnTheUnitsOfAColumn) {
  const Matrix train = one_factor(300, 6), test = one_factor(300, 7);
  const std::vector<double> plain = all_baselines(train, test);
  Matrix scaled_train = train, scaled_test = test;
  double shift = 0;
  for (std::size_t d = 0; d < 6; ++d) {
    const float unit = std::ldexp(1.0f, 9 * static_cast<int>(d) - 30);
    shift += std::log(static_cast<double>(unit));
    for (std::size_t i = 0; i < 300; ++i) {
      scaled_train(i, d) *= unit;
      scaled_test(i, d) *= unit;
    }
  }
  const std::vector<double> scaled = all_baselines(scaled_train, scaled_test);
  for (std::size_t k = 0; k < plain.size(); ++k) EXPECT_NEAR(scaled[k], plain[k] - shift, 1e-5) << k;
}

TEST(Baselines, AllLeaveConstantColumnsOut) {
  const Matrix train = one_factor(300, 6), test = one_factor(300, 7);
  const auto widened = [](const Matrix& x) {
    Matrix wide(x.rows(), 8);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      wide(i, 0) = -4;
      for (std::size_t d = 0; d < 6; ++d) wide(i, d + 1) = x(i, d);
      wide(i, 7) = 1e6f;
    }
    return wide;
  };
  const Matrix wide_train = widened(train), wide_test = widened(test);
  const std::vector<double> plain = all_baselines(train, test), wide = all_baselines(wide_train, wide_test);
  for (std::size_t k = 0; k < plain.size(); ++k) EXPECT_NEAR(wide[k], plain[k], 1e-9) << k;
  EXPECT_EQ(KernelDensityEstimate::fit(wide_train).constant_columns(), (std::vector<std::size_t>{0, 7}));
}

}  // namespace
}  // namespace ebm
