// The replay buffer: what it draws, restarts and writes back, and whole runs against the reference.
#include "ebmcuda/replay_buffer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "ebmcuda/error.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"
#include "support/statistics.hpp"

namespace {

using namespace support;

class ReplayBufferTest : public EngineTest {
 protected:
  static constexpr std::uint64_t kSeed = 21;
  ebm::Mlp model_ = random_network(shape_of(3, {16, 8}, ebm::Activation::silu, ebm::Head::scalar, 0.8f), 1);

  static ebm::ReplayBufferOptions options(std::int64_t capacity, float reinit_prob) {
    ebm::ReplayBufferOptions result;
    result.capacity = capacity;
    result.reinit_prob = reinit_prob;
    return result;
  }
};

TEST_P(ReplayBufferTest, BeginsAtTheUniformStart) {
  const ebm::ReplayBuffer buffer(model_, options(100, 0.05f), kSeed);
  EXPECT_EQ(buffer.steps(), std::vector<std::uint64_t>(100, 0));
  for (std::size_t slot = 0; slot < 100; ++slot) {
    const ref::Vector expected = ref::uniform_start(kSeed, slot, 0, 3);
    for (std::size_t d = 0; d < 3; ++d) {
      EXPECT_NEAR(static_cast<double>(buffer.positions()(slot, d)), expected[d], 1e-6);
    }
  }
}

TEST_P(ReplayBufferTest, DrawsDistinctSlotsAnewEachIteration) {
  for (const std::int64_t capacity : {1, 2, 100, 1000}) {
    const ebm::ReplayBuffer buffer(model_, options(capacity, 0), kSeed);
    for (const std::int64_t batch : {std::int64_t{1}, (capacity + 1) / 2, capacity}) {
      for (std::int64_t iteration = 0; iteration < 20; ++iteration) {
        const auto slots = buffer.draw(iteration, batch);
        EXPECT_EQ(slots.size(), static_cast<std::size_t>(batch));
        EXPECT_EQ(std::set<std::uint64_t>(slots.begin(), slots.end()).size(), slots.size());
        EXPECT_LT(*std::max_element(slots.begin(), slots.end()), static_cast<std::uint64_t>(capacity));
        for (std::size_t i = 0; i < slots.size(); ++i) {
          EXPECT_EQ(slots[i], ref::permute(kSeed, ref::Purpose::replay_slot, static_cast<std::uint64_t>(iteration),
                                           static_cast<std::uint64_t>(capacity), i));
        }
      }
    }
    if (capacity >= 100) {
      EXPECT_NE(buffer.draw(0, 50), buffer.draw(1, 50));
    }
  }
  EXPECT_THROW(ebm::ReplayBuffer(model_, options(10, 0), kSeed).draw(0, 11), ebm::ConfigError);
}

// Ten iterations with restarts, both samplers: every slot's position and step count, and the rows returned. In fp16 a
// step of 0.02 is off by 2e-3 of a gradient of about 3, 1.2e-4, which adds up to 9e-4 over 60 steps, and by 1.4e-4 more
// where a normal is off by 7e-4; the worst seen on a simulated device is 1.6e-4.
TEST_P(ReplayBufferTest, WholeRunsFollowTheReference) {
  const bool half = GetParam().precision == ebm::Precision::fp16;
  double worst = 0;
  for (const bool use_mala : {false, true}) {
    ebm::Sampler sampler = ebm::LangevinDynamics{.step_size = 0.02f, .noise_scale = {}, .grad_clip = {}, .clamp = {}};
    ref::Kernel kernel;
    kernel.step_size = static_cast<double>(0.02f);
    kernel.noise_scale = std::sqrt(2 * kernel.step_size);
    if (use_mala) {
      sampler = ebm::Mala{.step_size = 0.02f, .jump_prob = 0.1f, .grad_clip = {}, .clamp = {}};
      kernel.mala = true;
      kernel.jump_prob = static_cast<double>(0.1f);
    }
    const std::int64_t capacity = 50, batch = 20, steps = 6;
    const float reinit = 0.3f;
    ebm::ReplayBuffer buffer(model_, options(capacity, reinit), kSeed);

    std::vector<ref::Chain> slots;
    for (std::uint64_t slot = 0; slot < 50; ++slot) slots.push_back({slot, 0, ref::uniform_start(kSeed, slot, 0, 3)});
    const ref::Target target{to_reference(model_), 1, {}, {}};
    std::uint64_t reinitialized = 0;
    ebm::ChainStats stats;
    ref::Counts counts;
    for (std::uint64_t iteration = 0; iteration < 10; ++iteration) {
      const ebm::Matrix rows =
          buffer.run(model_, sampler, static_cast<std::int64_t>(iteration), batch, steps, device(), &stats);
      ASSERT_EQ(rows.rows(), static_cast<std::size_t>(batch));
      for (std::uint64_t i = 0; i < 20; ++i) {
        const std::uint64_t slot = ref::permute(kSeed, ref::Purpose::replay_slot, iteration, 50, i);
        ref::Chain& chain = slots[slot];
        if (ref::uniform(ref::words(kSeed, ref::Purpose::reinitialization, slot, chain.step, 0)[0]) <
            static_cast<double>(reinit)) {
          chain.x = ref::uniform_start(kSeed, slot, chain.step, 3);
          ++reinitialized;
        }
        ref::run(target, kernel, kSeed, static_cast<int>(steps), &chain, &counts);
        for (std::size_t d = 0; d < 3; ++d) EXPECT_EQ(rows(i, d), buffer.positions()(slot, d)) << "write-back";
      }
    }
    EXPECT_EQ(stats.reinitialized, reinitialized);
    EXPECT_EQ(stats.steps, 10u * 20 * 6);
    std::size_t undecided = 0;
    for (std::size_t slot = 0; slot < 50; ++slot) {
      EXPECT_EQ(buffer.steps()[slot], slots[slot].step) << slot;
      if (slots[slot].decision_margin < (half ? 5e-3 : 1e-4)) {
        ++undecided;
        continue;
      }
      for (std::size_t d = 0; d < 3; ++d) {
        const double error = std::abs(static_cast<double>(buffer.positions()(slot, d)) - slots[slot].x[d]);
        EXPECT_LE(error, half ? 2e-3 : 1e-4) << slot;
        worst = std::max(worst, error);
      }
    }
    EXPECT_LE(undecided, half ? 10u : 3u);
    RecordProperty(use_mala ? "undecided_mala" : "undecided_langevin", std::to_string(undecided));
  }
  RecordProperty("worst_error", std::to_string(worst));
}

// Slots that were not drawn keep their bits; step counts only grow, so that no noise is used twice.
TEST_P(ReplayBufferTest, OnlyDrawnSlotsChange) {
  ebm::ReplayBuffer buffer(model_, options(200, 0.2f), kSeed);
  for (std::int64_t iteration = 0; iteration < 5; ++iteration) {
    const ebm::Matrix before = buffer.positions();
    const auto steps = buffer.steps();
    const auto drawn = buffer.draw(iteration, 30);
    buffer.run(model_, ebm::LangevinDynamics{}, iteration, 30, 4, device());
    for (std::uint64_t slot = 0; slot < 200; ++slot) {
      const bool is_drawn = std::find(drawn.begin(), drawn.end(), slot) != drawn.end();
      EXPECT_EQ(buffer.steps()[slot], steps[slot] + (is_drawn ? 4 : 0));
      const auto now = buffer.positions().row(slot), then = before.row(slot);
      EXPECT_EQ(std::equal(now.begin(), now.end(), then.begin()), !is_drawn) << slot;
    }
  }
}

// A transition of L evaluations moves a slot's step number by L, so that no noise is used twice; slots and restarts
// stay inside the sampler's box.
TEST_P(ReplayBufferTest, TrajectoriesAdvanceByTheirEvaluationsAndStayInTheBox) {
  const ebm::Hmc sampler{.step_size = 0.1f, .leapfrog_steps = 3, .grad_clip = {}, .clamp = ebm::Box{{-0.5f}, {0.75f}}};
  ebm::ReplayBuffer buffer(model_, options(40, 0.5f), kSeed, sampler);
  ebm::ChainStats stats;
  buffer.run(model_, sampler, 0, 40, 4, device(), &stats);
  EXPECT_EQ(stats.steps, 40u * 4 * 3);
  EXPECT_GT(stats.reinitialized, 0u);
  for (const std::uint64_t step : buffer.steps()) EXPECT_EQ(step, 4u * 3);
  for (const float v : buffer.positions().values()) {
    EXPECT_GE(v, -0.5f);
    EXPECT_LE(v, 0.75f);
  }
}

// 400 draws of 500 slots at reinit_prob 0.05: the number of restarts is binomial.
TEST_P(ReplayBufferTest, RestartsAtTheStatedRate) {
  for (const double p : {0.0, 0.05, 1.0}) {
    ebm::ReplayBuffer buffer(model_, options(500, static_cast<float>(p)), fresh_seed(kSeed));
    ebm::ChainStats stats;
    for (std::int64_t iteration = 0; iteration < 40; ++iteration) {
      buffer.run(model_, ebm::LangevinDynamics{}, iteration, 500, 1, device(), &stats);
    }
    const double n = 40 * 500, seen = static_cast<double>(stats.reinitialized);
    if (p == 0.0 || p == 1.0) {
      EXPECT_EQ(seen, p * n);
    } else {
      EXPECT_GT(two_sided_p_value((seen - p * n) / std::sqrt(n * p * (1 - p))), kAlpha) << seen;
    }
  }
}

TEST_P(ReplayBufferTest, SpreadIsTheRootOfTheMeanVariance) {
  // Variances 4 and 1 in two dimensions; a collapsed buffer has none.
  const ebm::Matrix x(2, 2, {-1.0f, 6.0f, 3.0f, 8.0f});
  EXPECT_DOUBLE_EQ(ebm::ReplayBuffer(options(2, 0), kSeed, x, {0, 0}).spread(), std::sqrt(2.5));
  EXPECT_EQ(ebm::ReplayBuffer(options(2, 0), kSeed, ebm::Matrix(2, 2), {0, 0}).spread(), 0.0);
}

TEST_P(ReplayBufferTest, ARestoredBufferGoesOnWithTheSameBits) {
  ebm::ReplayBuffer buffer(model_, options(64, 0.1f), kSeed);
  buffer.run(model_, ebm::Mala{}, 0, 32, 5, device());
  ebm::ReplayBuffer copy(buffer.options(), buffer.seed(), buffer.positions(), buffer.steps());
  EXPECT_EQ(buffer.run(model_, ebm::Mala{}, 1, 32, 5, device()),
            copy.run(model_, ebm::Mala{}, 1, 32, 5, with_threads(1)));
  EXPECT_EQ(buffer.positions(), copy.positions());
}

TEST_P(ReplayBufferTest, BadRequests) {
  EXPECT_THROW(ebm::ReplayBuffer(model_, options(0, 0.05f), kSeed), ebm::ConfigError);
  EXPECT_THROW(ebm::ReplayBuffer(model_, options(10, 1.5f), kSeed), ebm::ConfigError);
  EXPECT_THROW(ebm::ReplayBuffer(options(10, 0), kSeed, ebm::Matrix(9, 3), std::vector<std::uint64_t>(10)),
               ebm::ConfigError);
  ebm::ReplayBuffer buffer(model_, options(10, 0.05f), kSeed);
  const ebm::Mlp other(shape_of(2, {4}));
  EXPECT_THROW(buffer.run(other, ebm::Mala{}, 0, 5, 1, device()), ebm::ConfigError);
  EXPECT_THROW(buffer.run(model_, ebm::Mala{}, 0, 5, -1, device()), ebm::ConfigError);
}

EBM_INSTANTIATE_ENGINES(ReplayBufferTest);

}  // namespace
