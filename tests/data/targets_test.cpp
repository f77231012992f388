#include "ebmcuda/targets.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>
#include <tuple>

#include "ebmcuda/error.hpp"

namespace ebm {
namespace {

using std::numbers::pi;

class Targets : public testing::TestWithParam<TargetKind> {};
INSTANTIATE_TEST_SUITE_P(All, Targets, testing::ValuesIn(all_targets()),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST(TargetNames, RoundTripAndAreListedWhenUnknown) {
  EXPECT_EQ(all_targets().size(), 7u);
  for (const TargetKind kind : all_targets()) EXPECT_EQ(parse_target(to_string(kind)), kind);
  try {
    parse_target("donut", "NAME");
    FAIL() << "an unknown name was accepted";
  } catch (const ConfigError& error) {
    for (const TargetKind kind : all_targets()) EXPECT_NE(error.allowed().find(to_string(kind)), std::string::npos);
  }
}

TEST_P(Targets, LogZIsTheIntegralInThePlane) {
  // Trapezoid rule in (x0, x1). The funnel is integrated in (v, z), x = z e^(v/2), for which any grid would be too
  // coarse else.
  const Target target(GetParam(), 2);
  const bool funnel = GetParam() == TargetKind::funnel, scaled = GetParam() == TargetKind::gaussian;
  const double step_x = scaled ? 0.01 : 0.05, step_y = scaled ? 0.5 : 0.05;
  const int side_x = 800, side_y = GetParam() == TargetKind::pieces ? 1200 : 400;
  double sum = 0;
  for (int i = -side_x; i <= side_x; ++i) {
    for (int j = -side_y; j <= side_y; ++j) {
      const auto x = static_cast<float>(i * step_x);
      const double stretch = funnel ? std::exp(static_cast<double>(x) / 2) : 1;
      const auto y = static_cast<float>(j * step_y * stretch);
      sum += std::exp(-target.energy(std::vector<float>{x, y})) * step_x * step_y * stretch;
    }
  }
  EXPECT_NEAR(std::log(sum), target.log_z(), 1e-5);
}

TEST_P(Targets, InOneDimensionToo) {
  if (GetParam() == TargetKind::funnel) {
    EXPECT_THROW(Target(TargetKind::funnel, 1), ConfigError);
    return;
  }
  const Target target(GetParam(), 1);
  double sum = 0;
  for (int i = -4000; i <= 4000; ++i)
    sum += std::exp(-target.energy(std::vector<float>{static_cast<float>(i) / 128})) / 128;
  EXPECT_NEAR(std::log(sum), target.log_z(), 1e-6);
}

TEST_P(Targets, GradientIsTheEnergysDerivative) {
  for (const int dim : {2, 7, 20}) {
    const Target target(GetParam(), dim);
    const Matrix x = target.draw(3, 5);
    std::vector<float> gradient(static_cast<std::size_t>(dim));
    for (std::size_t i = 0; i < x.rows(); ++i) {
      target.gradient(x.row(i), gradient);
      for (std::size_t d = 0; d < gradient.size(); ++d) {
        std::vector<float> up(x.row(i).begin(), x.row(i).end()), down = up;
        const float h = std::ldexp(1.0f, -9) * std::max(std::abs(up[d]), 0.1f);
        up[d] += h;
        down[d] -= h;
        const double width = static_cast<double>(up[d]) - static_cast<double>(down[d]);
        const double slope = (target.energy(up) - target.energy(down)) / width;
        EXPECT_NEAR(static_cast<double>(gradient[d]), slope, 2e-3 * (1 + std::abs(slope)))
            << dim << ' ' << i << ' ' << d;
      }
    }
  }
}

// For any density, E dE/dx_d = 0 and E x_d dE/dx_d = 1 (Stein): draws that belong to another energy don't have it.
TEST_P(Targets, DrawsBelongToTheEnergy) {
  constexpr std::int64_t n = 40'000;
  const int dim = 20;
  const Target target(GetParam(), dim);
  const Matrix x = target.draw(n, 3);
  std::vector<float> gradient(dim);
  std::vector<double> first(dim), first_square(dim), second(dim), second_square(dim);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    target.gradient(x.row(i), gradient);
    for (std::size_t d = 0; d < gradient.size(); ++d) {
      const auto g = static_cast<double>(gradient[d]);
      const double product = g * static_cast<double>(x(i, d));
      first[d] += g / n;
      first_square[d] += g * g / n;
      second[d] += product / n;
      second_square[d] += product * product / n;
    }
  }
  for (std::size_t d = 0; d < 20; ++d) {
    const double error = std::sqrt((first_square[d] - first[d] * first[d]) / n);
    const double second_error = std::sqrt((second_square[d] - second[d] * second[d]) / n);
    // 5.5 standard errors: alpha 1.5e-6 for the 40 together. A variance 14 % off would show (the funnel's, 33 %).
    EXPECT_NEAR(first[d], 0, 5.5 * error) << d;
    EXPECT_NEAR(second[d], 1, 5.5 * second_error) << d;
    EXPECT_LT(second_error, GetParam() == TargetKind::funnel ? 0.06 : 0.025) << d;
  }
}

TEST_P(Targets, DrawsHaveTheEntropy) {
  const Target target(GetParam(), 20);
  if (!target.entropy()) return;
  const Matrix x = target.draw(20'000, 4);
  double sum = 0, square = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const double log_p = target.log_density(x.row(i));
    sum += log_p / 20'000;
    square += log_p * log_p / 20'000;
  }
  EXPECT_NEAR(sum, -*target.entropy(), 5 * std::sqrt((square - sum * sum) / 20'000));
}

TEST_P(Targets, ADrawDependsOnlyOnSeedAndIndex) {
  const Target target(GetParam(), 6);
  const Matrix all = target.draw(50, 7), tail = target.draw(20, 7, 30), other = target.draw(50, 8);
  std::size_t equal = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    for (std::size_t d = 0; d < 6; ++d) EXPECT_EQ(all(30 + i, d), tail(i, d));
    equal += all(i, 0) == other(i, 0) ? 1 : 0;
  }
  EXPECT_EQ(equal, 0u);
}

// Written out once more, in the plainest way.
double log_normal(double x, double mean, double sigma) {
  return -0.5 * std::log(2 * pi) - std::log(sigma) - (x - mean) * (x - mean) / (2 * sigma * sigma);
}

double plain_log_density(TargetKind kind, const std::vector<double>& x) {
  const auto dim = static_cast<double>(x.size());
  double sum = 0;
  const auto product = [&](const auto& mean, double sigma) {
    double log_p = 0;
    for (std::size_t d = 0; d < x.size(); ++d) log_p += log_normal(x[d], mean(static_cast<double>(d)), sigma);
    return std::exp(log_p);
  };
  switch (kind) {
    case TargetKind::gaussian:
      for (std::size_t d = 0; d < x.size(); ++d) {
        sum += log_normal(x[d], 0, std::pow(10, -1 + 2 * static_cast<double>(d) / (dim - 1)));
      }
      return sum;
    case TargetKind::correlated:
      sum = log_normal(x[0], 0, 1);
      for (std::size_t d = 1; d < x.size(); ++d) sum += log_normal(x[d], 0.95 * x[d - 1], std::sqrt(1 - 0.95 * 0.95));
      return sum;
    case TargetKind::mixture:
      for (int k = 1; k <= 5; ++k) {
        sum += k / 15.0 * product([&](double d) { return 2.5 * std::cos(2 * pi * k * (d + 1) / 11); }, 1);
      }
      return std::log(sum);
    case TargetKind::twonorm: {
      const double a = 2 / std::sqrt(dim);
      return std::log(0.5 * product([&](double) { return a; }, 1) + 0.5 * product([&](double) { return -a; }, 1));
    }
    case TargetKind::ringnorm:
      return std::log(0.5 * product([](double) { return 0.0; }, 2) +
                      0.5 * product([&](double) { return 1 / std::sqrt(dim); }, 1));
    case TargetKind::funnel:
      sum = log_normal(x[0], 0, 3);
      for (std::size_t d = 1; d < x.size(); ++d) sum += log_normal(x[d], 0, std::exp(x[0] / 2));
      return sum;
    case TargetKind::pieces:
      for (std::size_t d = 0; d < x.size(); ++d) {
        if (d % 3 == 0) {
          sum += std::log(0.7 * std::exp(log_normal(x[d], 2, 0.5)) + 0.3 * std::exp(log_normal(x[d], -2, 0.5)));
        } else if (d % 3 == 1) {
          sum += -x[d] - 2 * std::log(1 + std::exp(-x[d]));
        } else {
          sum += -x[d] - std::exp(-x[d]);
        }
      }
      return sum;
  }
  return 0;
}

TEST_P(Targets, LogDensityIsTheDefinition) {
  for (const int dim : {2, 5, 20}) {
    const Target target(GetParam(), dim);
    const Matrix x = target.draw(20, 9);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      const std::vector<double> row(x.row(i).begin(), x.row(i).end());
      EXPECT_NEAR(target.log_density(x.row(i)), plain_log_density(GetParam(), row), 1e-9) << dim << ' ' << i;
    }
  }
}

TEST(TargetChecks, RejectWhatDoesNotFit) {
  EXPECT_THROW(Target(TargetKind::gaussian, 0), ConfigError);
  EXPECT_THROW(Target(TargetKind::gaussian, 16385), ConfigError);
  const Target target(TargetKind::twonorm, 3);
  EXPECT_THROW(target.energy(std::vector<float>{1, 2}), ConfigError);
  std::vector<float> two(2);
  EXPECT_THROW(target.gradient(std::vector<float>{1, 2, 3}, two), ConfigError);
  EXPECT_THROW(target.draw(0, 0), ConfigError);
  EXPECT_THROW(target.draw(1, 0, std::uint64_t{1} << 56), ConfigError);
}

}  // namespace
}  // namespace ebm
