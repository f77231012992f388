// Every Metropolis-adjusted sampler leaves its target invariant for any step size: 10^6 exact draws have the same law
// after K steps. The unadjusted chain at the same step size does not, and the tests see it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "ebmcuda/sampler.hpp"
#include "support/engines.hpp"
#include "support/exact_draws.hpp"
#include "support/networks.hpp"
#include "support/statistics.hpp"

namespace {

using namespace support;

class MetropolisInvarianceTest : public EngineTest {
 protected:
  const std::size_t kChains = fresh_size(1000000);

  ebm::SampleResult run(const ebm::Mlp& model, const ebm::Sampler& sampler, const ebm::Matrix& start,
                        int n_steps) const {
    ebm::SampleOptions options;
    options.init = start;
    options.n_steps = n_steps;
    options.seed = fresh_seed(99);
    return ebm::sample(model, sampler, options, device());
  }

  static double standard_p(const ebm::Matrix& x) {
    return gaussian_p_value(
        x.values(), static_cast<int>(x.cols()), [](int) { return 0.0; }, [](int) { return 1.0; });
  }
};

// Rejects a missing or inverted proposal ratio, an acceptance that forgets the energy, jumps accepted from outside the
// box they go to, a rejected chain that moves.
TEST_P(MetropolisInvarianceTest, GaussianWithJumps) {
  for (const int dim : {1, 16}) {
    const ebm::Mlp model(shape_of(dim, {1}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f));
    const ebm::Matrix start = random_points(kChains, static_cast<std::size_t>(dim), fresh_seed(1));
    ASSERT_GT(standard_p(start), kAlpha);
    const float h = dim == 1 ? 0.9f : 0.3f;
    for (const float jump_prob : {0.0f, 0.3f}) {
      for (const int n_steps : {1, 10}) {
        SCOPED_TRACE(testing::Message() << "D " << dim << " jumps " << jump_prob << " K " << n_steps);
        for (const ebm::Sampler& sampler : exact_samplers(h, jump_prob, {}, {})) {
          SCOPED_TRACE(ebm::describe(sampler));
          const ebm::SampleResult result = run(model, sampler, start, n_steps);
          EXPECT_GT(standard_p(result.x), kAlpha);
          EXPECT_EQ(result.stats.restarts, 0u);
          const double acceptance = result.stats.acceptance();
          EXPECT_GT(acceptance, 0.2);
          EXPECT_LT(acceptance, 0.99);
          const ebm::MoveCount jumps = result.stats[ebm::Move::jump];
          const std::uint64_t proposed = jumps.proposed + result.stats[ebm::Move::local].proposed;
          EXPECT_EQ(proposed, kChains * static_cast<std::size_t>(n_steps));
          const double share = static_cast<double>(jumps.proposed) / static_cast<double>(proposed);
          EXPECT_NEAR(share, static_cast<double>(jump_prob), 5 / std::sqrt(static_cast<double>(kChains)));
          if (dim == 1 && jump_prob > 0) {
            EXPECT_GT(jumps.accepted, jumps.proposed / 10);
          }
          // It must have moved, or leaving the law invariant is nothing.
          std::size_t still = 0;
          for (std::size_t i = 0; i < start.rows(); ++i) still += start(i, 0) == result.x(i, 0);
          EXPECT_LT(static_cast<double>(still), 0.7 * static_cast<double>(start.rows()));
        }
      }
    }
    ebm::LangevinDynamics unadjusted;
    unadjusted.step_size = h;
    EXPECT_LT(standard_p(run(model, unadjusted, start, 10).x), wrong_alpha())
        << "the unadjusted chain must be found out";
  }
}

// Clipped gradients and a box keep the chain exact: the target is then the Gaussian cut to the box.
TEST_P(MetropolisInvarianceTest, ClippedGradientAndBox) {
  const ebm::Mlp model(shape_of(1, {1}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f));
  std::mt19937_64 bits(fresh_seed(5));
  std::normal_distribution<float> normal;
  ebm::Matrix start(kChains / 2, 1);
  for (float& v : start.values()) {
    do v = normal(bits);
    while (v < -0.5f || v > 1.5f);
  }
  const double mass = normal_cdf(1.5) - normal_cdf(-0.5);
  const auto cdf = [&](double x) { return std::clamp((normal_cdf(x) - normal_cdf(-0.5)) / mass, 0.0, 1.0); };
  const ebm::Box box{{-0.5f}, {1.5f}};
  for (const ebm::Sampler& sampler : exact_samplers(0.2f, 0.1f, 0.3f, box)) {
    SCOPED_TRACE(ebm::describe(sampler));
    const ebm::Matrix x = run(model, sampler, start, 10).x;
    EXPECT_GT(ks_p_value(x.values(), cdf), kAlpha);
    EXPECT_GE(*std::ranges::min_element(x.values()), -0.5f);
    EXPECT_LE(*std::ranges::max_element(x.values()), 1.5f);
  }
  const ebm::Mala free{.step_size = 0.2f, .jump_prob = 0.1f, .grad_clip = 0.3f, .clamp = {}};
  const ebm::Matrix unlimited = run(model, free, start, 10).x;
  EXPECT_LT(ks_p_value(unlimited.values(), cdf), wrong_alpha());
}

// A random network in the plane, far from Gaussian. After 10 steps from exact draws the law of x, y, x + y, x y and E
// is that of other exact draws.
TEST_P(MetropolisInvarianceTest, RandomNetworkInThePlane) {
  const ebm::Mlp model = random_network(shape_of(2, {12}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f), 17);
  ExactDraws exact(model, fresh_seed(6));
  const ebm::Matrix start = exact(fresh_size(250000)), fresh = exact(fresh_size(250000));

  const auto smallest_p = [&](const ebm::Matrix& a, const ebm::Matrix& b) {
    const auto e_a = ebm::energy(model, a, device()), e_b = ebm::energy(model, b, device());
    double smallest = 1;
    for (int feature = 0; feature < 5; ++feature) {
      const auto values = [&](const ebm::Matrix& m, const std::vector<float>& e) {
        std::vector<double> v(m.rows());
        for (std::size_t i = 0; i < v.size(); ++i) {
          const double x = static_cast<double>(m(i, 0)), y = static_cast<double>(m(i, 1));
          v[i] = std::array{x, y, x + y, x * y, static_cast<double>(e[i])}[static_cast<std::size_t>(feature)];
        }
        return v;
      };
      smallest = std::min(smallest, ks_two_sample_p_value(values(a, e_a), values(b, e_b)));
    }
    return std::min(1.0, 5 * smallest);
  };
  ASSERT_GT(smallest_p(start, fresh), kAlpha);
  for (const float h : {0.05f, 0.3f}) {
    for (const ebm::Sampler& sampler : exact_samplers(h, 0.1f, {}, {})) {
      EXPECT_GT(smallest_p(run(model, sampler, start, 10).x, fresh), kAlpha) << ebm::describe(sampler);
    }
  }
  ebm::LangevinDynamics unadjusted;
  unadjusted.step_size = 0.3f;
  EXPECT_LT(smallest_p(run(model, unadjusted, start, 10).x, fresh), wrong_alpha());
}

EBM_INSTANTIATE_ENGINES(MetropolisInvarianceTest);

}  // namespace
