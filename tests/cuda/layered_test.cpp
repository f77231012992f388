// The layered path: what goes there, and what is particular to it. That it is right for every small network is in
// tests/engine (cuda_layered); here are the shapes it is for, and bits across chunks, sets and threads.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "ebmcuda/error.hpp"
#include "host/cuda/devices.hpp"
#include "host/cuda/layered.hpp"
#include "host/engine/engine.hpp"
#include "host/sampling/transition.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;
using ebm::Activation;
using ebm::Head;
using ebm::SamplerKind;
using ebm::cuda::network_view;

// Shared memory of a block and multiprocessors of an H100.
constexpr ebm::DeviceLimits kH100{132, 232448};

bool is_layered(const ebm::MlpShape& shape) {
  const ebm::cuda::PathCost cost = ebm::cuda::path_cost(network_view(shape), kH100);
  return cost.layered < cost.fused;
}

// Rejects a rule that sends what shared memory holds to the products, or leaves what it does not.
TEST(LayeredRule, WhatTilesOf32HoldStaysFused) {
  for (const auto& [dim, hidden] : std::vector<std::pair<int, std::vector<int>>>{
           {2, {128, 128}}, {64, {128, 128}}, {64, {128, 128, 128}}, {64, {256, 256}}, {2, {512}}}) {
    EXPECT_FALSE(is_layered(shape_of(dim, hidden))) << dim << " " << testing::PrintToString(hidden);
  }
  for (const auto& [dim, hidden] : std::vector<std::pair<int, std::vector<int>>>{{784, {512, 512}},
                                                                                 {3072, {1024, 1024}},
                                                                                 {64, {512, 512}},
                                                                                 {2, {2048, 2048}},
                                                                                 {64, {8192}},
                                                                                 {32, std::vector<int>(16, 256)}}) {
    EXPECT_TRUE(is_layered(shape_of(dim, hidden))) << dim << " " << testing::PrintToString(hidden);
  }
}

// (784; 512, 512): 2 x 668,672 products forward and back at 128 a clock; fused, tiles of 8 read the weights twice
// through 28 bytes a clock; layered, 9 numbers a unit and 8 a dimension.
TEST(LayeredRule, CostsAreTheDocumentedOnes) {
  const double weights = 784 * 512 + 512 * 512 + 512;
  const ebm::cuda::PathCost cost = ebm::cuda::path_cost(network_view(shape_of(784, {512, 512})), kH100);
  EXPECT_NEAR(cost.fused, 8 * weights / 8 / 28, 1e-6);
  EXPECT_NEAR(cost.layered, 2 * weights / 128 + 4.0 * (9 * 1024 + 8 * 784) / 28, 1e-6);
}

TEST(LayeredRule, ChunksFollowFromTheShape) {
  EXPECT_EQ(ebm::cuda::layered_chunk(network_view(shape_of(2, {16}))), 4096);
  EXPECT_EQ(ebm::cuda::layered_chunk(network_view(shape_of(64, {1024, 512}))), 2048);
  EXPECT_EQ(ebm::cuda::layered_chunk(network_view(shape_of(3072, {1024, 1024}))), 1024);
}

TEST(LayeredLibrary, ANamedPlaceThatHoldsNoneIsNone) {
  setenv("EBMCUDA_CUBLASLT", "/nowhere/libcublasLt.so", 1);
  EXPECT_FALSE(ebm::cuda::CublasLt::look().has_value());
  unsetenv("EBMCUDA_CUBLASLT");
}

TEST(LayeredLibrary, AChunkThatIsNoNumberIsRefused) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  if (ebm::cuda::CublasLt::find() == nullptr) GTEST_SKIP() << "no libcublasLt";
  setenv("EBMCUDA_LAYERED", "on", 1);
  const auto engine = ebm::cuda::make_engine(0, ebm::Precision::fp32, nullptr);
  const ebm::Mlp model = random_network(shape_of(2, {8}), 1);
  for (const char* chunk : {"0", "64k", "-1", "1000000"}) {
    setenv("EBMCUDA_LAYERED_CHUNK", chunk, 1);
    EXPECT_THROW(engine->load(model), ebm::ConfigError) << chunk;
  }
  setenv("EBMCUDA_LAYERED_CHUNK", "100", 1);
  EXPECT_NE(engine->load(model)->path().find("chunks of 100 "), std::string::npos);
  unsetenv("EBMCUDA_LAYERED_CHUNK");
  unsetenv("EBMCUDA_LAYERED");
}

class LayeredTest : public testing::Test {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
    if (ebm::cuda::CublasLt::find() == nullptr) GTEST_SKIP() << "no libcublasLt";
    unsetenv("EBMCUDA_LAYERED");
    unsetenv("EBMCUDA_LAYERED_CHUNK");
    engine_ = ebm::cuda::make_engine(0, ebm::Precision::fp32, nullptr);
  }
  void TearDown() override { unsetenv("EBMCUDA_LAYERED"); }

  static std::vector<std::uint64_t> count_from(std::uint64_t first, std::size_t n) {
    std::vector<std::uint64_t> ids(n);
    for (std::size_t i = 0; i < n; ++i) ids[i] = first + i;
    return ids;
  }
  static std::vector<float> positions(const ebm::ChainSet& chains, std::size_t n, int dim) {
    std::vector<float> x(n * static_cast<std::size_t>(dim));
    chains.positions(x);
    return x;
  }
  // Chains from their uniform start, in runs of so many transitions.
  static std::vector<float> run(const ebm::EnergyFunction& function, int dim, const ebm::Transition& transition,
                                std::uint64_t first, std::size_t n, const std::vector<std::int64_t>& runs) {
    const auto chains = function.chains(11, count_from(first, n), std::vector<std::uint64_t>(n, 5));
    chains->start_uniform(transition);
    for (const std::int64_t steps : runs) chains->run(transition, steps);
    return positions(*chains, n, dim);
  }

  std::unique_ptr<ebm::Engine> engine_;
};

struct Shape {
  int dim;
  std::vector<int> hidden;
  Activation activation;
  Head head;
};
const Shape kShapes[] = {
    {70, {512, 512}, Activation::silu, Head::scalar},
    {3, {1030, 1030}, Activation::gelu, Head::scalar},
    {301, {260, 35}, Activation::tanh, Head::logits},
    {9, {5, 2050, 258}, Activation::softplus, Head::scalar},
    {66, std::vector<int>(16, 130), Activation::elu, Head::scalar},
};

// Against double precision, for networks that are too wide, too deep or of too many dimensions for the fused kernels,
// widths and dimensions odd. Rejects: a matrix that is read by a wrong pitch or transposed; padding that counts; a
// layer's slopes in another's place; a confinement that is missing from E or its gradient.
TEST_F(LayeredTest, EnergiesGradientsAndOutputsOfWideAndDeepNetworks) {
  for (const Shape& s : kShapes) {
    const ebm::Mlp model = random_network(shape_of(s.dim, s.hidden, s.activation, s.head, 0.3f), 2);
    const auto function = engine_->load(model);
    ASSERT_TRUE(function->path().starts_with("layered fp32, cuBLASLt ")) << function->path();
    const std::size_t n = 5, dim = static_cast<std::size_t>(s.dim), outputs = model.shape().outputs;
    const ebm::Matrix x = random_points(n, dim, 3);
    std::vector<float> energy(n), gradient(n * dim), f(n * outputs), alone(n);
    function->evaluate(x.values(), energy, gradient);
    function->evaluate(x.values(), alone);
    function->outputs(x.values(), f);
    EXPECT_EQ(alone, energy) << "energies must not depend on whether the gradient is asked for";
    const ref::Network network = to_reference(model);
    ref::Vector expected_gradient, expected_f;
    for (std::size_t i = 0; i < n; ++i) {
      const ref::Evaluation e = ref::evaluate(network, to_reference(x.row(i)));
      EXPECT_NEAR(energy[i], e.energy, 1e-5 * e.magnitude) << function->path();
      expected_gradient.insert(expected_gradient.end(), e.gradient.begin(), e.gradient.end());
      expected_f.insert(expected_f.end(), e.outputs.begin(), e.outputs.end());
    }
    EXPECT_LE(relative_error(gradient, expected_gradient), 1e-5) << testing::PrintToString(s.hidden);
    EXPECT_LE(relative_error(f, expected_f), 1e-5) << testing::PrintToString(s.hidden);
  }
}

// Ten transitions of every sampler on a wide network against double precision; tolerances of
// tests/engine/trajectory_test.cpp.
TEST_F(LayeredTest, TrajectoriesOfAWideNetwork) {
  constexpr int kDim = 301, kSteps = 10;
  const ebm::Mlp model = random_network(shape_of(kDim, {260, 35}, Activation::silu, Head::scalar, 0.5f), 4);
  const auto function = engine_->load(model);
  ASSERT_TRUE(function->path().starts_with("layered")) << function->path();
  std::vector<ebm::Sampler> samplers = exact_samplers(0.005f, 0.2f, 0.4f, std::nullopt);
  ebm::LangevinDynamics langevin;
  langevin.step_size = 0.005f;
  samplers.emplace_back(langevin);
  for (const ebm::Sampler& sampler : samplers) {
    const ebm::Transition transition = ebm::resolve(sampler, model);
    const std::size_t n = 3;
    const ebm::Matrix start = random_points(n, kDim, 5);
    const auto chains = function->chains(7, count_from(100, n), std::vector<std::uint64_t>(n, 3));
    chains->set_positions(start.values());
    chains->run(transition, kSteps - 4);
    chains->run(transition, 4);
    const std::vector<float> x = positions(*chains, n, kDim);
    const ref::Target target{to_reference(model), 1, {}, {}};
    ref::Counts counts;
    int compared = 0;
    for (std::size_t i = 0; i < n; ++i) {
      ref::Chain chain{100 + i, 3, to_reference(start.row(i))};
      ref::run(target, to_reference(transition), 7, kSteps, &chain, &counts);
      if (chain.decision_margin < 2e-4) continue;
      ++compared;
      EXPECT_LE(relative_error(std::span(x).subspan(i * kDim, kDim), chain.x), 1.2e-5)
          << ebm::to_string(transition.kind) << " chain " << i;
    }
    EXPECT_GE(compared, 2);
    const ebm::ChainStats stats = chains->stats();
    EXPECT_EQ(stats.steps, n * kSteps * static_cast<std::uint64_t>(transition.evaluations));
    if (ebm::is_metropolis(transition.kind)) {
      EXPECT_EQ(stats.moves[0].proposed + stats.moves[1].proposed, n * kSteps);
    }
  }
}

ebm::Transition transition_of(SamplerKind kind) {
  ebm::Transition transition;
  transition.kind = kind;
  transition.step_size = 0.05f;
  transition.jump_prob = 0.1f;
  if (kind == SamplerKind::langevin) transition.own[ebm::LangevinTraits::kNoiseScale] = 0.3f;
  if (kind == SamplerKind::hmc) transition.own = {2.0f, 0.2f};
  if (kind == SamplerKind::malt) transition.own = {2.0f, 1.0f};
  if (kind == SamplerKind::hmc || kind == SamplerKind::malt) transition.evaluations = 2;
  return transition;
}

// One chunk and a part of another against sets of a few of their chains, and runs in pieces. Rejects a chain that
// hangs on its place in a chunk, on the rows beside it, or on what a chunk before it left behind.
TEST_F(LayeredTest, ChainsHaveTheSameBitsInSetsOfAnySize) {
  setenv("EBMCUDA_LAYERED", "on", 1);
  constexpr int kDim = 3;
  const ebm::MlpShape shape = shape_of(kDim, {12, 7}, Activation::silu, Head::scalar, 0.5f);
  const auto function = engine_->load(random_network(shape, 6));
  ASSERT_TRUE(function->path().starts_with("layered")) << function->path();
  const auto chunk = static_cast<std::size_t>(ebm::cuda::layered_chunk(network_view(shape)));
  const std::size_t n = chunk + 21;
  for (const SamplerKind kind : ebm::kSamplerKinds) {
    const ebm::Transition transition = transition_of(kind);
    const std::vector<float> all = run(*function, kDim, transition, 1000, n, {3});
    for (const auto& [first, count] :
         std::vector<std::pair<std::size_t, std::size_t>>{{0, 1}, {77, 37}, {chunk - 1, 2}, {n - 5, 5}}) {
      const std::vector<float> few = run(*function, kDim, transition, 1000 + first, count, {1, 2});
      EXPECT_TRUE(std::ranges::equal(few, std::span(all).subspan(first * kDim, count * kDim)))
          << ebm::to_string(kind) << ", " << count << " chains from " << first;
    }
  }
}

// Sets of one network that run on two threads, and one network's evaluations between them. Rejects working memory that
// sets share.
TEST_F(LayeredTest, SetsOfTwoThreadsDoNotDisturbEachOther) {
  setenv("EBMCUDA_LAYERED", "on", 1);
  constexpr int kDim = 4;
  const auto function = engine_->load(random_network(shape_of(kDim, {20, 9}, Activation::tanh, Head::scalar, 0.5f), 7));
  const auto work = [&](int thread) {
    const std::vector<std::int64_t> runs(4, 2);
    return run(*function, kDim, transition_of(thread == 0 ? SamplerKind::mala : SamplerKind::langevin),
               thread == 0 ? 0 : 50, thread == 0 ? 9 : 14, runs);
  };
  const std::vector<float> expected[2] = {work(0), work(1)};
  for (int round = 0; round < 3; ++round) {
    std::vector<float> found[2];
    std::thread other([&] { found[1] = work(1); });
    found[0] = work(0);
    other.join();
    EXPECT_EQ(found[0], expected[0]);
    EXPECT_EQ(found[1], expected[1]);
  }
}

// A chain that starts where E is not finite is restarted and counted, and its neighbours never know.
TEST_F(LayeredTest, AChainInTroubleIsRestartedAlone) {
  setenv("EBMCUDA_LAYERED", "on", 1);
  constexpr int kDim = 5;
  const auto function =
      engine_->load(random_network(shape_of(kDim, {16, 16}, Activation::relu, Head::scalar, 0.5f), 8));
  for (const SamplerKind kind : ebm::kSamplerKinds) {
    const ebm::Transition transition = transition_of(kind);
    ebm::Matrix start = random_points(6, kDim, 9);
    const auto from = [&](const ebm::Matrix& x) {
      const auto chains = function->chains(3, count_from(0, x.rows()), std::vector<std::uint64_t>(x.rows(), 0));
      chains->set_positions(x.values());
      chains->run(transition, 2);
      std::vector<std::uint8_t> flags(x.rows());
      chains->restarted(flags);
      return std::tuple(positions(*chains, x.rows(), kDim), flags, chains->stats().restarts);
    };
    const auto [good, no_flags, none] = from(start);
    EXPECT_EQ(none, 0u);
    start(2, 1) = std::numeric_limits<float>::infinity();
    const auto [x, flags, restarts] = from(start);
    EXPECT_EQ(restarts, 1u) << ebm::to_string(kind);
    EXPECT_EQ(flags, (std::vector<std::uint8_t>{0, 0, 1, 0, 0, 0}));
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_TRUE(std::isfinite(x[i]));
      if (i / kDim == 2) continue;
      EXPECT_EQ(x[i], good[i]) << ebm::to_string(kind) << ", " << i;
    }
  }
}

}  // namespace
