// A chain that leaves the finite numbers is restarted, flagged and counted, and no other chain notices.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

constexpr std::size_t kChains = 150;
constexpr std::uint64_t kSeed = 3;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

ebm::Transition transition(ebm::SamplerKind kind, float step_size) {
  ebm::Transition t;
  t.kind = kind;
  t.step_size = step_size;
  t.own[0] = std::sqrt(2 * step_size);
  return t;
}

class ContainmentTest : public EngineTest {
 protected:
  static constexpr std::size_t kDim = 5;
  ebm::Mlp model_ = random_network(shape_of(kDim, {33, 17}, ebm::Activation::silu, ebm::Head::scalar, 1.0f), 1);
  ebm::Matrix start_ = random_points(kChains, kDim, 2);

  struct Run {
    std::vector<float> x, energy;
    std::vector<std::uint8_t> restarted;
    ebm::ChainStats stats;
    bool operator==(const Run&) const = default;
  };

  Run run(const ebm::Matrix& start, const ebm::Transition& transition, const std::vector<std::int64_t>& pieces) const {
    std::vector<std::uint64_t> ids(start.rows());
    std::iota(ids.begin(), ids.end(), 0);
    const auto function = engine()->load(model_);
    const auto chains = function->chains(kSeed, ids, std::vector<std::uint64_t>(ids.size(), 7));
    chains->set_positions(start.values());
    Run result;
    for (const std::int64_t n : pieces) chains->run(transition, n);
    result.stats = chains->stats();
    result.x.resize(start.values().size());
    chains->positions(result.x);
    result.energy.resize(start.rows());
    chains->energies(result.energy);
    result.restarted.resize(start.rows());
    chains->restarted(result.restarted);
    return result;
  }

  // `bad` chains began where no chain can stay; `steps` later they must be finite and flagged, the others untouched.
  void expect_contained(const ebm::Matrix& start, const std::vector<std::size_t>& bad, const ebm::Transition& t) {
    const Run clean = run(start_, t, {12});
    const Run got = run(start, t, {12});
    EXPECT_EQ(clean.stats.restarts, 0u) << "the guard must not fire on a good target";
    EXPECT_EQ(got.stats.restarts, bad.size());
    for (std::size_t i = 0; i < kChains; ++i) {
      const bool is_bad = std::find(bad.begin(), bad.end(), i) != bad.end();
      EXPECT_EQ(got.restarted[i] != 0, is_bad) << i;
      EXPECT_TRUE(std::isfinite(got.energy[i])) << i;
      for (std::size_t d = 0; d < kDim; ++d) {
        ASSERT_TRUE(std::isfinite(got.x[i * kDim + d])) << i;
        if (!is_bad) {
          ASSERT_EQ(got.x[i * kDim + d], clean.x[i * kDim + d]) << "chain " << i << " noticed";
        }
      }
    }
    EXPECT_EQ(run(start, t, {1, 4, 7}), got) << "restarts must not depend on the split of K";
  }
};

// Rejects a NaN that spreads to neighbours, stays, or is clamped to a limit and so hidden; and a restart of all.
TEST_P(ContainmentTest, ChainsThatStartNonFinite) {
  for (const auto kind : {ebm::SamplerKind::langevin, ebm::SamplerKind::mala}) {
    for (const bool clamp : {false, true}) {
      ebm::Matrix start = start_;
      start(0, 0) = kNan;
      start(31, 4) = kInfinity;
      start(64, 2) = -kInfinity;
      start(65, 1) = kNan;
      start(kChains - 1, 4) = kNan;
      ebm::Transition t = transition(kind, 0.01f);
      if (clamp) {
        t.clamp_lo.assign(kDim, -5.0f);
        t.clamp_hi.assign(kDim, 5.0f);
      }
      SCOPED_TRACE(testing::Message() << (kind == ebm::SamplerKind::mala ? "mala" : "langevin") << " clamp " << clamp);
      expect_contained(start, {0, 31, 64, 65, kChains - 1}, t);
    }
  }
}

// Finite positions whose energy overflows single precision.
TEST_P(ContainmentTest, ChainsWhoseEnergyOverflows) {
  for (const auto kind : {ebm::SamplerKind::langevin, ebm::SamplerKind::mala}) {
    ebm::Matrix start = start_;
    start(10, 3) = 3e38f;
    start(99, 0) = -1e30f;
    SCOPED_TRACE(kind == ebm::SamplerKind::mala ? "mala" : "langevin");
    expect_contained(start, {10, 99}, transition(kind, 0.01f));
  }
}

// With kappa = 1 and step 2.5 the linear part multiplies positions by -1.5 per step: chains from 10^18 overflow within
// a few steps, those from order one don't.
TEST_P(ContainmentTest, ChainsThatExplode) {
  ebm::Matrix start = start_;
  start(20, 1) = 1e19f;
  start(21, 1) = -1e18f;
  const ebm::Transition t = transition(ebm::SamplerKind::langevin, 2.5f);
  const Run got = run(start, t, {12});
  const Run clean = run(start_, t, {12});
  EXPECT_EQ(clean.stats.restarts, 0u);
  EXPECT_GE(got.stats.restarts, 2u);
  for (std::size_t i = 0; i < kChains; ++i) {
    EXPECT_EQ(got.restarted[i] != 0, i == 20 || i == 21) << i;
    for (std::size_t d = 0; d < kDim; ++d) {
      ASSERT_TRUE(std::isfinite(got.x[i * kDim + d])) << i;
      if (i != 20 && i != 21) {
        ASSERT_EQ(got.x[i * kDim + d], clean.x[i * kDim + d]) << i;
      }
    }
  }
  EXPECT_EQ(run(start, t, {5, 7}), got);
}

// The restart goes to the uniform start of the very step, and the chain goes on from there by the reference.
TEST_P(ContainmentTest, RestartIsTheUniformStartOfThatStep) {
  ebm::Matrix start(1, kDim);
  start(0, 0) = kNan;
  const Run one = run(start, transition(ebm::SamplerKind::langevin, 0.01f), {1});
  const ref::Vector expected = ref::uniform_start(kSeed, 0, 7, kDim);
  for (std::size_t d = 0; d < kDim; ++d) EXPECT_NEAR(static_cast<double>(one.x[d]), expected[d], 1e-6);

  const ref::Target target{to_reference(model_), 1, {}, {}};
  for (const auto kind : {ebm::SamplerKind::langevin, ebm::SamplerKind::mala}) {
    const ebm::Transition t = transition(kind, 0.01f);
    ref::Chain chain{0, 7, {std::nan(""), 0, 0, 0, 0}};
    ref::Counts counts;
    ref::run(target, to_reference(t), kSeed, 4, &chain, &counts);
    ASSERT_GT(chain.decision_margin, 1e-2);
    const Run four = run(start, t, {4});
    // fp16: four steps of 0.01 with gradients of about 10 off by 2e-3, and normals off by up to 7e-4.
    const double tolerance = GetParam().precision == ebm::Precision::fp16 ? 2e-3 : 1e-4;
    for (std::size_t d = 0; d < kDim; ++d) EXPECT_NEAR(static_cast<double>(four.x[d]), chain.x[d], tolerance) << d;
  }
}

// Proposals out of range are rejected, which is no restart.
TEST_P(ContainmentTest, MalaRejectsProposalsThatAreNotFinite) {
  const Run got = run(start_, transition(ebm::SamplerKind::mala, 3e38f), {5});
  EXPECT_EQ(got.stats.restarts, 0u);
  EXPECT_EQ(got.stats[ebm::Move::local].accepted, 0u);
  EXPECT_EQ(got.x, std::vector<float>(start_.values().begin(), start_.values().end()));
}

// A network that is itself non-finite has no point to stand on: positions stay finite all the same.
TEST_P(ContainmentTest, NetworkWithANonFiniteParameter) {
  model_.parameters()[3] = kNan;
  for (const auto kind : {ebm::SamplerKind::langevin, ebm::SamplerKind::mala}) {
    const Run got = run(start_, transition(kind, 0.01f), {5});
    EXPECT_TRUE(std::all_of(got.x.begin(), got.x.end(), [](float v) { return std::isfinite(v); }));
    EXPECT_EQ(std::count(got.restarted.begin(), got.restarted.end(), 1), static_cast<std::ptrdiff_t>(kChains));
    // Chains alone are counted, not the lanes that pad them to a tile; Langevin restarts each of them in every step.
    EXPECT_EQ(got.stats.restarts % kChains, 0u);
    if (kind == ebm::SamplerKind::langevin) {
      EXPECT_EQ(got.stats.restarts, 5 * kChains);
    }
  }
}

EBM_INSTANTIATE_ENGINES(ContainmentTest);

}  // namespace
