// The public sample(): what it returns, how runs split over calls, what it refuses; presets and step-size conventions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "ebmcuda/error.hpp"
#include "ebmcuda/sampler.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

class SampleTest : public EngineTest {
 protected:
  ebm::Mlp model_ = random_network(shape_of(3, {17, 9}, ebm::Activation::silu, ebm::Head::scalar, 0.5f), 1);

  static ebm::SampleOptions options(std::int64_t n_chains, std::int64_t n_steps) {
    ebm::SampleOptions result;
    result.n_chains = n_chains;
    result.n_steps = n_steps;
    result.seed = 4;
    return result;
  }
};

TEST_P(SampleTest, RunsSplitOverCallsHaveTheSameBits) {
  for (const ebm::Sampler& sampler :
       {ebm::Sampler(ebm::LangevinDynamics{}),
        ebm::Sampler(ebm::Mala{.step_size = 0.05f, .jump_prob = 0.2f, .grad_clip = {}, .clamp = {}})}) {
    const ebm::SampleResult whole = ebm::sample(model_, sampler, options(70, 50), device());
    ebm::SampleOptions rest = options(0, 30);
    rest.init = ebm::sample(model_, sampler, options(70, 20), device()).x;
    rest.first_step = 20;
    EXPECT_EQ(ebm::sample(model_, sampler, rest, device()).x, whole.x);
    // Chains 30 .. 69 alone.
    ebm::SampleOptions tail = options(40, 50);
    tail.first_chain = 30;
    const ebm::Matrix last = ebm::sample(model_, sampler, tail, with_threads(1)).x;
    EXPECT_TRUE(std::equal(last.values().begin(), last.values().end(), whole.x.values().begin() + 30 * 3));
  }
}

TEST_P(SampleTest, ThinKeepsTheTrajectory) {
  ebm::SampleOptions request = options(10, 23);
  request.thin = 5;
  const ebm::SampleResult result = ebm::sample(model_, ebm::LangevinDynamics{}, request, device());
  ASSERT_EQ(result.trajectory.size(), 4u);
  for (std::int64_t k = 0; k < 4; ++k) {
    EXPECT_EQ(result.trajectory[static_cast<std::size_t>(k)],
              ebm::sample(model_, ebm::LangevinDynamics{}, options(10, 5 * (k + 1)), device()).x);
  }
  EXPECT_EQ(result.n_steps, 23);
  EXPECT_EQ(result.x, ebm::sample(model_, ebm::LangevinDynamics{}, options(10, 23), device()).x);
}

TEST_P(SampleTest, ProgressSeesTheEndAndCanStop) {
  ebm::SampleOptions request = options(10, 100);
  std::vector<std::int64_t> seen;
  request.progress = [&](const ebm::SampleProgress& p) {
    EXPECT_EQ(p.n_steps, 100);
    seen.push_back(p.step);
    return true;
  };
  const ebm::SampleResult watched = ebm::sample(model_, ebm::LangevinDynamics{}, request, device());
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 100);
  EXPECT_EQ(watched.x, ebm::sample(model_, ebm::LangevinDynamics{}, options(10, 100), device()).x);
  request.progress = [](const ebm::SampleProgress&) { return false; };
  const ebm::SampleResult stopped = ebm::sample(model_, ebm::LangevinDynamics{}, request, device());
  EXPECT_LT(stopped.n_steps, 100);
  EXPECT_EQ(stopped.x, ebm::sample(model_, ebm::LangevinDynamics{}, options(10, stopped.n_steps), device()).x);
}

TEST_P(SampleTest, EnergiesFlagsAndEngineAreReported) {
  const ebm::SampleResult result = ebm::sample(model_, ebm::Mala{}, options(33, 5), device());
  EXPECT_EQ(result.energy, ebm::energy(model_, result.x, device()));
  EXPECT_EQ(result.restarted, std::vector<std::uint8_t>(33, 0));
  EXPECT_EQ(result.stats.steps, 33u * 5);
  EXPECT_EQ(result.stats[ebm::Move::local].proposed, 33u * 5);
  EXPECT_NE(result.engine.find(is_cpu() ? "cpu" : "cuda"), std::string::npos) << result.engine;
}

TEST_P(SampleTest, NoStepsReturnTheStart) {
  const ebm::SampleResult result = ebm::sample(model_, ebm::Mala{}, options(5, 0), device());
  // uniform_start() runs on the CPU. Engines agree on the words; each rounds within 4e-7 of the exact position.
  const ebm::Matrix start = ebm::uniform_start(model_, 5, 4);
  if (is_cpu()) {
    EXPECT_EQ(result.x, start);
  }
  for (std::size_t k = 0; k < start.values().size(); ++k) EXPECT_NEAR(result.x.values()[k], start.values()[k], 8e-7f);
  EXPECT_EQ(result.n_steps, 0);
}

TEST_P(SampleTest, RefusesBadRequestsByName) {
  const auto refused = [&](const ebm::Sampler& sampler,
                           const std::function<void(ebm::SampleOptions&)>& set) -> std::string {
    ebm::SampleOptions request = options(5, 1);
    set(request);
    try {
      ebm::sample(model_, sampler, request, device());
    } catch (const ebm::ConfigError& error) {
      return error.field();
    }
    return "(accepted)";
  };
  using Options = ebm::SampleOptions;
  const auto fine = [](Options&) {};
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  const auto langevin = [](const std::function<void(ebm::LangevinDynamics&)>& set) {
    ebm::LangevinDynamics sampler;
    set(sampler);
    return ebm::Sampler(sampler);
  };
  const auto mala = [](const std::function<void(ebm::Mala&)>& set) {
    ebm::Mala sampler;
    set(sampler);
    return ebm::Sampler(sampler);
  };
  for (const float bad : {0.0f, -1.0f, nan, infinity}) {
    EXPECT_EQ(refused(langevin([&](auto& s) { s.step_size = bad; }), fine), "step_size");
    EXPECT_EQ(refused(mala([&](auto& s) { s.step_size = bad; }), fine), "step_size");
    EXPECT_EQ(refused(langevin([&](auto& s) { s.grad_clip = bad; }), fine), "grad_clip");
  }
  EXPECT_EQ(refused(langevin([&](auto& s) { s.noise_scale = -1.0f; }), fine), "noise_scale");
  EXPECT_EQ(refused(langevin([&](auto& s) { s.noise_scale = nan; }), fine), "noise_scale");
  EXPECT_EQ(refused(mala([&](auto& s) { s.jump_prob = 1.5f; }), fine), "jump_prob");
  EXPECT_EQ(refused(mala([&](auto& s) { s.jump_prob = nan; }), fine), "jump_prob");
  EXPECT_EQ(refused(langevin([&](auto& s) { s.clamp = ebm::Box{{1.0f}, {1.0f}}; }), fine), "clamp");
  EXPECT_EQ(refused(langevin([&](auto& s) { s.clamp = ebm::Box{{0.0f, 0.0f}, {1.0f}}; }), fine), "clamp.lo");
  EXPECT_EQ(refused(langevin([&](auto& s) { s.clamp = ebm::Box{{0.0f}, {}}; }), fine), "clamp.hi");
  EXPECT_EQ(refused(mala([&](auto& s) { s.clamp = ebm::Box{{nan}, {1.0f}}; }), fine), "clamp");

  const ebm::Sampler good = ebm::Mala{};
  EXPECT_EQ(refused(good, [](Options& o) { o.n_chains = 0; }), "n_chains");
  EXPECT_EQ(refused(good, [](Options& o) { o.n_chains = std::int64_t{1} << 50; }), "n_chains");
  EXPECT_EQ(refused(good, [](Options& o) { o.n_steps = -1; }), "n_steps");
  EXPECT_EQ(refused(good, [](Options& o) { o.thin = -1; }), "thin");
  EXPECT_EQ(refused(good, [](Options& o) { o.first_chain = (std::uint64_t{1} << 56) - 4; }), "first_chain");
  EXPECT_EQ(refused(good, [](Options& o) { o.first_step = std::uint64_t{1} << 48; }), "first_step");
  EXPECT_EQ(refused(good, [](Options& o) { o.init = ebm::Matrix(2, 4); }), "init");
  EXPECT_EQ(refused(good, [](Options& o) { o.init = ebm::Matrix(0, 3); }), "init");
  EXPECT_EQ(refused(good, [&](Options& o) { (o.init = ebm::Matrix(2, 3))->values()[4] = nan; }), "init");
  EXPECT_EQ(refused(good, fine), "(accepted)");
}

EBM_INSTANTIATE_ENGINES(SampleTest);

// Step sizes of other conventions: the update that each stands for, term by term.
TEST(SamplerConventions, ConvertersAndPresets) {
  using ebm::LangevinDynamics;
  const auto expect_update = [](const LangevinDynamics& s, double drift, double noise, double temperature) {
    EXPECT_NEAR(static_cast<double>(s.step_size), drift, 1e-6 * drift);
    EXPECT_NEAR(static_cast<double>(s.effective_noise_scale()), noise, 1e-6 * noise);
    EXPECT_NEAR(s.temperature(), temperature, 1e-6 * temperature);
  };
  expect_update(LangevinDynamics::from_half_step(0.02f), 0.01, std::sqrt(0.02), 1);
  expect_update(LangevinDynamics::from_half_square(0.1f), 0.005, 0.1, 1);
  expect_update(LangevinDynamics::from_decoupled(2.0f, 0.1f), 2, 0.1, 0.0025);
  expect_update(LangevinDynamics::jem(), 1, 0.01, 5e-5);
  expect_update(LangevinDynamics::igebm(), 10, 0.005, 1.25e-6);
  expect_update(LangevinDynamics::uvadlc(), 10, 0.005, 1.25e-6);
  EXPECT_EQ(LangevinDynamics::igebm().grad_clip, 0.01f);
  EXPECT_EQ(LangevinDynamics::uvadlc().grad_clip, 0.03f);
  EXPECT_EQ(LangevinDynamics::uvadlc().clamp->lo, std::vector<float>{-1.0f});
  EXPECT_THROW(LangevinDynamics::from_half_step(0), ebm::ConfigError);
  EXPECT_THROW(LangevinDynamics::from_half_square(-1), ebm::ConfigError);
  EXPECT_THROW(LangevinDynamics::from_decoupled(1, -1), ebm::ConfigError);
}

}  // namespace
