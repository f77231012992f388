#include "ebmcuda/diagnostics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "ebmcuda/error.hpp"
#include "host/core/normal_pair.hpp"

namespace ebm {
namespace {

// Stationary chains x_t = phi x_{t-1} + sqrt(1 - phi^2) n, one dimension for each phi; chain c is moved by offset(c).
std::vector<Matrix> autoregressive(
    const std::vector<double>& phi, std::size_t chains, std::size_t steps,
    const std::function<double(std::size_t)>& offset = [](std::size_t) { return 0.0; }) {
  std::vector<Matrix> trajectory(steps, Matrix(chains, phi.size()));
  for (std::size_t c = 0; c < chains; ++c) {
    for (std::size_t d = 0; d < phi.size(); ++d) {
      double x = 0;
      for (std::size_t t = 0; t < steps; ++t) {
        const PhiloxWords w = philox(17, Purpose::evaluation, c, t, static_cast<std::uint32_t>(d));
        const double n = double_normal_pair(w.r0, w.r1).first;
        x = t == 0 ? n : phi[d] * x + std::sqrt(1 - phi[d] * phi[d]) * n;
        trajectory[t](c, d) = static_cast<float>(x + offset(c));
      }
    }
  }
  return trajectory;
}

// 1,2,3,4 and 5,6,7,8: halves with means 1.5, 3.5, 5.5, 7.5 and variances 0.5.
std::vector<Matrix> counting() {
  std::vector<Matrix> trajectory;
  for (int t = 1; t <= 4; ++t) {
    trajectory.emplace_back(2, 1, std::vector<float>{static_cast<float>(t), static_cast<float>(t + 4)});
  }
  return trajectory;
}

TEST(EffectiveSampleSize, MatchesTheLawOfAutoregressiveChains) {
  // (1 - phi) / (1 + phi) per draw. With 256,000 draws the estimates scatter by 3 % at phi = 0.9, so 15 % is five
  // standard deviations; phi = 0.87 would give 32 % more.
  const std::vector<double> phi = {0, 0.5, 0.9, -0.4};
  const std::vector<double> ess = effective_sample_size(autoregressive(phi, 64, 4000));
  ASSERT_EQ(ess.size(), phi.size());
  for (std::size_t d = 0; d < phi.size(); ++d) {
    const double expected = 64.0 * 4000 * (1 - phi[d]) / (1 + phi[d]);
    EXPECT_NEAR(ess[d], expected, 0.15 * expected) << "phi " << phi[d];
  }
}

TEST(EffectiveSampleSize, ChainsThatDisagreeCountAsFewDraws) {
  const auto trajectory = autoregressive({0.0}, 8, 1000, [](std::size_t c) { return c < 4 ? -3.0 : 3.0; });
  EXPECT_LT(effective_sample_size(trajectory)[0], 20);
}

TEST(EffectiveSampleSize, ChainsThatNeverMoveCountAsOneDrawEach) {
  const std::vector<Matrix> frozen(100, Matrix(3, 1, {1, 2, 5}));
  EXPECT_NEAR(effective_sample_size(frozen)[0], 3, 0.5);
  const std::vector<Matrix> constant(100, Matrix(3, 1, {2, 2, 2}));
  EXPECT_TRUE(std::isnan(effective_sample_size(constant)[0]));
}

TEST(EffectiveSampleSize, IsCappedForAntitheticChains) {
  const auto trajectory = autoregressive({-0.99}, 4, 1000);
  EXPECT_NEAR(effective_sample_size(trajectory)[0], 4000 * std::log10(4000.0), 1e-6);
}

TEST(SplitRhat, MatchesTheFormulaByHand) {
  // W = 0.5, B/n = 20/3, n = 2: sqrt((W/2 + 20/3) / W).
  EXPECT_NEAR(split_rhat(counting())[0], std::sqrt((0.25 + 20.0 / 3) / 0.5), 1e-12);
}

TEST(SplitRhat, IsOneForChainsThatAgree) {
  const auto rhat = split_rhat(autoregressive({0.0, 0.5}, 16, 2000));
  for (const double r : rhat) {
    EXPECT_GT(r, 0.999);
    EXPECT_LT(r, 1.005);
  }
}

TEST(SplitRhat, SeesChainsThatDisagreeAndChainsThatDrift) {
  EXPECT_GT(split_rhat(autoregressive({0.0}, 8, 1000, [](std::size_t c) { return c == 0 ? 2.0 : 0.0; }))[0], 1.1);
  auto drifting = autoregressive({0.0}, 1, 1000);
  for (std::size_t t = 0; t < drifting.size(); ++t) drifting[t](0, 0) += 0.003f * static_cast<float>(t);
  EXPECT_GT(split_rhat(drifting)[0], 1.1);  // one chain, told from its halves
}

TEST(SplitRhat, NamesChainsThatNeverMove) {
  EXPECT_EQ(split_rhat(std::vector<Matrix>(10, Matrix(2, 1, {1, 2})))[0], std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(split_rhat(std::vector<Matrix>(10, Matrix(2, 1, {1, 1})))[0]));
}

TEST(Diagnostics, RejectWhatIsNoTrajectory) {
  for (const auto& diagnostic : {effective_sample_size, split_rhat}) {
    EXPECT_THROW(diagnostic({}), ConfigError);
    EXPECT_THROW(diagnostic(std::vector<Matrix>(3, Matrix(2, 1))), ConfigError);
    EXPECT_THROW(diagnostic(std::vector<Matrix>(5, Matrix(0, 1))), ConfigError);
    auto uneven = counting();
    uneven[2] = Matrix(3, 1);
    EXPECT_THROW(diagnostic(uneven), ConfigError);
    auto not_finite = counting();
    not_finite[1](1, 0) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THROW(diagnostic(not_finite), ConfigError);
    EXPECT_NO_THROW(diagnostic(counting()));
  }
}

}  // namespace
}  // namespace ebm
