#include "ebmcuda/densities.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <string>

#include "ebmcuda/error.hpp"
#include "host/core/gauss_legendre.hpp"
#include "tests/support/statistics.hpp"

namespace ebm {
namespace {

using std::numbers::pi;

class Densities : public testing::TestWithParam<Density2d> {};

INSTANTIATE_TEST_SUITE_P(All, Densities, testing::ValuesIn(all_densities_2d()),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST(DensityNames, RoundTripAndAreListedWhenUnknown) {
  EXPECT_EQ(all_densities_2d().size(), 6u);
  for (const Density2d d : all_densities_2d()) EXPECT_EQ(parse_density_2d(to_string(d)), d);
  try {
    parse_density_2d("moons", "NAME");
    FAIL() << "an unknown name was accepted";
  } catch (const ConfigError& e) {
    EXPECT_EQ(e.field(), "NAME");
    EXPECT_EQ(e.value(), "moons");
    for (const Density2d d : all_densities_2d()) EXPECT_NE(e.allowed().find(to_string(d)), std::string::npos);
  }
}

TEST_P(Densities, ADrawDependsOnlyOnSeedAndIndex) {
  const Matrix all = draw(GetParam(), 100, 7), tail = draw(GetParam(), 40, 7, 60), other = draw(GetParam(), 100, 8);
  std::size_t equal = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(all(60 + i, 0), tail(i, 0));
    EXPECT_EQ(all(60 + i, 1), tail(i, 1));
    equal += all(i, 0) == other(i, 0);
  }
  EXPECT_EQ(equal, 0u);
}

TEST(DensityDraws, RejectCountsOutOfRange) {
  EXPECT_THROW(draw(Density2d::rings, 0, 0), ConfigError);
  EXPECT_THROW(draw(Density2d::rings, -5, 0), ConfigError);
  EXPECT_THROW(draw(Density2d::rings, 1, 0, std::uint64_t{1} << 56), ConfigError);
  EXPECT_NO_THROW(draw(Density2d::rings, 1, 0, (std::uint64_t{1} << 56) - 1));
}

// The mass of p in each of 30 x 30 cells of [-3, 3]^2; cell edges fall on the edges of the checkerboard.
constexpr std::size_t kCells = 30;
std::vector<double> cell_masses(Density2d density) {
  const auto& rule = gauss_legendre<8>();
  const double half = 3.0 / kCells;
  std::vector<double> mass(kCells * kCells);
  for (std::size_t c = 0; c < mass.size(); ++c) {
    const double x = -3 + half * (2 * static_cast<double>(c / kCells) + 1);
    const double y = -3 + half * (2 * static_cast<double>(c % kCells) + 1);
    for (std::size_t i = 0; i < 8; ++i) {
      for (std::size_t j = 0; j < 8; ++j) {
        mass[c] += rule.weights[i] * rule.weights[j] * half * half *
                   std::exp(log_density(density, x + half * rule.nodes[i], y + half * rule.nodes[j]));
      }
    }
  }
  return mass;
}

// Pearson's chi-squared on draws that were moved by `shift` in x, as an upper-tail probability.
double goodness_of_fit(const Matrix& x, const std::vector<double>& mass, double shift) {
  std::vector<double> count(mass.size() + 1);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const double column = std::floor((x(i, 0) + shift + 3) * kCells / 6), row = std::floor((x(i, 1) + 3) * kCells / 6);
    const bool inside = column >= 0 && column < kCells && row >= 0 && row < kCells;
    ++count[inside ? static_cast<std::size_t>(column) * kCells + static_cast<std::size_t>(row) : mass.size()];
  }
  // Cells with an expectation below 20 are pooled with what lies outside, else chi-squared is no chi-squared.
  const double n = static_cast<double>(x.rows());
  double statistic = 0, degrees = 0, rest = 1, rest_count = count.back();
  for (std::size_t c = 0; c < mass.size(); ++c) {
    if (mass[c] * n < 20) {
      rest_count += count[c];
      continue;
    }
    rest -= mass[c];
    statistic += (count[c] - mass[c] * n) * (count[c] - mass[c] * n) / (mass[c] * n);
    ++degrees;
  }
  if (rest * n >= 20) {
    statistic += (rest_count - rest * n) * (rest_count - rest * n) / (rest * n);
  } else {
    // Nothing to pool (the checkerboard): a point where there is no mass is an error by itself.
    if (shift == 0) {
      EXPECT_EQ(rest_count, 0);
    }
    --degrees;
  }
  return support::chi_squared_upper(statistic, degrees);
}

TEST_P(Densities, DrawsFollowTheLogDensity) {
  const std::vector<double> mass = cell_masses(GetParam());
  const Matrix x = draw(GetParam(), static_cast<std::int64_t>(support::fresh_size(1'000'000)), support::fresh_seed(3));
  EXPECT_GT(goodness_of_fit(x, mass, 0), support::kAlpha);
  // Power: the same draws moved by a tenth of a standard deviation are found out.
  EXPECT_LT(goodness_of_fit(x, mass, 0.01), support::wrong_alpha());
}

TEST_P(Densities, EveryDrawLiesInTheSupport) {
  const Matrix x = draw(GetParam(), 100'000, 11);
  for (std::size_t i = 0; i < x.rows(); ++i) ASSERT_TRUE(std::isfinite(log_density(GetParam(), x(i, 0), x(i, 1))));
}

TEST_P(Densities, EntropyAndMassByQuadrature) {
  // Midpoints of a grid whose cells never straddle an edge of the checkerboard.
  constexpr int kPoints = 240;
  const double limit = GetParam() == Density2d::checkerboard ? 2.0 : 3.6, step = 2 * limit / kPoints;
  double mass = 0, result = 0;
  for (int i = 0; i < kPoints; ++i) {
    for (int j = 0; j < kPoints; ++j) {
      const double log_p = log_density(GetParam(), -limit + (i + 0.5) * step, -limit + (j + 0.5) * step);
      if (!std::isfinite(log_p)) continue;
      mass += std::exp(log_p) * step * step;
      result -= log_p * std::exp(log_p) * step * step;
    }
  }
  EXPECT_NEAR(mass, 1, 1e-9);
  EXPECT_NEAR(result, entropy(GetParam()), 1e-7);
}

TEST(DensityTable, EntropiesOfTheContract) {
  EXPECT_NEAR(entropy(Density2d::two_moons), 1.007584, 1e-6);
  EXPECT_NEAR(entropy(Density2d::eight_gaussians), 1.123078, 1e-6);
  EXPECT_NEAR(entropy(Density2d::twenty_five_gaussians), 1.451580, 1e-6);
  EXPECT_NEAR(entropy(Density2d::rings), 2.068752, 1e-6);
  EXPECT_NEAR(entropy(Density2d::spirals), 2.087457, 1e-6);
  EXPECT_NEAR(entropy(Density2d::checkerboard), 2.079442, 1e-6);
}

// log of the integral over v in (0, 1) of weight(v) N((x, y); centre(v), sigma^2 I), by Simpson's rule, shifted by
// the largest exponent.
double log_blurred(
    double x, double y, double sigma, const std::function<std::pair<double, double>(double)>& centre,
    const std::function<double(double)>& weight = [](double) { return 1.0; }) {
  constexpr int kIntervals = 100'000;
  std::vector<double> exponents;
  for (int k = 0; k <= kIntervals; ++k) {
    const auto [cx, cy] = centre(static_cast<double>(k) / kIntervals);
    exponents.push_back(-((x - cx) * (x - cx) + (y - cy) * (y - cy)) / (2 * sigma * sigma));
  }
  const double largest = *std::max_element(exponents.begin(), exponents.end());
  double sum = 0;
  for (int k = 0; k <= kIntervals; ++k) {
    const double simpson = k == 0 || k == kIntervals ? 1 : 2 + 2 * (k % 2);
    sum += simpson * weight(static_cast<double>(k) / kIntervals) *
           std::exp(exponents[static_cast<std::size_t>(k)] - largest);
  }
  return std::log(sum / (3.0 * kIntervals)) + largest - std::log(2 * pi * sigma * sigma);
}

double log_mean_exp(std::initializer_list<double> values) {
  const double largest = std::max(values);
  double sum = 0;
  for (const double v : values) sum += std::exp(v - largest);
  return std::log(sum / static_cast<double>(values.size())) + largest;
}

TEST(DensityFormulas, CurvesMatchBruteForceIntegrals) {
  const std::vector<std::pair<double, double>> points = {{0, 0},        {0.3, 0.9},  {1, 0.5},    {-1.02, -0.1},
                                                         {0.5, 0.25},   {2.3, -1.4}, {-2.1, 2.2}, {1.9, 0.05},
                                                         {0.01, -0.02}, {-3, 1}};
  for (const auto& [x, y] : points) {
    const auto moon = [](double u) { return std::pair(std::cos(pi * u), std::sin(pi * u)); };
    const auto other_moon = [](double u) { return std::pair(1 - std::cos(pi * u), 0.5 - std::sin(pi * u)); };
    const double moons = log_mean_exp({log_blurred(x, y, 0.1, moon), log_blurred(x, y, 0.1, other_moon)});
    EXPECT_NEAR(log_density(Density2d::two_moons, x, y), moons, 1e-9 * std::max(1.0, std::abs(moons)));

    const auto ring = [](double radius) {
      return [radius](double u) { return std::pair(radius * std::cos(2 * pi * u), radius * std::sin(2 * pi * u)); };
    };
    const double rings = log_mean_exp(
        {log_blurred(x, y, 0.08, ring(0.7)), log_blurred(x, y, 0.08, ring(1.4)), log_blurred(x, y, 0.08, ring(2.1))});
    EXPECT_NEAR(log_density(Density2d::rings, x, y), rings, 1e-9 * std::max(1.0, std::abs(rings)));

    const auto arm = [](double sign) {
      return [sign](double v) {
        const double t = 3 * pi * v, r = sign * t / (1.5 * pi);
        return std::pair(r * std::cos(t), r * std::sin(t));
      };
    };
    // u = v^2: the square root in t would spoil Simpson's rule.
    const auto twice = [](double v) { return 2 * v; };
    const double spirals =
        log_mean_exp({log_blurred(x, y, 0.1, arm(1), twice), log_blurred(x, y, 0.1, arm(-1), twice)});
    EXPECT_NEAR(log_density(Density2d::spirals, x, y), spirals, 1e-9 * std::max(1.0, std::abs(spirals)));
  }
}

TEST(DensityFormulas, GaussiansFromTheirDefinition) {
  for (const auto& [x, y] : {std::pair(0.0, 0.0), {1.9, 0.1}, {-1.4, 1.5}, {0.52, -0.4}, {5.0, 4.0}}) {
    const auto normal = [px = x, py = y](double cx, double cy, double sigma) {
      return -((px - cx) * (px - cx) + (py - cy) * (py - cy)) / (2 * sigma * sigma) - std::log(2 * pi * sigma * sigma);
    };
    double eight = 0, twenty_five = 0;  // with the exponent at x = y = 0 kept in range by a shift
    const double shift_8 = log_density(Density2d::eight_gaussians, x, y);
    const double shift_25 = log_density(Density2d::twenty_five_gaussians, x, y);
    for (int k = 0; k < 8; ++k) {
      eight += std::exp(normal(2 * std::cos(k * pi / 4), 2 * std::sin(k * pi / 4), 0.15) - shift_8) / 8;
    }
    for (int k = 0; k < 25; ++k) twenty_five += std::exp(normal(k / 5 - 2, k % 5 - 2, 0.1) - shift_25) / 25;
    EXPECT_NEAR(eight, 1, 1e-9);
    EXPECT_NEAR(twenty_five, 1, 1e-9);
  }
}

TEST(DensityFormulas, CheckerboardIsUniformOnItsSquares) {
  EXPECT_DOUBLE_EQ(log_density(Density2d::checkerboard, -1.5, -1.5), -std::log(8.0));
  EXPECT_DOUBLE_EQ(log_density(Density2d::checkerboard, 0.5, 0.5), -std::log(8.0));
  EXPECT_DOUBLE_EQ(log_density(Density2d::checkerboard, 1.5, -0.5), -std::log(8.0));
  for (const auto& [x, y] : {std::pair(0.5, 1.5), {-0.5, 0.5}, {2.5, 0.5}, {0.5, -2.5}}) {
    EXPECT_EQ(log_density(Density2d::checkerboard, x, y), -std::numeric_limits<double>::infinity());
  }
}

}  // namespace
}  // namespace ebm
