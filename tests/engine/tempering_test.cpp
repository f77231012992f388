// Parallel tempering against the reference, and what it promises about bits and messages.
#include <gtest/gtest.h>

#include <cmath>

#include "ebmcuda/error.hpp"
#include "ebmcuda/sampler.hpp"
#include "host/sampling/transition.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

class TemperingTest : public EngineTest {
 protected:
  bool half() const { return GetParam().precision == ebm::Precision::fp16; }

  ebm::SampleOptions options() const {
    ebm::SampleOptions options;
    options.n_chains = 40;
    options.n_steps = 12;
    options.seed = 3;
    options.tempering.emplace();
    options.tempering->inverse_temperatures = std::vector<float>{1.0f, 0.55f, 0.3f, 0.1f, 0.05f};
    options.tempering->replicas = 5;
    return options;
  }

  ebm::Mlp model_ = random_network(shape_of(3, {16, 12}, ebm::Activation::silu, ebm::Head::scalar, 1.0f), 5);
};

// Every sampler, two swap periods, an odd number of replicas. Rejects a wrong parity, a ladder used the wrong way
// round, a swap that forgets the gradient or the energy, replicas that share numbers.
TEST_P(TemperingTest, FollowsTheReference) {
  for (const ebm::Sampler& sampler : exact_samplers(0.1f, 0.2f, 0.8f, {})) {
    for (const std::int64_t swap_every : {1, 3}) {
      SCOPED_TRACE(testing::Message() << ebm::describe(sampler) << " swap_every " << swap_every);
      ebm::SampleOptions request = options();
      request.tempering->swap_every = swap_every;
      const ebm::SampleResult result = ebm::sample(model_, sampler, request, device());
      const ref::Target target{to_reference(model_), 1, {}, {}};
      const ref::Kernel kernel = to_reference(ebm::resolve(sampler, model_));
      const ref::Vector ladder = to_reference(*request.tempering->inverse_temperatures);
      std::size_t undecided = 0;
      std::vector<ref::Counts> swaps;
      for (std::uint64_t c = 0; c < 40; ++c) {
        std::vector<ref::Chain> replicas(ladder.size());
        for (std::size_t r = 0; r < ladder.size(); ++r) {
          replicas[r].x = ref::uniform_start(request.seed, c + (std::uint64_t{r} << 46), 0, 3);
        }
        replicas[0].id = c;
        double margin = 1;
        ref::run_tempered(target, kernel, request.seed, ladder, static_cast<int>(swap_every), 12, &replicas, &swaps,
                          &margin);
        for (const ref::Chain& chain : replicas) margin = std::min(margin, chain.decision_margin);
        if (margin < (half() ? 3e-3 : 1e-4)) {
          ++undecided;
          continue;
        }
        for (std::size_t d = 0; d < 3; ++d) {
          EXPECT_NEAR(static_cast<double>(result.x(c, d)), replicas[0].x[d], half() ? 5e-3 : 1e-4) << c;
        }
      }
      EXPECT_LE(undecided, half() ? 25u : 8u);
      ASSERT_EQ(result.replicas.swaps.size(), 4u);
      for (std::size_t r = 0; r < 4; ++r) EXPECT_EQ(result.replicas.swaps[r].proposed, swaps[r].proposed) << r;
      EXPECT_GT(result.replicas.swaps[1].accepted, 0u);
      EXPECT_LT(result.replicas.swaps[1].accepted, result.replicas.swaps[1].proposed);
    }
  }
}

TEST_P(TemperingTest, SameBitsForAnySplitOfChainsAndSteps) {
  const ebm::Hmc sampler{.step_size = 0.3f, .leapfrog_steps = 3, .grad_clip = {}, .clamp = {}};
  ebm::SampleOptions request = options();
  request.tempering->swap_every = 2;
  const ebm::Matrix whole = ebm::sample(model_, sampler, request, device()).x;
  request.progress = [](const ebm::SampleProgress&) { return true; };  // runs in pieces
  request.thin = 1;
  const ebm::SampleResult pieces = ebm::sample(model_, sampler, request, device());
  EXPECT_EQ(pieces.x, whole);
  request = options();
  request.tempering->swap_every = 2;
  request.n_chains = 13;
  request.first_chain = 20;
  const ebm::Matrix part = ebm::sample(model_, sampler, request, device()).x;
  for (std::size_t i = 0; i < 13; ++i) {
    for (std::size_t d = 0; d < 3; ++d) EXPECT_EQ(part(i, d), whole(20 + i, d));
  }
}

// A fitted ladder depends on nothing but model, sampler, options and seed, and evens the rejections out.
TEST_P(TemperingTest, FittedLadder) {
  ebm::SampleOptions request = options();
  request.tempering = ebm::Tempering{.replicas = 6, .hottest = 0.02f};
  request.n_steps = 300;
  const ebm::Mala sampler{.step_size = 0.2f, .grad_clip = {}, .clamp = {}};
  const ebm::ReplicaStats all = ebm::sample(model_, sampler, request, device()).replicas;
  request.n_chains = 3;
  const ebm::ReplicaStats few = ebm::sample(model_, sampler, request, device()).replicas;
  EXPECT_EQ(all.inverse_temperatures, few.inverse_temperatures);
  ASSERT_EQ(all.inverse_temperatures.size(), 6u);
  EXPECT_EQ(all.inverse_temperatures.front(), 1.0f);
  EXPECT_FLOAT_EQ(all.inverse_temperatures.back(), 0.02f);
  double least = 1, most = 0;
  for (const auto& [proposed, accepted] : all.swaps) {
    const double rejected = 1 - static_cast<double>(accepted) / static_cast<double>(proposed);
    least = std::min(least, rejected);
    most = std::max(most, rejected);
  }
  EXPECT_LT(most - least, 0.12) << least << " .. " << most;
  EXPECT_GT(all.round_trips, 40u);
  EXPECT_NEAR(all.barrier(), 5 * (least + most) / 2, 0.4);
}

TEST_P(TemperingTest, WrongRequestsAreNamed) {
  const auto refused = [&](const ebm::Sampler& sampler, auto change) -> std::string {
    ebm::SampleOptions request = options();
    change(request);
    try {
      static_cast<void>(ebm::sample(model_, sampler, request, device()));
    } catch (const ebm::ConfigError& error) {
      return error.field();
    }
    return "(accepted)";
  };
  const ebm::Sampler mala = ebm::Mala{};
  EXPECT_EQ(refused(ebm::LangevinDynamics{}, [](auto&) {}), "tempering");
  EXPECT_EQ(refused(mala, [](auto& r) { r.tempering->replicas = 4; }), "inverse_temperatures");
  EXPECT_EQ(refused(mala, [](auto& r) { r.tempering->replicas = 1; }), "replicas");
  EXPECT_EQ(refused(mala, [](auto& r) { r.tempering->swap_every = 0; }), "swap_every");
  EXPECT_EQ(refused(mala, [](auto& r) { r.tempering->hottest = 1; }), "hottest");
  EXPECT_EQ(refused(mala, [](auto& r) { (*r.tempering->inverse_temperatures)[0] = 0.9f; }), "inverse_temperatures");
  EXPECT_EQ(refused(mala, [](auto& r) { (*r.tempering->inverse_temperatures)[2] = 0.6f; }), "inverse_temperatures");
  EXPECT_EQ(refused(mala, [](auto& r) { (*r.tempering->inverse_temperatures)[4] = 0.0f; }), "inverse_temperatures");
  EXPECT_EQ(refused(mala, [](auto& r) { r.first_chain = std::uint64_t{1} << 46; }), "first_chain");
}

EBM_INSTANTIATE_ENGINES(TemperingTest);

}  // namespace
