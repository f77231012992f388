// Whole trajectories of sample() against the double-precision reference: after 1, 10 and 50 steps, for every
// activation, head, dimension and depth, with every limit of the samplers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ebmcuda/sampler.hpp"
#include "host/sampling/transition.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

constexpr std::size_t kChains = 9;
constexpr int kSteps = 50;
constexpr int kKept[] = {1, 10, 50};

class TrajectoryTest : public EngineTest {
 protected:
  bool half() const { return GetParam().precision == ebm::Precision::fp16; }

  // How far single precision may take a chain from the reference, relative to the size of its position. One step adds
  // about 1e-6: the normals (1e-6 absolute), the step times the gradient's error, the rounding of x. The steps used
  // here keep 1 + step_size * Lipschitz constant below 1.05, so that errors grow by at most 12 in 50 steps. fp16 adds
  // step_size * 2e-3 |gradient| in each step, 5e-5, and once in 10^6 numbers a normal off by 7e-4, which is 7e-5 of
  // noise or 2e-4 of the smallest position (0.3). On a simulated device, whose approximations are better than that, the
  // worst is a fifteenth of these bounds.
  double position_tolerance(int steps) const {
    return (half() ? 3e-4 : 3e-6) * (steps == 1 ? 1 : steps == 10 ? 4 : 20);
  }
  // A decision is the reference's unless ln u is this close to log a: the rounding of E (1e-6 of tens) and of the
  // proposals' densities, and the drift of the position so far times the gradient. fp16's error of g is no error of the
  // decision, since the same g makes and judges the proposal, but its drift is larger.
  double decision_tolerance() const { return half() ? 3e-3 : 2e-4; }

  struct Outcome {
    std::size_t chains = 0, undecided = 0;
  };

  void compare(const ebm::Mlp& model, const ebm::Sampler& sampler, std::uint64_t seed, Outcome* outcome) {
    ebm::SampleOptions options;
    options.n_steps = kSteps;
    options.seed = seed;
    options.first_chain = (std::uint64_t{1} << 33) + 5;  // both words of the chain id
    options.first_step = (std::uint64_t{1} << 32) - 20;  // crosses into the upper word of the step
    options.init = inside(sampler, random_points(kChains, static_cast<std::size_t>(model.dim()), seed + 1));
    options.thin = 1;
    const ebm::SampleResult result = ebm::sample(model, sampler, options, device());
    ASSERT_EQ(result.trajectory.size(), static_cast<std::size_t>(kSteps));
    EXPECT_EQ(result.stats.restarts, 0u);
    const ebm::Transition transition = ebm::resolve(sampler, model);
    EXPECT_EQ(result.stats.steps, kChains * kSteps * static_cast<std::uint64_t>(transition.evaluations));

    const ref::Target target{to_reference(model), 1, {}, {}};
    const ref::Kernel kernel = to_reference(transition);
    ref::Counts counts;
    for (std::size_t i = 0; i < kChains; ++i) {
      ref::Chain chain{options.first_chain + i, options.first_step, to_reference(options.init->row(i))};
      ++outcome->chains;
      int done = 0;
      for (const int kept : kKept) {
        ref::run(target, kernel, seed, kept - done, &chain, &counts);
        done = kept;
        if (chain.decision_margin < decision_tolerance()) {
          ++outcome->undecided;
          break;
        }
        double error = 0, size = 0;
        for (std::size_t d = 0; d < chain.x.size(); ++d) {
          const double x = static_cast<double>(result.trajectory[static_cast<std::size_t>(kept - 1)](i, d));
          error += (x - chain.x[d]) * (x - chain.x[d]);
          size += chain.x[d] * chain.x[d] + 0.1;
        }
        worst_ = std::max(worst_, std::sqrt(error / size) / position_tolerance(kept));
        ASSERT_LE(std::sqrt(error / size), position_tolerance(kept)) << "chain " << i << " after " << kept << " steps";
      }
    }
    EXPECT_EQ(result.x, result.trajectory.back());
  }

  // Options rotate with the combination, so that each of them meets every kind of network.
  ebm::Sampler langevin(std::size_t combination, float step_size) const {
    ebm::LangevinDynamics sampler;
    sampler.step_size = step_size;
    if (combination % 2 == 1) sampler.noise_scale = 0.03f;
    if (combination % 3 == 1) sampler.grad_clip = 0.4f;
    if (combination % 5 == 2) sampler.clamp = ebm::Box{{-0.9f}, {1.1f}};
    return sampler;
  }
  ebm::Sampler mala(std::size_t combination, float step_size) const {
    ebm::Mala sampler;
    sampler.step_size = step_size;
    if (combination % 2 == 1) sampler.jump_prob = 0.3f;
    if (combination % 3 == 1) sampler.grad_clip = 0.4f;
    if (combination % 5 == 2) sampler.clamp = ebm::Box{{-2.5f}, {2.0f}};
    return sampler;
  }

  // The samplers that walk whole trajectories take turns.
  ebm::Sampler trajectories(std::size_t combination, float step_size) const {
    const auto clip = combination % 3 == 1 ? std::optional(0.4f) : std::nullopt;
    const auto box = combination % 5 == 2 ? std::optional(ebm::Box{{-2.5f}, {2.0f}}) : std::nullopt;
    const auto samplers = exact_samplers(step_size, combination % 2 == 1 ? 0.3f : 0.0f, clip, box);
    return samplers[1 + combination % (samplers.size() - 1)];
  }

  template <class MakeSampler>
  void every_network(ebm::Activation activation, const MakeSampler& make) {
    constexpr int kDims[] = {1, 2, 3, 5, 16, 64, 100};
    constexpr int kWidths[] = {33, 16, 7, 24, 17};
    std::size_t combination = static_cast<std::size_t>(activation);
    Outcome outcome;
    for (const ebm::Head head : kHeads) {
      for (const int dim : kDims) {
        for (int depth = 1; depth <= 4; ++depth) {
          std::vector<int> hidden;
          for (int l = 0; l < depth; ++l) {
            hidden.push_back(kWidths[(combination + static_cast<std::size_t>(l)) % std::size(kWidths)]);
          }
          SCOPED_TRACE(testing::Message()
                       << ebm::to_string(activation) << " " << ebm::to_string(head) << " D " << dim << " widths "
                       << testing::PrintToString(hidden) << " combination " << combination);
          const ebm::Mlp model = random_network(shape_of(dim, hidden, activation, head, 0.5f), combination);
          if (has_kernel_for(model)) compare(model, make(combination, 0.005f), combination + 77, &outcome);
          if (HasFatalFailure()) return;
          ++combination;
        }
      }
    }
    if (outcome.chains == 0) {
      ASSERT_NE(activation, ebm::Activation::silu) << "every precision has kernels for SiLU";
      GTEST_SKIP() << "no " << GetParam().name << " kernel for " << ebm::to_string(activation);
    }
    // A chain is undecided with probability below 2 * tolerance per step (the density of ln u is at most 1).
    EXPECT_LE(static_cast<double>(outcome.undecided),
              static_cast<double>(outcome.chains) * std::min(0.9, kSteps * 2 * decision_tolerance()));
    RecordProperty("worst_share_of_tolerance", std::to_string(worst_));
    RecordProperty("undecided", std::to_string(outcome.undecided));
  }

  double worst_ = 0;
};

// One test per activation, so that they run in parallel. They reject: any other noise stream, counter layout, normal
// order or sign; noise that is reused or scaled by sqrt(step_size); clipping or clamping in the wrong place; a wrong
// acceptance rule; a step number that restarts or wraps.
TEST_P(TrajectoryTest, LangevinSilu) {
  every_network(ebm::Activation::silu, [&](std::size_t c, float h) { return langevin(c, h); });
}
TEST_P(TrajectoryTest, LangevinSoftplus) {
  every_network(ebm::Activation::softplus, [&](std::size_t c, float h) { return langevin(c, h); });
}
TEST_P(TrajectoryTest, LangevinTanh) {
  every_network(ebm::Activation::tanh, [&](std::size_t c, float h) { return langevin(c, h); });
}
TEST_P(TrajectoryTest, LangevinGelu) {
  every_network(ebm::Activation::gelu, [&](std::size_t c, float h) { return langevin(c, h); });
}
TEST_P(TrajectoryTest, LangevinElu) {
  every_network(ebm::Activation::elu, [&](std::size_t c, float h) { return langevin(c, h); });
}
TEST_P(TrajectoryTest, LangevinRelu) {
  every_network(ebm::Activation::relu, [&](std::size_t c, float h) { return langevin(c, h); });
}
TEST_P(TrajectoryTest, MalaSilu) {
  every_network(ebm::Activation::silu, [&](std::size_t c, float h) { return mala(c, h); });
}
TEST_P(TrajectoryTest, MalaSoftplus) {
  every_network(ebm::Activation::softplus, [&](std::size_t c, float h) { return mala(c, h); });
}
TEST_P(TrajectoryTest, MalaTanh) {
  every_network(ebm::Activation::tanh, [&](std::size_t c, float h) { return mala(c, h); });
}
TEST_P(TrajectoryTest, MalaGelu) {
  every_network(ebm::Activation::gelu, [&](std::size_t c, float h) { return mala(c, h); });
}
TEST_P(TrajectoryTest, MalaElu) {
  every_network(ebm::Activation::elu, [&](std::size_t c, float h) { return mala(c, h); });
}
TEST_P(TrajectoryTest, MalaRelu) {
  every_network(ebm::Activation::relu, [&](std::size_t c, float h) { return mala(c, h); });
}

TEST_P(TrajectoryTest, TrajectoriesOfEveryActivation) {
  for (const ebm::Activation activation : {ebm::Activation::silu, ebm::Activation::softplus, ebm::Activation::tanh,
                                           ebm::Activation::gelu, ebm::Activation::elu, ebm::Activation::relu}) {
    every_network(activation, [&](std::size_t c, float h) { return trajectories(c, h); });
    if (IsSkipped()) return;
  }
}

// Counts of proposals and acceptances are what the reference counts, on a run where no decision is close.
TEST_P(TrajectoryTest, MalaCountsItsMoves) {
  const ebm::Mlp model = random_network(shape_of(2, {16, 12}, ebm::Activation::silu, ebm::Head::scalar, 1.0f), 3);
  ASSERT_TRUE(has_kernel_for(model));
  ebm::Mala sampler;
  sampler.step_size = 0.3f;
  sampler.jump_prob = 0.25f;
  const ref::Target target{to_reference(model), 1, {}, {}};
  const ref::Kernel kernel = to_reference(ebm::resolve(sampler, model));
  for (std::uint64_t seed = 0;; ++seed) {
    ASSERT_LT(seed, 100u) << "no seed without close decisions";
    ref::Counts counts;
    double margin = 1;
    for (std::uint64_t id = 0; id < 40; ++id) {
      ref::Chain chain{id, 0, ref::uniform_start(seed, id, 0, 2)};
      ref::run(target, kernel, seed, 20, &chain, &counts);
      margin = std::min(margin, chain.decision_margin);
    }
    if (margin < (half() ? 3e-3 : 1e-4)) continue;
    ebm::SampleOptions options;
    options.n_chains = 40;
    options.n_steps = 20;
    options.seed = seed;
    const ebm::ChainStats stats = ebm::sample(model, sampler, options, device()).stats;
    EXPECT_EQ(stats[ebm::Move::local].proposed, counts.proposed);
    EXPECT_EQ(stats[ebm::Move::local].accepted, counts.accepted);
    EXPECT_EQ(stats[ebm::Move::jump].proposed, counts.jumps_proposed);
    EXPECT_EQ(stats[ebm::Move::jump].accepted, counts.jumps_accepted);
    EXPECT_EQ(stats[ebm::Move::difference].proposed, 0u);
    EXPECT_GT(counts.accepted, 0u);
    EXPECT_LT(counts.accepted, counts.proposed);
    EXPECT_GT(counts.jumps_accepted, 0u);
    break;
  }
}

// In data units: start, limits and result are mapped; step_size and noise are not.
TEST_P(TrajectoryTest, StandardisedModelSpeaksDataUnits) {
  ebm::Mlp model = random_network(shape_of(2, {16, 12}, ebm::Activation::silu, ebm::Head::scalar, 0.5f), 4);
  ASSERT_TRUE(has_kernel_for(model));
  model.set_standardization(ebm::Standardization{{10.0f, -1.0f}, {4.0f, 0.5f}});
  ebm::LangevinDynamics sampler;
  sampler.step_size = 0.01f;
  sampler.clamp = ebm::Box{{6.0f, -1.4f}, {14.0f, -0.4f}};
  ebm::SampleOptions options;
  options.n_steps = 10;
  options.seed = 5;
  options.init = inside(sampler, model.to_data_units(random_points(20, 2, 6, 0.5f)));
  const ebm::SampleResult result = ebm::sample(model, sampler, options, device());
  const ref::Target target{to_reference(model), 1, {}, {}};
  ref::Kernel kernel;
  kernel.step_size = static_cast<double>(0.01f);
  kernel.noise_scale = std::sqrt(2 * kernel.step_size);
  kernel.lo = {(6.0 - 10) / 4, (-1.4 + 1) / 0.5};
  kernel.hi = {(14.0 - 10) / 4, (-0.4 + 1) / 0.5};
  // fp16: ten steps of 0.01 with a gradient of up to 5 that is off by 2e-3 of that, 1e-3 times the standard deviation.
  for (std::size_t i = 0; i < 20; ++i) {
    ref::Vector start{(static_cast<double>((*options.init)(i, 0)) - 10) / 4,
                      (static_cast<double>((*options.init)(i, 1)) + 1) / 0.5};
    ref::Chain chain{i, 0, start};
    ref::Counts counts;
    ref::run(target, kernel, 5, 10, &chain, &counts);
    EXPECT_NEAR(static_cast<double>(result.x(i, 0)), 10 + 4 * chain.x[0], half() ? 5e-3 : 2e-4) << i;
    EXPECT_NEAR(static_cast<double>(result.x(i, 1)), -1 + 0.5 * chain.x[1], half() ? 6e-4 : 2e-5) << i;
  }
  const auto energies = ebm::energy(model, result.x, device());
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(energies[i], result.energy[i], 1e-3f);
}

EBM_INSTANTIATE_ENGINES(TrajectoryTest);

}  // namespace
