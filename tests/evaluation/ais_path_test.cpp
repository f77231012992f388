#include "host/evaluation/ais_path.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "host/core/normal_pair.hpp"
#include "tests/evaluation/closed_forms.hpp"
#include "tests/support/statistics.hpp"

namespace ebm {
namespace {

std::vector<std::uint64_t> ids(std::size_t n, std::uint64_t first = 0) {
  std::vector<std::uint64_t> result(n);
  std::iota(result.begin(), result.end(), first);
  return result;
}

// Correlated points: x = (2 a, a + 0.5 b, 1), in the plane x_2 = 1, which has no width.
Matrix correlated(std::size_t n) {
  Matrix x(n, 3);
  for (std::size_t i = 0; i < n; ++i) {
    const PhiloxWords w = philox(3, Purpose::evaluation, i, 0, 0);
    const auto [a, b] = double_normal_pair(w.r0, w.r1);
    x(i, 0) = static_cast<float>(2 * a);
    x(i, 1) = static_cast<float>(a + 0.5 * b);
    x(i, 2) = 1;
  }
  return x;
}

TEST(AnnealingBase, HasTheMomentsOfThePoints) {
  const Matrix points = correlated(200'000);
  const AnnealingBase base(3, points);
  const GaussianBase& g = base.gaussian();
  EXPECT_NEAR(g.mean[0], 0, 0.03);
  EXPECT_NEAR(g.mean[2], 1, 1e-6);
  for (const std::size_t below : {3u, 6u, 7u}) EXPECT_EQ(g.root[below], 0.0f);

  // Its covariance, from draws: that of the points and a tenth of the mean variance, (4 + 1.25 + 0) / 3.
  const std::size_t n = 400'000;
  const std::vector<float> x = base.draw(1, ids(n));
  const double ridge = 0.1 * 5.25 / 3;
  const double expected[3][3] = {{4 + ridge, 2, 0}, {2, 1.25 + ridge, 0}, {0, 0, ridge}};
  for (std::size_t a = 0; a < 3; ++a) {
    for (std::size_t b = 0; b < 3; ++b) {
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) {
        sum += static_cast<double>(x[i * 3 + a] - g.mean[a]) * static_cast<double>(x[i * 3 + b] - g.mean[b]);
      }
      // Five standard errors of a covariance of unit scale 4, from 400,000 draws and 200,000 points.
      EXPECT_NEAR(sum / static_cast<double>(n), expected[a][b], 0.07) << a << b;
    }
  }
}

TEST(AnnealingBase, DrawsAreExact) {
  // R (x - mean) is standard normal, whatever the rounding of R.
  const Matrix points = correlated(1000);
  const AnnealingBase base(3, points);
  const GaussianBase& g = base.gaussian();
  const std::size_t n = support::fresh_size(200'000);
  const std::vector<float> x = base.draw(support::fresh_seed(5), ids(n));
  std::vector<float> z(x.size());
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t r = 0; r < 3; ++r) {
      double sum = 0;
      for (std::size_t c = r; c < 3; ++c) {
        sum += static_cast<double>(g.root[r * 3 + c]) * static_cast<double>(x[i * 3 + c] - g.mean[c]);
      }
      z[i * 3 + r] = static_cast<float>(sum);
    }
  }
  const auto zero = [](int) { return 0.0; };
  const auto one = [](int) { return 1.0; };
  EXPECT_GT(support::gaussian_p_value(z, 3, zero, one), support::kAlpha);
  for (float& v : z) v *= 1.01f;  // power
  EXPECT_LT(support::gaussian_p_value(z, 3, zero, one), support::wrong_alpha());
}

TEST(AnnealingBase, KnowsItsIntegral) {
  EXPECT_NEAR(AnnealingBase(5).log_z(), 2.5 * std::log(2 * std::numbers::pi), 1e-12);
  const Matrix points = correlated(1000);
  const AnnealingBase base(3, points);
  double expected = 1.5 * std::log(2 * std::numbers::pi);
  for (const std::size_t diagonal : {0u, 4u, 8u}) {
    expected -= std::log(static_cast<double>(base.gaussian().root[diagonal]));
  }
  EXPECT_NEAR(base.log_z(), expected, 1e-12);
}

TEST(AnnealingBase, ADrawDependsOnlyOnSeedAndId) {
  const Matrix points = correlated(100);
  const AnnealingBase base(3, points);
  const std::vector<float> all = base.draw(9, ids(10)), tail = base.draw(9, ids(4, 6)), other = base.draw(10, ids(10));
  EXPECT_TRUE(std::equal(tail.begin(), tail.end(), all.begin() + 18));
  EXPECT_NE(all, other);
}

TEST(PilotLadder, ClimbsFromTheBaseToTheModel) {
  const auto engine = make_engine(Device::cpu(1));
  const auto function = engine->load(test::gaussian(4, 25.0f));
  const Ladder ladder = pilot_ladder(*function, AnnealingBase(4), 0, ids(128), 50, 0.6f, {});
  ASSERT_EQ(ladder.beta.size(), 51u);
  ASSERT_EQ(ladder.step_size.size(), 51u);
  EXPECT_EQ(ladder.beta.front(), 0.0f);
  EXPECT_EQ(ladder.beta.back(), 1.0f);
  for (std::size_t t = 1; t <= 50; ++t) EXPECT_GE(ladder.beta[t], ladder.beta[t - 1]);
  // Var(U) falls with beta, so rungs are closest at the base; and the model is five times narrower in each dimension.
  EXPECT_LT(ladder.beta[1], 0.01);
  EXPECT_LT(ladder.beta[1] * 10, ladder.beta[50] - ladder.beta[49]);
  EXPECT_NEAR(ladder.step_size.front() / ladder.step_size.back(), 25, 8);
}

TEST(PilotLadder, CanBeAbandoned) {
  const auto engine = make_engine(Device::cpu(1));
  const auto function = engine->load(test::gaussian(2, 1));
  int calls = 0;
  EXPECT_TRUE(
      pilot_ladder(*function, AnnealingBase(2), 0, ids(64), 10, 0.6f, [&] { return ++calls < 3; }).beta.empty());
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace ebm
