// What `precision` concerns, and what it does not: chains on networks that a half-precision kernel holds. All else is
// fp32, bit for bit. tests/engine relies on it and tests such cases in fp32 alone.
#include <gtest/gtest.h>
#include <stdlib.h>

#include "host/cuda/devices.hpp"
#include "host/engine/engine.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;
using ebm::Precision;

const ebm::MlpShape kHeld = shape_of(5, {33, 17}, ebm::Activation::silu, ebm::Head::scalar, 0.3f);
// Too many dimensions for a tensor-core kernel that is compiled ahead.
const ebm::MlpShape kNotHeld = shape_of(100, {16, 16}, ebm::Activation::silu, ebm::Head::scalar, 0.3f);

std::unique_ptr<ebm::Engine> engine(Precision precision) { return ebm::cuda::make_engine(0, precision, nullptr); }

class PrecisionTest : public testing::Test {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
    setenv("EBMCUDA_RUNTIME_COMPILER", "off", 1);  // kernels that were compiled ahead
  }

  static std::vector<float> evaluate(const ebm::EnergyFunction& function, const ebm::MlpShape& shape) {
    const std::size_t n = 40, dim = static_cast<std::size_t>(shape.dim);
    const ebm::Matrix x = random_points(n, dim, 2);
    std::vector<float> result(n + n * dim + n + shape.parameter_count());
    const std::span<float> all(result);
    function.evaluate(x.values(), all.first(n), all.subspan(n, n * dim));
    function.outputs(x.values(), all.subspan(n + n * dim, n));
    function.parameter_gradient(x.values(), std::vector<float>(n, 1.0f), all.subspan(2 * n + n * dim));
    return result;
  }

  static std::vector<float> run_chains(const ebm::EnergyFunction& function, const ebm::MlpShape& shape,
                                       std::optional<ebm::GaussianBase> base) {
    ebm::Transition transition;
    transition.kind = ebm::SamplerKind::mala;
    transition.step_size = 0.05f;
    const float beta = base ? 0.5f : 1.0f;
    const auto chains = function.chains(3, {1, 2, 3}, {0, 0, 0}, std::move(base));
    chains->start_uniform();
    chains->run(transition, 4, beta);
    std::vector<float> x(3 * static_cast<std::size_t>(shape.dim));
    chains->positions(x);
    return x;
  }
};

TEST_F(PrecisionTest, EvaluationIsFp32) {
  const ebm::Mlp model = random_network(kHeld, 1);
  const std::vector<float> expected = evaluate(*engine(Precision::fp32)->load(model), kHeld);
  for (const Precision precision : {Precision::fp16x3, Precision::fp16}) {
    const auto function = engine(precision)->load(model);
    EXPECT_TRUE(function->path().starts_with("tensor-core")) << function->path();
    EXPECT_EQ(evaluate(*function, kHeld), expected);
  }
}

TEST_F(PrecisionTest, AnnealedChainsAreFp32) {
  const ebm::Mlp model = random_network(kHeld, 1);
  const std::size_t dim = static_cast<std::size_t>(kHeld.dim);
  ebm::GaussianBase base{std::vector<float>(dim, 0.1f), std::vector<float>(dim * dim, 0.0f)};
  for (std::size_t d = 0; d < dim; ++d) base.root[d * dim + d] = 1.2f;
  const std::vector<float> expected = run_chains(*engine(Precision::fp32)->load(model), kHeld, base);
  for (const Precision precision : {Precision::fp16x3, Precision::fp16}) {
    EXPECT_EQ(run_chains(*engine(precision)->load(model), kHeld, base), expected);
  }
}

TEST_F(PrecisionTest, ANetworkWithoutAKernelRunsInFp32AndSaysSo) {
  const ebm::Mlp model = random_network(kNotHeld, 1);
  const std::vector<float> expected = run_chains(*engine(Precision::fp32)->load(model), kNotHeld, {});
  for (const Precision precision : {Precision::fp16x3, Precision::fp16}) {
    const auto function = engine(precision)->load(model);
    EXPECT_NE(function->path().find("fp32"), std::string::npos) << function->path();
    EXPECT_EQ(run_chains(*function, kNotHeld, {}), expected);
  }
}

// The counterpart: on a network that they hold, the kernels really are others.
TEST_F(PrecisionTest, ChainsDifferBetweenPrecisions) {
  const ebm::Mlp model = random_network(kHeld, 1);
  const auto run = [&](Precision precision) { return run_chains(*engine(precision)->load(model), kHeld, {}); };
  EXPECT_NE(run(Precision::fp16), run(Precision::fp32));
  EXPECT_NE(run(Precision::fp16x3), run(Precision::fp32));
  EXPECT_NE(run(Precision::fp16x3), run(Precision::fp16));
}

}  // namespace
