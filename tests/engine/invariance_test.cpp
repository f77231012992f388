// A chain's bits depend on model, seed, chain id, step, options and start, and on nothing else. All comparisons are of
// bits. They reject anything that lets a chain see its neighbours: sums over lanes, shared random states, step counters
// per call, a tail that takes another code path.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

constexpr std::uint64_t kSeed = 42;
constexpr std::uint64_t kFirst = 1000;

struct Case {
  std::string name;
  ebm::MlpShape shape;
  ebm::Transition transition;
  float beta = 1.0f;
};

ebm::Transition langevin() {
  ebm::Transition t;
  t.step_size = 0.02f;
  t.own[0] = 0.2f;
  return t;
}

ebm::Transition mala() {
  ebm::Transition t;
  t.kind = ebm::SamplerKind::mala;
  t.step_size = 0.05f;
  t.jump_prob = 0.2f;
  return t;
}

// hmc and malt: `number` is the jitter or the friction.
ebm::Transition leapfrog(ebm::SamplerKind kind, float number) {
  ebm::Transition t = mala();
  t.kind = kind;
  t.step_size = 0.1f;
  t.evaluations = 3;
  t.own = {3.0f, number};
  return t;
}

ebm::Transition without_jumps(ebm::Transition t) {
  t.jump_prob = 0;
  return t;
}

ebm::Transition limited(ebm::Transition t, int dim, float side, float grad_clip) {
  t.grad_clip = grad_clip;
  t.clamp_lo.assign(static_cast<std::size_t>(dim), -side);
  t.clamp_hi.assign(static_cast<std::size_t>(dim), side);
  return t;
}

std::vector<Case> every_case() {
  using ebm::Activation;
  using ebm::Head;
  return {
      {"langevin", shape_of(2, {33, 17}), langevin()},
      {"langevin limited", shape_of(5, {16}, Activation::tanh, Head::logits, 0.3f), limited(langevin(), 5, 1.0f, 0.5f)},
      {"mala", shape_of(1, {7, 7, 7, 7}, Activation::gelu, Head::scalar, 0.5f), mala()},
      {"mala wide", shape_of(64, {128, 128}, Activation::silu, Head::scalar, 0.5f), mala()},
      {"mala limited", shape_of(16, {100}, Activation::softplus, Head::logits, 0.3f), limited(mala(), 16, 2.8f, 1.0f)},
      {"hmc", shape_of(34, {20, 9}, Activation::silu, Head::scalar, 0.5f), leapfrog(ebm::SamplerKind::hmc, 0.2f)},
      {"malt", shape_of(6, {40}, Activation::tanh, Head::logits, 0.5f), leapfrog(ebm::SamplerKind::malt, 1.0f)},
      {"hmc tempered", shape_of(3, {9}, Activation::elu), leapfrog(ebm::SamplerKind::hmc, 0.0f), 0.3f},
      {"mala tempered", shape_of(3, {33}, Activation::relu, Head::scalar, 0.2f), mala(), 0.6f},
      {"mala tempered, no jumps", shape_of(5, {17, 9}, Activation::elu), without_jumps(mala()), 0.0f},
  };
}

class InvarianceTest : public EngineTest {
 protected:
  // More than two of the widest tiles (32 chains on a device), and a part of one.
  std::size_t chains() const { return sized<std::size_t>(203, 75); }
  std::int64_t few_steps() const { return sized(20, 4); }

  // Those that have a kernel of their own in this precision.
  std::vector<Case> cases() const {
    std::vector<Case> all = every_case();
    std::erase_if(all, [&](const Case& c) {
      return GetParam().precision != ebm::Precision::fp32 &&
             (c.beta != 1.0f || !has_kernel_for(random_network(c.shape, 8)));
    });
    EXPECT_GE(all.size(), 2u);
    return all;
  }

  std::optional<ebm::GaussianBase> base(const Case& c) const {
    if (c.beta == 1.0f) return {};
    const auto dim = static_cast<std::size_t>(c.shape.dim);
    ebm::GaussianBase gaussian{std::vector<float>(dim, 0.25f), std::vector<float>(dim * dim, 0.0f)};
    for (std::size_t i = 0; i < dim; ++i) {
      for (std::size_t j = i; j < dim; ++j) gaussian.root[i * dim + j] = i == j ? 1.5f : 0.2f;
    }
    return gaussian;
  }

  struct Run {
    std::vector<float> x, energy, base_energy;
    ebm::ChainStats stats;
    bool operator==(const Run&) const = default;
  };

  // Chains `ids` from their own starts (by id), K in the given pieces.
  Run run(const Case& c, const std::vector<std::uint64_t>& ids, const std::vector<std::int64_t>& pieces,
          const ebm::Device& on) const {
    const auto dim = static_cast<std::size_t>(c.shape.dim);
    const ebm::Matrix all = random_points(chains(), dim, 7);
    std::vector<float> start;
    for (const std::uint64_t id : ids) {
      const auto row = all.row(id - kFirst);
      start.insert(start.end(), row.begin(), row.end());
    }
    const auto function = ebm::make_engine(on)->load(random_network(c.shape, 8));
    const auto set = function->chains(kSeed, ids, std::vector<std::uint64_t>(ids.size(), 5), base(c));
    set->set_positions(start);
    Run result;
    for (const std::int64_t n : pieces) set->run(c.transition, n, c.beta);
    result.stats = set->stats();
    result.x.resize(start.size());
    set->positions(result.x);
    result.energy.resize(ids.size());
    if (base(c)) result.base_energy.resize(ids.size());
    set->energies(result.energy, result.base_energy);
    const auto total = std::accumulate(pieces.begin(), pieces.end(), std::int64_t{0});
    EXPECT_EQ(set->steps(),
              std::vector<std::uint64_t>(ids.size(), 5 + static_cast<std::uint64_t>(total * c.transition.evaluations)));
    return result;
  }

  static std::vector<std::uint64_t> ids(std::size_t begin, std::size_t end) {
    std::vector<std::uint64_t> list(end - begin);
    std::iota(list.begin(), list.end(), kFirst + begin);
    return list;
  }
};

TEST_P(InvarianceTest, ThreadsAndRepeats) {
  for (const Case& c : cases()) {
    const Run once = run(c, ids(0, chains()), {few_steps()}, with_threads(1));
    for (const int threads : is_cpu() ? std::vector<int>{1, 2, 3, 8} : std::vector<int>{1}) {
      EXPECT_EQ(run(c, ids(0, chains()), {few_steps()}, with_threads(threads)), once)
          << c.name << ", " << threads << " threads";
    }
  }
}

TEST_P(InvarianceTest, SplitOfK) {
  for (const Case& c : cases()) {
    const std::int64_t k = sized(50, 10);
    const Run whole = run(c, ids(0, chains()), {k}, device());
    for (const auto& pieces : {std::vector<std::int64_t>{k * 2 / 5, k - k * 2 / 5},
                               {1, 0, k - 2, 1},
                               std::vector<std::int64_t>(static_cast<std::size_t>(k), 1)}) {
      EXPECT_EQ(run(c, ids(0, chains()), pieces, device()), whole) << c.name << ", " << pieces.size() << " pieces";
    }
  }
}

// Sets with a base keep E and E0 from call to call: they are those of the positions, whoever set these.
TEST_P(InvarianceTest, EnergiesAreThoseOfThePositions) {
  for (const Case& c : cases()) {
    if (!base(c)) continue;
    const std::size_t n = chains();
    const auto function = engine()->load(random_network(c.shape, 8));
    const auto make = [&] { return function->chains(kSeed, ids(0, n), std::vector<std::uint64_t>(n, 5), base(c)); };
    std::vector<float> x(n * static_cast<std::size_t>(c.shape.dim)), energy(n), base_energy(n), anew(n), base_anew(n);
    const auto set = make();
    const auto expect_true_energies = [&](const char* what) {
      set->energies(energy, base_energy);
      set->positions(x);
      const auto other = make();
      other->set_positions(x);
      other->energies(anew, base_anew);
      EXPECT_EQ(energy, anew) << c.name << ", " << what;
      EXPECT_EQ(base_energy, base_anew) << c.name << ", " << what;
    };
    set->start_uniform();
    expect_true_energies("started");
    set->run(c.transition, few_steps(), c.beta);
    expect_true_energies("run");
    const ebm::Matrix elsewhere = random_points(n, static_cast<std::size_t>(c.shape.dim), 9);
    set->set_positions(elsewhere.values());
    expect_true_energies("set");
    set->run(c.transition, 1, c.beta);
    set->start_uniform();
    expect_true_energies("started again");
  }
}

TEST_P(InvarianceTest, BatchSizePositionAndOrder) {
  for (const Case& c : cases()) {
    const auto dim = static_cast<std::size_t>(c.shape.dim);
    const Run all = run(c, ids(0, chains()), {few_steps()}, device());
    const auto expect_rows = [&](const std::vector<std::uint64_t>& list, const std::string& what) {
      const Run part = run(c, list, {few_steps()}, device());
      for (std::size_t i = 0; i < list.size(); ++i) {
        const std::size_t row = list[i] - kFirst;
        const bool same = std::equal(part.x.begin() + static_cast<std::ptrdiff_t>(i * dim),
                                     part.x.begin() + static_cast<std::ptrdiff_t>((i + 1) * dim),
                                     all.x.begin() + static_cast<std::ptrdiff_t>(row * dim));
        ASSERT_TRUE(same) << c.name << ", " << what << ", chain " << list[i];
        ASSERT_EQ(part.energy[i], all.energy[row]) << c.name << ", " << what << ", chain " << list[i];
      }
    };
    for (const std::size_t begin : {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{64}, chains() - 1})
      expect_rows(ids(begin, begin + 1), "alone");
    expect_rows(ids(0, 17), "first 17");
    expect_rows(ids(5, 70), "65 in the middle");
    expect_rows(ids(chains() - 64, chains()), "last 64");
    auto reversed = ids(0, chains());
    std::reverse(reversed.begin(), reversed.end());
    expect_rows(reversed, "reversed");
  }
}

TEST_P(InvarianceTest, ChainsDifferFromOneAnother) {
  // The counterpart of the above: other ids, seeds and steps give other noise.
  Case c = every_case()[0];
  c.transition.step_size = 1e-6f;
  c.transition.own[0] = 1.0f;
  const auto function = engine()->load(random_network(c.shape, 8));
  const auto end_of = [&](std::uint64_t seed, std::uint64_t id, std::uint64_t step) {
    const auto chain = function->chains(seed, {id}, {step});
    std::vector<float> x(2, 0.0f);
    chain->set_positions(x);
    chain->run(c.transition, 1);
    chain->positions(x);
    return x;
  };
  const std::vector<std::vector<float>> ends{end_of(1, 2, 3),
                                             end_of(2, 2, 3),
                                             end_of(1, 3, 3),
                                             end_of(1, 2, 4),
                                             end_of(2, 1, 3),
                                             end_of(1, 2 + (1ull << 32), 3),
                                             end_of(1, 2, 3 + (1ull << 32)),
                                             end_of(1 + (1ull << 32), 2, 3)};
  for (std::size_t i = 0; i < ends.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(ends[i], ends[j]) << i << " " << j;
  }
}

// Chains of one set may stand at different steps: each has its own noise.
TEST_P(InvarianceTest, ChainsMayStandAtDifferentSteps) {
  for (const Case& c : cases()) {
    if (c.beta != 1.0f) continue;
    const auto dim = static_cast<std::size_t>(c.shape.dim);
    const auto function = engine()->load(random_network(c.shape, 8));
    const std::vector<std::uint64_t> list{kFirst, kFirst + 1, kFirst + 2};
    const std::vector<std::uint64_t> steps{0, (std::uint64_t{1} << 32) - 3, 77};
    const ebm::Matrix start = random_points(3, dim, 9);
    const auto together = function->chains(kSeed, list, steps);
    together->set_positions(start.values());
    together->run(c.transition, 10);
    std::vector<float> x(3 * dim), alone(dim);
    together->positions(x);
    for (std::size_t i = 0; i < 3; ++i) {
      const auto single = function->chains(kSeed, {list[i]}, {steps[i]});
      single->set_positions(start.row(i));
      single->run(c.transition, 10);
      single->positions(alone);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), x.begin() + static_cast<std::ptrdiff_t>(i * dim))) << c.name;
    }
  }
}

// Tempered energies and three tempered steps against the reference.
TEST_P(InvarianceTest, TemperedChainsFollowTheReference) {
  if (GetParam().precision != ebm::Precision::fp32) GTEST_SKIP() << "tempered chains are fp32's";
  for (const Case& c : cases()) {
    if (c.beta == 1.0f) continue;
    const auto dim = static_cast<std::size_t>(c.shape.dim);
    const ebm::GaussianBase gaussian = *base(c);
    const ref::Target target{to_reference(random_network(c.shape, 8)), static_cast<double>(c.beta),
                             to_reference(gaussian.mean), to_reference(gaussian.root)};
    const Run got = run(c, ids(0, 50), {3}, device());
    const ebm::Matrix start = random_points(chains(), dim, 7);
    std::size_t undecided = 0;
    for (std::size_t i = 0; i < 50; ++i) {
      ref::Chain chain{kFirst + i, 5, to_reference(start.row(i))};
      ref::Counts counts;
      ref::run(target, to_reference(c.transition), kSeed, 3, &chain, &counts);
      if (chain.decision_margin < 1e-4 || chain.kink_distance < 2e-6) {
        ++undecided;
        continue;
      }
      for (std::size_t d = 0; d < dim; ++d) {
        ASSERT_NEAR(static_cast<double>(got.x[i * dim + d]), chain.x[d], 2e-5) << c.name << " " << i;
      }
      EXPECT_NEAR(static_cast<double>(got.energy[i]), ref::evaluate(target.network, chain.x).energy, 1e-4);
      EXPECT_NEAR(static_cast<double>(got.base_energy[i]), target.base_energy(chain.x), 1e-4);
    }
    EXPECT_LE(undecided, 10u);
  }
}

EBM_INSTANTIATE_ENGINES(InvarianceTest);

}  // namespace
