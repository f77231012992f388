// ebm::Chains: runs in pieces are one run, bit for bit; what may be changed in between; callbacks; several threads on
// one Energy; misuse.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <thread>

#include "ebmcuda/chains.hpp"
#include "ebmcuda/error.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

class ChainsTest : public EngineTest {
 protected:
  ChainsTest() { model_.set_standardization(ebm::Standardization{{1.0f, -4.0f, 0.25f}, {0.5f, 2.0f, 0.125f}}); }

  static std::vector<ebm::Sampler> samplers() {
    return {ebm::LangevinDynamics{}, ebm::Mala{.step_size = 0.05f, .jump_prob = 0.2f, .grad_clip = {}, .clamp = {}}};
  }
  ebm::ChainsOptions options() const {
    ebm::ChainsOptions result;
    result.n_chains = sized(70, 40);
    result.seed = 4;
    result.first_chain = 1000;
    result.first_step = 7;
    return result;
  }
  ebm::SampleResult sampled(const ebm::Sampler& sampler, std::int64_t n_steps) const {
    ebm::SampleOptions result;
    result.n_chains = options().n_chains;
    result.n_steps = n_steps;
    result.seed = options().seed;
    result.first_chain = options().first_chain;
    result.first_step = options().first_step;
    return ebm::sample(model_, sampler, result, device());
  }
  static std::string message_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const ebm::ConfigError& error) {
      return error.what();
    }
    return "no ConfigError";
  }

  ebm::Mlp model_ = random_network(shape_of(3, {17, 9}, ebm::Activation::silu, ebm::Head::scalar, 0.5f), 1);
};

TEST_P(ChainsTest, RunsInPiecesAreOneRun) {
  const std::int64_t k = sized(50, 12);
  const ebm::Energy energy(model_, device());
  for (const ebm::Sampler& sampler : samplers()) {
    const ebm::SampleResult whole = sampled(sampler, k);
    ebm::Chains chains(energy, sampler, options());
    for (const std::int64_t n : {std::int64_t{1}, std::int64_t{0}, k - 3, std::int64_t{2}}) chains.run(n);
    EXPECT_EQ(chains.positions(), whole.x);
    EXPECT_EQ(chains.energies(), whole.energy);
    EXPECT_EQ(chains.restarted(), whole.restarted);
    EXPECT_EQ(chains.stats(), whole.stats);
    EXPECT_EQ(chains.step(), 7 + static_cast<std::uint64_t>(k));
    EXPECT_EQ(chains.size(), whole.x.rows());
  }
}

// The way through data units rounds; without it a set that is made from another's state goes on bit for bit.
TEST_P(ChainsTest, AnotherSetGoesOnWhereOneStands) {
  model_.set_standardization({});
  const ebm::Energy energy(model_, device());
  for (const ebm::Sampler& sampler : samplers()) {
    ebm::Chains chains(energy, sampler, options());
    chains.run(6);
    ebm::ChainsOptions rest = options();
    rest.init = chains.positions();
    rest.first_step = chains.step();
    ebm::Chains later(energy, sampler, rest);
    chains.run(5);
    later.run(5);
    EXPECT_EQ(later.positions(), chains.positions());
    chains.set_positions(*rest.init);
    later.set_positions(*rest.init);
    EXPECT_EQ(chains.positions(), *rest.init);
    chains.run(2);
    later.run(2);
    EXPECT_EQ(later.positions(), chains.positions());
    later.start_uniform();
    ebm::ChainsOptions begun = options();
    begun.first_step = later.step();
    EXPECT_EQ(later.positions(), ebm::Chains(energy, sampler, begun).positions());
  }
}

TEST_P(ChainsTest, CallbacksSeeEveryKeptState) {
  const ebm::Energy energy(model_, device());
  const ebm::Sampler sampler = ebm::LangevinDynamics{};
  ebm::Chains chains(energy, sampler, options());
  std::vector<std::int64_t> seen;
  const auto look = [&](const ebm::ChainsProgress& now) {
    seen.push_back(now.transitions);
    const ebm::Matrix expected = sampled(sampler, now.transitions).x;
    EXPECT_TRUE(std::ranges::equal(now.positions.values(), expected.values())) << now.transitions;
    return now.transitions < 8;
  };
  EXPECT_EQ(chains.run(11, 4, look), 8);  // told to stop
  EXPECT_EQ(seen, (std::vector<std::int64_t>{4, 8}));
  EXPECT_EQ(chains.run(3, 4, look), 3);  // none is due
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_EQ(chains.positions(), sampled(sampler, 11).x);
}

// What a change in between does is what a run that begins there does.
TEST_P(ChainsTest, SamplerAndStepSizeMayChange) {
  model_.set_standardization({});
  const ebm::Energy energy(model_, device());
  ebm::Chains chains(energy, ebm::Mala{.step_size = 0.05f, .jump_prob = 0, .grad_clip = {}, .clamp = {}}, options());
  chains.run(4);
  const auto expect_as_new = [&](const ebm::Sampler& sampler) {
    ebm::ChainsOptions rest = options();
    rest.init = chains.positions();
    rest.first_step = chains.step();
    ebm::Chains fresh(energy, sampler, rest);
    fresh.run(3);
    chains.run(3);
    EXPECT_EQ(chains.positions(), fresh.positions()) << ebm::describe(sampler);
    EXPECT_EQ(ebm::describe(chains.sampler()), ebm::describe(sampler));
  };
  chains.set_step_size(0.1f);
  expect_as_new(ebm::Mala{.step_size = 0.1f, .jump_prob = 0, .grad_clip = {}, .clamp = {}});
  const ebm::LangevinDynamics langevin{
      .step_size = 0.02f, .noise_scale = 0.1f, .grad_clip = 0.5f, .clamp = ebm::Box{{-9}, {9}}};
  chains.set_sampler(langevin);
  expect_as_new(langevin);
}

TEST_P(ChainsTest, CountsUntilCleared) {
  ebm::Chains chains(ebm::Energy(model_, device()), samplers()[1], options());
  chains.run(3);
  const ebm::ChainStats first = chains.stats();
  EXPECT_EQ(first.steps, 3 * chains.size());
  EXPECT_EQ(first[ebm::Move::local].proposed + first[ebm::Move::jump].proposed, 3 * chains.size());
  EXPECT_GT(first[ebm::Move::jump].proposed, 0u);
  chains.run(2);
  const ebm::ChainStats both = chains.stats();
  EXPECT_EQ(both.steps, 5 * chains.size());
  chains.clear_stats();
  EXPECT_EQ(chains.stats(), ebm::ChainStats{});
  chains.run(1);
  EXPECT_EQ(chains.stats().steps, chains.size());
}

// Rejects energies and gradients kept from the parameters before.
TEST_P(ChainsTest, GoOnWithTheEnergysNewParameters) {
  model_.set_standardization({});
  const ebm::Mlp other = random_network(model_.shape(), 9);
  ebm::GaussianEnergy base{std::vector<float>(3, 0.5f), ebm::Matrix(3, 3, {1, 0.5f, 0, 0, 2, 0, 0, 0, 1})};
  for (const bool annealed : {false, true}) {
    ebm::Energy energy(model_, device());
    ebm::ChainsOptions made = options();
    if (annealed) {
      made.base = base;
      made.beta = 0.7f;
    }
    ebm::Chains chains(energy, ebm::Mala{.step_size = 0.05f, .jump_prob = 0, .grad_clip = {}, .clamp = {}}, made);
    chains.run(3);
    ebm::ChainsOptions rest = made;
    rest.init = chains.positions();
    rest.first_step = chains.step();
    energy.set_parameters(other.parameters());
    EXPECT_EQ(chains.energies(), ebm::energy(other, *rest.init, device()));
    ebm::Chains fresh(ebm::Energy(other, device()), chains.sampler(), rest);
    chains.run(3);
    fresh.run(3);
    EXPECT_EQ(chains.positions(), fresh.positions()) << annealed;
    EXPECT_EQ(chains.energies(), fresh.energies()) << annealed;
  }
}

// beta 0 with a base is the base's chain whatever the network, and E0 is what it says, in data units.
TEST_P(ChainsTest, BaseIsInDataUnits) {
  const ebm::Matrix root(3, 3, {1, 0.5f, 0, 0, 2, -0.25f, 0, 0, 1});
  ebm::ChainsOptions made = options();
  made.base = ebm::GaussianEnergy{{1.0f, -3.0f, 0.5f}, root};
  made.beta = 0.5f;
  ebm::Chains chains(ebm::Energy(model_, device()), ebm::Mala{.step_size = 0.05f}, made);
  chains.run(2);
  const ebm::Matrix x = chains.positions();
  const std::vector<float> base = chains.base_energies();
  for (std::size_t i = 0; i < x.rows(); ++i) {
    double expected = 0;
    for (std::size_t r = 0; r < 3; ++r) {
      double sum = 0;
      for (std::size_t d = 0; d < 3; ++d) sum += double{root(r, d)} * (double{x(i, d)} - double{made.base->mean[d]});
      expected += sum * sum / 2;
    }
    EXPECT_NEAR(double{base[i]}, expected, 1e-4 * (1 + expected));
  }
  chains.set_beta(0);
  const ebm::Mlp other = random_network(model_.shape(), 9);
  ebm::Mlp moved = other;
  moved.set_standardization(model_.standardization());
  made.beta = 0;
  ebm::Chains one(ebm::Energy(model_, device()), ebm::Mala{.step_size = 0.05f}, made);
  ebm::Chains two(ebm::Energy(moved, device()), ebm::Mala{.step_size = 0.05f}, made);
  one.run(3);
  two.run(3);
  EXPECT_EQ(one.positions(), two.positions());
}

TEST_P(ChainsTest, SeveralThreadsShareAnEnergy) {
  const ebm::Energy energy(model_, device());
  const std::int64_t k = sized(40, 4);
  for (const ebm::Sampler& sampler : samplers()) {
    std::vector<ebm::Matrix> ends(4);
    std::vector<ebm::ChainStats> stats(4);
    const auto run = [&](std::size_t t) {
      ebm::ChainsOptions own = options();
      own.n_chains = 35;
      own.first_chain = 100 * t;
      ebm::Chains chains(energy, sampler, own);
      for (std::int64_t i = 0; i < k; ++i) chains.run(1);
      ends[t] = chains.positions();
      stats[t] = chains.stats();
    };
    for (std::size_t t = 0; t < 4; ++t) run(t);
    const auto expected = ends;
    const auto expected_stats = stats;
    ends.assign(4, {});
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 4; ++t) threads.emplace_back(run, t);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ends, expected);
    EXPECT_EQ(stats, expected_stats);
  }
}

TEST_P(ChainsTest, RefusesMisuse) {
  const ebm::Energy energy(model_, device());
  const ebm::Mala mala{};
  const auto refused = [&](const std::function<void(ebm::ChainsOptions&)>& change, ebm::Sampler sampler = ebm::Mala{}) {
    ebm::ChainsOptions made = options();
    change(made);
    return message_of([&] { ebm::Chains(energy, sampler, made); });
  };
  EXPECT_EQ(refused([](auto& o) { o.n_chains = 0; }), "n_chains = 0: must be >= 1");
  EXPECT_EQ(refused([](auto& o) { o.init = ebm::Matrix(0, 3); }), "init = 0 rows: must hold at least one chain");
  EXPECT_EQ(refused([](auto& o) { o.init = ebm::Matrix(2, 2); }),
            "init = 2 x 2: the model has D = 3, so rows must hold 3 values");
  EXPECT_EQ(refused([](auto& o) { o.first_chain = (std::uint64_t{1} << 56) - 1; }),
            "first_chain = 72057594037927935: first_chain + n_chains must be <= 2^56");
  EXPECT_EQ(refused([](auto& o) { o.first_step = std::uint64_t{1} << 48; }),
            "first_step = 281474976710656: must be below 2^48");
  EXPECT_EQ(refused([](auto& o) { o.beta = 0.5f; }), "beta = 0.5: must be 1 without a base");
  EXPECT_EQ(refused([](auto&) {}, ebm::Mala{.step_size = -1}), "step_size = -1: must be finite and > 0");
  const ebm::GaussianEnergy base{{0, 0, 0}, ebm::Matrix(3, 3, {1, 0, 0, 0, 1, 0, 0, 0, 1})};
  EXPECT_EQ(refused([&](auto& o) { o.base = base; }, ebm::LangevinDynamics{}),
            "sampler = langevin: chains with a base need a Metropolis-adjusted sampler");
  EXPECT_EQ(refused([&](auto& o) {
              o.base = base;
              o.beta = 1.5f;
            }),
            "beta = 1.5: must be in [0, 1]");
  EXPECT_EQ(refused([&](auto& o) {
              o.base = base;
              o.base->root(2, 0) = 1;
            }),
            "base.root = 1: must be finite and upper triangular, > 0 on the diagonal (row 2, column 0)");
  EXPECT_EQ(refused([&](auto& o) {
              o.base = base;
              o.base->mean.pop_back();
            }),
            "base.mean = 2: must hold D = 3 values");

  ebm::Chains chains(energy, mala, options());
  EXPECT_EQ(message_of([&] { chains.run(-1); }), "n = -1: must be >= 0");
  EXPECT_EQ(message_of([&] { chains.run(std::int64_t{1} << 48); }),
            "n = 281474976710656: must be <= 281474976710649: step numbers end at 2^48");
  EXPECT_EQ(message_of([&] { chains.run(1, 0, [](const ebm::ChainsProgress&) { return true; }); }),
            "every = 0: must be >= 1");
  EXPECT_EQ(message_of([&] { chains.run(1, 1, {}); }), "callback = empty: must be a function");
  EXPECT_EQ(message_of([&] { chains.set_step_size(0); }), "step_size = 0: must be finite and > 0");
  EXPECT_EQ(message_of([&] { chains.set_beta(0.5f); }), "beta = 0.5: must be 1 without a base");
  EXPECT_EQ(message_of([&] { chains.base_energies(); }), "base = none: the chains were made without one");
  const ebm::Matrix few(2, 3);
  EXPECT_EQ(message_of([&] { chains.set_positions(few); }),
            fmt::format("x = 2: must hold one row for each of the {} chains", chains.size()));
  std::vector<float> two(2);
  EXPECT_EQ(message_of([&] { chains.energies(two); }),
            fmt::format("energy = 2: must hold one value for each of the {} chains", chains.size()));
  EXPECT_EQ(message_of([&] { chains.positions(two); }), fmt::format("x = 2: must hold {} x 3 values", chains.size()));
  if (!is_cpu()) return;
  const std::string no_memory = "device = cpu: only a CUDA device has memory and streams of its own";
  EXPECT_EQ(message_of([&] { chains.run(1, nullptr); }), no_memory);
  EXPECT_EQ(message_of([&] { chains.device_positions(nullptr); }), no_memory);
  EXPECT_EQ(message_of([&] { chains.write_positions(nullptr); }), no_memory);
  EXPECT_EQ(chains.step(), 7u) << "a refused run must not count";
}

EBM_INSTANTIATE_ENGINES(ChainsTest);

}  // namespace
