// Tensor-core kernels that are compiled at run time: every activation, 1 to 4 hidden layers, more than 64 dimensions,
// more than 128 units, each transition and each precision, against the CPU engine's single precision. The arithmetic of
// the kernels that are compiled ahead is the same source; tests/engine has those.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "ebmcuda/error.hpp"
#include "fault_sweep.hpp"
#include "host/cuda/devices.hpp"
#include "host/cuda/mma.hpp"
#include "host/cuda/nvrtc.hpp"
#include "host/cuda/runtime_compiler.hpp"
#include "host/cuda/transition.hpp"
#include "host/engine/engine.hpp"
#include "support/networks.hpp"
#include "tests/files/support.hpp"

namespace {

using namespace support;
using ebm::Activation;

constexpr std::size_t kChains = 37;  // two full warps and a part of one
constexpr std::int64_t kSteps = 3;

struct Case {
  const char* name;
  ebm::MlpShape shape;
  bool split = false;  // fp16x3 too: its activations are the fp32 kernels', so a few networks are enough; all samplers
};

std::vector<Case> cases() {
  return {{"silu_deep", shape_of(3, {32, 20, 64, 33}, Activation::silu, ebm::Head::scalar, 0.3f), true},
          {"softplus", shape_of(16, {48, 30}, Activation::softplus, ebm::Head::scalar, 0.1f), true},
          {"tanh", shape_of(2, {32}, Activation::tanh, ebm::Head::scalar, 0.5f)},
          {"gelu", shape_of(20, {32, 64}, Activation::gelu, ebm::Head::scalar, 0.2f)},
          {"elu", shape_of(5, {64, 32, 32}, Activation::elu)},
          {"relu_many_dimensions", shape_of(80, {32, 32}, Activation::relu, ebm::Head::scalar, 1.0f)},
          {"silu_wide", shape_of(10, {160, 32}, Activation::silu, ebm::Head::scalar, 0.1f)}};
}

struct Outcome {
  std::vector<float> x;
  ebm::ChainStats stats;
  std::string path;
};

// Of chain i, whether dimension d is fixed: all of the second chain, none of the first.
bool fixed(std::size_t i, std::size_t d) { return i == 1 || (i > 1 && (7 * i + 3 * d + d * d) % 5 < 2); }

Outcome run(const ebm::Device& device, const ebm::MlpShape& shape, const ebm::Transition& transition,
            bool fixes = false) {
  const auto function = ebm::make_engine(device)->load(random_network(shape, 3));
  std::vector<std::uint64_t> ids(kChains), steps(kChains, 11);
  for (std::size_t i = 0; i < kChains; ++i) ids[i] = 1000 + i;
  const auto chains = function->chains(7, ids, steps);
  const ebm::Matrix start = random_points(kChains, static_cast<std::size_t>(shape.dim), 4);
  chains->set_positions(start.values());
  if (fixes) {
    std::vector<std::uint8_t> mask;
    for (std::size_t i = 0; i < start.values().size(); ++i) mask.push_back(fixed(i / start.cols(), i % start.cols()));
    chains->fix(mask);
  }
  Outcome result;
  chains->run(transition, kSteps);
  result.stats = chains->stats();
  result.x.resize(start.values().size());
  chains->positions(result.x);
  for (std::size_t i = 0; fixes && i < result.x.size(); ++i) {
    if (fixed(i / start.cols(), i % start.cols())) {
      EXPECT_EQ(result.x[i], start.values()[i]) << i;
    }
  }
  result.path = function->path();
  return result;
}

std::vector<ebm::Transition> transitions(int dim, bool trajectories) {
  ebm::Transition langevin;
  langevin.step_size = 0.02f;
  langevin.own[0] = 0.2f;
  ebm::Transition limited = langevin;
  limited.grad_clip = 0.5f;
  limited.clamp_lo.assign(static_cast<std::size_t>(dim), -1.0f);
  limited.clamp_hi.assign(static_cast<std::size_t>(dim), 1.5f);
  ebm::Transition mala = langevin;
  mala.kind = ebm::SamplerKind::mala;
  mala.jump_prob = 0.2f;
  // Jumps go to the box, and only from there.
  ebm::Transition boxed = limited;
  boxed.kind = ebm::SamplerKind::mala;
  boxed.jump_prob = 0.4f;
  boxed.start_lo = boxed.clamp_lo;
  boxed.start_hi = boxed.clamp_hi;
  // One of each trajectory: a fifth row of working memory.
  ebm::Transition hmc = mala;
  hmc.kind = ebm::SamplerKind::hmc;
  hmc.evaluations = 3;
  hmc.step_size = 0.1f;
  hmc.own = {};
  hmc.own[ebm::HmcTraits::kLeapfrogSteps] = 3.0f;
  hmc.own[ebm::HmcTraits::kJitter] = 0.2f;
  ebm::Transition malt = hmc;
  malt.kind = ebm::SamplerKind::malt;
  malt.own = {};
  malt.own[ebm::MaltTraits::kLeapfrogSteps] = 3.0f;
  malt.own[ebm::MaltTraits::kFriction] = 1.0f;
  std::vector<ebm::Transition> all{langevin, limited, mala, boxed};
  if (trajectories) all.insert(all.end(), {hmc, malt});
  return all;
}

class RuntimeKernelTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
    if (!ebm::cuda::runtime_compiler_available()) GTEST_SKIP() << "no run-time compiler";
  }

  void follow_the_cpu_engine(bool fixes) const {
    const ebm::MlpShape& shape = GetParam().shape;
    for (const ebm::Transition& transition : transitions(shape.dim, GetParam().split)) {
      const bool adjusted = ebm::is_metropolis(transition.kind);
      const Outcome expected = run(ebm::Device::cpu(1), shape, transition, fixes);
      for (const ebm::Precision precision : {ebm::Precision::fp16, ebm::Precision::fp16x3}) {
        if (precision == ebm::Precision::fp16x3 && !GetParam().split) continue;
        const Outcome found = run(ebm::Device::cuda(0, precision), shape, transition, fixes);
        EXPECT_NE(found.path.find("tensor-core"), std::string::npos) << found.path;
        EXPECT_EQ(found.stats.restarts, 0u);
        // A step's error is step_size times the gradient's (2e-3 and 1e-5 of a gradient of order 1 to 10), and that of
        // the normals; kinks of relu and the clip let it grow a little.
        const double tolerance = precision == ebm::Precision::fp16 ? 2e-3 : 2e-5;
        // A decision that hangs on the last digits may fall the other way and moves its chain at once by order 1.
        std::size_t apart = 0;
        const auto dim = static_cast<std::size_t>(shape.dim);
        for (std::size_t i = 0; i < kChains; ++i) {
          double worst = 0.0;
          for (std::size_t d = 0; d < dim; ++d) {
            const double e = expected.x[i * dim + d], f = found.x[i * dim + d];
            worst = std::max(worst, std::isfinite(f) ? std::abs(e - f) / std::max(1.0, std::abs(e)) : INFINITY);
          }
          apart += worst > tolerance;
        }
        EXPECT_LE(apart, adjusted ? 1u : 0u)
            << ebm::cuda::name_of(precision) << ", sampler " << static_cast<int>(transition.kind) << ", limited "
            << !transition.clamp_lo.empty();
        EXPECT_EQ(found.stats[ebm::Move::jump].proposed, expected.stats[ebm::Move::jump].proposed);
      }
    }
  }
};

TEST_P(RuntimeKernelTest, FollowsTheCpuEngine) { follow_the_cpu_engine(false); }

// One network of every sampler and both precisions, and one of several words of bits.
TEST_P(RuntimeKernelTest, WithFixedCoordinatesToo) {
  const std::string name = GetParam().name;
  if (name != "silu_deep" && name != "relu_many_dimensions") GTEST_SKIP() << "two networks are enough";
  follow_the_cpu_engine(true);
}

INSTANTIATE_TEST_SUITE_P(, RuntimeKernelTest, testing::ValuesIn(cases()),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(RuntimeCompilerTest, SecondUseComesFromTheCache) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  if (!ebm::cuda::runtime_compiler_available()) GTEST_SKIP() << "no run-time compiler";
  const ebm::test::TemporaryDirectory directory;
  setenv("EBMCUDA_CACHE_DIR", directory.path().c_str(), 1);
  const ebm::cuda::Context context(0, nullptr);
  const std::string source = "extern \"C\" __global__ void nothing() {}\n";
  const ebm::cuda::RuntimeKernel first = ebm::cuda::runtime_kernel(context, source, "nothing");
  EXPECT_FALSE(first.cached);
  EXPECT_EQ(directory.names().size(), 1u);
  const ebm::cuda::RuntimeKernel second = ebm::cuda::runtime_kernel(context, source, "nothing");
  EXPECT_TRUE(second.cached);
  EXPECT_EQ(second.function, first.function);
  unsetenv("EBMCUDA_CACHE_DIR");
  try {
    ebm::cuda::runtime_kernel(context, "extern \"C\" __global__ void wrong() { no such thing; }\n", "wrong");
    FAIL() << "no exception";
  } catch (const ebm::DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("error"), std::string::npos) << error.what();
    EXPECT_FALSE(error.sticky());
  }
}

// Only a device that says no to the code is one that says no: rejects a lack of memory, or a lost device, that is taken
// for it.
TEST(RuntimeCompilerTest, AFailureToLoadIsNoRefusal) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  if (!ebm::cuda::runtime_compiler_available()) GTEST_SKIP() << "no run-time compiler";
  setenv("EBMCUDA_CACHE_DIR", "", 1);
  int kernels = 0;  // each of a name of its own, or it would be there already
  const auto load = [&] {
    const ebm::cuda::Context context(0, nullptr);
    const std::string name = fmt::format("loaded_{}", kernels++);
    const long before = faulty::state().calls;
    ebm::cuda::runtime_kernel(context, fmt::format("extern \"C\" __global__ void {}() {{}}\n", name), name);
    return std::pair{before, faulty::state().calls};
  };
  faulty::reset();
  const auto [opening, calls] = load();
  ASSERT_GT(calls, opening);
  const long live = faulty::state().live;
  for (const cudaError_t code : {cudaErrorMemoryAllocation, cudaErrorInvalidValue, cudaErrorIllegalAddress}) {
    for (long k = opening + 1; k <= calls; ++k) {
      faulty::reset(k, code, code == cudaErrorIllegalAddress);
      EXPECT_FALSE(goes_through(load)) << "call " << k << " failed unnoticed";
      faulty::reset();
      if (code != cudaErrorIllegalAddress) {
        EXPECT_EQ(faulty::state().live, live);
      }
    }
  }
  faulty::reset(opening + 1, cudaErrorNoKernelImageForDevice, true);
  try {
    load();
    ADD_FAILURE() << "no exception";
  } catch (const ebm::DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("took neither machine code nor PTX"), std::string::npos) << error.what();
  }
  faulty::reset();
  unsetenv("EBMCUDA_CACHE_DIR");
}

// Chains at temperatures of their own. With beta = 1/2 or 2 for E, every number but E is that of temperature 1 for the
// network whose head and confinement carry beta, at step size h / beta: powers of two, so all bits are the same.
TEST(TemperedKernelTest, IsTheKernelOfTheScaledEnergy) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  if (!ebm::cuda::runtime_compiler_available()) GTEST_SKIP() << "no run-time compiler";
  const auto context = std::make_shared<ebm::cuda::Context>(0, nullptr);
  const ebm::cuda::Context::Scope scope(*context);
  constexpr float kStep = 0.125f, kConfinement = 0.5f;
  struct Ends {
    std::vector<float> x, energy;
    ebm::ChainCounts counts;
  };
  // `scale` of the network's E, `beta` of the chains; 0: none.
  const auto run = [&](float scale, float beta, std::int64_t n) {
    const ebm::MlpShape shape = shape_of(3, {32, 32}, Activation::silu, ebm::Head::scalar, scale * kConfinement);
    ebm::Mlp model = random_network(shape, 3);
    const std::size_t head = 33;  // weights and bias
    for (float& w : model.parameters().last(head)) w *= scale;
    const ebm::cuda::DeviceArray<float> parameters(context, model.parameters());
    const ebm::cuda::Network network(context, shape, parameters.data());
    const auto mma = ebm::cuda::MmaNetwork::make(network, shape, ebm::Precision::fp16, parameters.data());
    std::vector<std::uint64_t> ids(kChains), steps(kChains, 11);
    for (std::size_t i = 0; i < kChains; ++i) ids[i] = i;
    const ebm::Matrix start = random_points(kChains, 3, 4);
    ebm::cuda::DeviceArray<float> x(context, start.values()), energy(context, kChains);
    const ebm::cuda::DeviceArray<float> betas(context, std::vector<float>(kChains, beta));
    ebm::cuda::DeviceArray<std::uint64_t> device_ids(context, std::span<const std::uint64_t>(ids));
    ebm::cuda::DeviceArray<std::uint64_t> device_steps(context, std::span<const std::uint64_t>(steps));
    ebm::cuda::DeviceArray<ebm::ChainCounts> counts(context, 1);
    counts.fill_zero();
    ebm::Transition transition;
    transition.kind = ebm::SamplerKind::mala;
    transition.step_size = kStep / scale;
    transition.jump_prob = 0.2f;
    const ebm::cuda::DeviceTransition step(context, transition);
    ebm::ChainsView chains{};
    chains.n = kChains;
    chains.x = x.data();
    chains.ids = device_ids.data();
    chains.steps = device_steps.data();
    chains.seed = 5;
    if (beta != 0.0f) {
      chains.beta = betas.data();
      chains.energy = energy.data();
    }
    mma->launch(chains, step.view(), n, counts.data(), context->stream());
    Ends ends{x.to_host(), {}, {}};
    if (beta != 0.0f) ends.energy = energy.to_host();
    counts.download({&ends.counts, 1});
    return ends;
  };
  for (const float beta : {0.5f, 2.0f}) {
    const Ends tempered = run(1.0f, beta, 20), scaled = run(beta, 0.0f, 20);
    EXPECT_EQ(tempered.x, scaled.x) << beta;
    for (const ebm::Move move : {ebm::Move::local, ebm::Move::jump}) {
      const auto m = static_cast<std::size_t>(move);
      EXPECT_GT(scaled.counts.accepted[m], 0u);
      EXPECT_LT(scaled.counts.accepted[m], scaled.counts.proposed[m]);
      EXPECT_EQ(tempered.counts.accepted[m], scaled.counts.accepted[m]);
    }
    const ebm::MlpShape shape = shape_of(3, {32, 32}, Activation::silu, ebm::Head::scalar, kConfinement);
    const auto oracle = ebm::make_engine(ebm::Device::cpu(1))->load(random_network(shape, 3));
    std::vector<float> energy(kChains);
    oracle->evaluate(tempered.x, energy);
    for (std::size_t i = 0; i < kChains; ++i) EXPECT_NEAR(tempered.energy[i], energy[i], 1e-4) << i;
  }
}

// A device that is newer than the compiler gets PTX; needs the compiler alone.
TEST(RuntimeCompilerTest, CompilesForWhatItKnows) {
  const ebm::cuda::Nvrtc* const nvrtc = ebm::cuda::Nvrtc::find();
  if (nvrtc == nullptr) GTEST_SKIP() << "no run-time compiler";
  EXPECT_EQ(ebm::cuda::architecture_for(*nvrtc, 90), "sm_90");
  EXPECT_TRUE(ebm::cuda::architecture_for(*nvrtc, 999).starts_with("compute_"));
  EXPECT_THROW(ebm::cuda::architecture_for(*nvrtc, 20), ebm::DeviceError);
  const std::string source = "extern \"C\" __global__ void nothing() {}\n";
  EXPECT_TRUE(ebm::cuda::compile(*nvrtc, source, "compute_90").cubin.empty());
  EXPECT_FALSE(ebm::cuda::compile(*nvrtc, source, "sm_90").cubin.empty());
  EXPECT_NE(ebm::cuda::compile(*nvrtc, source, "compute_90").ptx.find(".entry nothing"), std::string::npos);
}

// Which shape runs a network, with a run-time compiler and without.
TEST(MmaShapeTest, CompiledOnesServeTheirOwnAndStandIn) {
  const auto chosen = [](const ebm::MlpShape& shape, bool compiler) {
    return ebm::cuda::choose_mma_shape(shape, compiler);
  };
  EXPECT_EQ(chosen(shape_of(2, {128, 128}), true), ebm::kCompiledMmaShapes[0]);
  EXPECT_EQ(chosen(shape_of(64, {128, 100}), true), ebm::kCompiledMmaShapes[1]);
  EXPECT_EQ(chosen(shape_of(2, {64, 64}), true), (ebm::MmaShape{16, false, 2, {64, 64}, ebm::ActivationKind::silu}));
  EXPECT_EQ(chosen(shape_of(2, {64, 64}), false), ebm::kCompiledMmaShapes[0]);
  EXPECT_EQ(chosen(shape_of(64, {5, 64, 5}), false), ebm::kCompiledMmaShapes[2]);
  EXPECT_EQ(chosen(shape_of(32, {256}, Activation::tanh), true),
            (ebm::MmaShape{32, true, 1, {256}, ebm::ActivationKind::tanh}));
  EXPECT_FALSE(chosen(shape_of(32, {256}, Activation::tanh), false));
  EXPECT_FALSE(chosen(shape_of(40, {128, 128}), false));  // 64 dimensions exactly
  EXPECT_FALSE(chosen(shape_of(257, {64}), true));
  EXPECT_FALSE(chosen(shape_of(2, {257}), true));
  EXPECT_FALSE(chosen(shape_of(2, {64}, Activation::silu, ebm::Head::logits), true));
}

// The limits of real devices: H100, A100, RTX 4090.
TEST(MmaPlanTest, FitsTheDevice) {
  constexpr ebm::DeviceLimits kH100{132, 232448}, kA100{108, 166912}, kAda{128, 101376};
  constexpr ebm::MmaVariant kVariants[] = {
      ebm::mma_variant(false, ebm::SamplerKind::langevin), ebm::mma_variant(false, ebm::SamplerKind::mala),
      ebm::mma_variant(true, ebm::SamplerKind::langevin),  ebm::mma_variant(true, ebm::SamplerKind::mala),
      ebm::mma_variant(false, ebm::SamplerKind::hmc),      ebm::mma_variant(true, ebm::SamplerKind::malt)};
  const ebm::MmaShape wide{64, true, 2, {256, 256}, ebm::ActivationKind::silu};
  for (const ebm::MmaShape& shape :
       {ebm::kCompiledMmaShapes[0], ebm::kCompiledMmaShapes[1], ebm::kCompiledMmaShapes[2], wide}) {
    for (const ebm::MmaVariant& variant : kVariants) {
      for (const ebm::DeviceLimits& limits : {kH100, kA100, kAda}) {
        for (const std::int64_t n : {1, 16, 17, 5000, 1000000}) {
          const auto plan = ebm::cuda::choose_mma_plan(shape, variant, limits, n);
          if (!plan) {
            EXPECT_GT(static_cast<std::size_t>(ebm::mma_shared_bytes(shape, variant, 1)), limits.shared_per_block);
            continue;
          }
          EXPECT_LE(plan->shared_bytes, limits.shared_per_block);
          EXPECT_LE(plan->warps, ebm::MmaState::of(shape, variant).most_warps);
          EXPECT_LE(plan->blocks, limits.multiprocessors);
          EXPECT_LT(static_cast<std::int64_t>(plan->blocks - 1) * plan->warps * ebm::kMmaRows, n);
        }
      }
    }
  }
  EXPECT_EQ(ebm::cuda::choose_mma_plan(ebm::kCompiledMmaShapes[1], kVariants[0], kH100, 1000000)->warps, 12);
  EXPECT_TRUE(ebm::cuda::choose_mma_plan(wide, kVariants[0], kH100, 1000000));
  EXPECT_FALSE(ebm::cuda::choose_mma_plan(wide, kVariants[1], kH100, 1000000));  // two copies of the weights don't fit
  EXPECT_FALSE(ebm::cuda::choose_mma_plan(wide, kVariants[0], kA100, 1000000));
}

TEST(HalfRangeTest, NamesTheLayerAndTheWeight) {
  ebm::Mlp model = random_network(shape_of(2, {4, 4}), 1);
  ebm::cuda::check_half_range(model.shape(), model.parameters(), ebm::Precision::fp16);
  model.parameters()[2 * 4 + 4 + 3] = -7e4f;  // an element of the second layer's weights
  ebm::cuda::check_half_range(model.shape(), model.parameters(), ebm::Precision::fp32);
  try {
    ebm::cuda::check_half_range(model.shape(), model.parameters(), ebm::Precision::fp16x3);
    FAIL() << "no exception";
  } catch (const ebm::ConfigError& error) {
    EXPECT_EQ(error.field(), "precision");
    EXPECT_EQ(error.value(), "fp16x3");
    EXPECT_NE(error.allowed().find("net.1.weight holds -70000"), std::string::npos) << error.allowed();
  }
}

// A warp's counts are summed in 64 bits: rejects a sum that wraps at 2^32.
TEST(RuntimeCompilerTest, CountsOfAWarpAddUpBeyondThirtyTwoBits) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  if (!ebm::cuda::runtime_compiler_available()) GTEST_SKIP() << "no libnvrtc";
  const auto context = std::make_shared<ebm::cuda::Context>(0, nullptr);
  const ebm::cuda::Context::Scope scope(*context);
  const ebm::cuda::RuntimeKernel kernel =
      ebm::cuda::runtime_kernel(*context,
                                "#include \"kernels/chains/chain_source.cuh\"\n"
                                "extern \"C\" __global__ void add(ebm::ChainCounts* total) {\n"
                                "  ebm::Counter own;\n"
                                "  own.restarts = 0xFFFFFFF0u + threadIdx.x % 16;\n"
                                "  own.reinitialized = threadIdx.x;\n"
                                "  own.accepted[ebm::kMoves - 1] = 0x80000000u;\n"
                                "  ebm::add_counts(own, total);\n"
                                "}\n",
                                "add");
  ebm::cuda::DeviceArray<ebm::ChainCounts> counts(context, 1);
  counts.fill_zero();
  ebm::ChainCounts* total = counts.data();
  void* arguments[] = {&total};
  context->check(cudaLaunchKernel(kernel.function, dim3(1), dim3(64), arguments, 0, context->stream()), "adding");
  ebm::ChainCounts found{};
  counts.download({&found, 1});
  EXPECT_EQ(found.restarts, 64 * 0xFFFFFFF0ull + 4 * 120);
  EXPECT_EQ(found.reinitialized, 64u * 63u / 2);
  EXPECT_EQ(found.accepted[ebm::kMoves - 1], 64 * 0x80000000ull);
  EXPECT_EQ(found.proposed[0], 0u);
}

}  // namespace
