// Tile width, what lives in shared memory and the grid are tuning: no choice may change a bit. Every policy runs the
// same chains, points and gradients; they reject any sum whose order depends on the block.
#include <gtest/gtest.h>

#include "host/cuda/batch_gradient.hpp"
#include "host/cuda/devices.hpp"
#include "host/cuda/network.hpp"
#include "host/cuda/transition.hpp"
#include "kernels/chains/chains.hpp"
#include "kernels/energy/evaluate.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

constexpr std::int64_t kChains = 45;  // one full wide tile and a part of one
constexpr ebm::TilePolicy kPolicies[] = {
    {32, true, true}, {32, false, true}, {8, true, true}, {8, false, true}, {8, false, false}};

struct Case {
  const char* name;
  ebm::MlpShape shape;
  bool mala;
  bool base;
};

std::vector<Case> cases() {
  using ebm::Activation;
  using ebm::Head;
  return {{"langevin", shape_of(2, {33, 17}), false, false},
          {"langevin, logits", shape_of(5, {16}, Activation::tanh, Head::logits, 0.3f), false, false},
          {"mala", shape_of(9, {20, 7, 12, 5}, Activation::gelu, Head::scalar, 0.5f), true, false},
          {"mala, logits", shape_of(3, {130}, Activation::softplus, Head::logits, 0.2f), true, false},
          {"mala, tempered", shape_of(6, {12, 12}, Activation::elu), true, true}};
}

class PolicyTest : public testing::Test {
 protected:
  void SetUp() override {
    if (ebm::cuda_device_count() == 0) GTEST_SKIP() << "no CUDA device";
    context_ = std::make_shared<ebm::Context>(0, nullptr);
  }

  std::vector<float> run(const Case& c, const ebm::TilePolicy& policy, int blocks) const {
    const ebm::Context::Scope scope(*context_);
    const ebm::Mlp model = random_network(c.shape, 3);
    const ebm::DeviceArray<float> parameters(context_, model.parameters());
    const ebm::Network network(context_, c.shape, parameters.data());
    const auto n = static_cast<std::size_t>(kChains);
    const ebm::Matrix start = random_points(n, static_cast<std::size_t>(c.shape.dim), 4);
    std::vector<std::uint64_t> ids(n), steps(n, 7);
    for (std::size_t i = 0; i < n; ++i) ids[i] = 100 + 3 * i;

    ebm::DeviceArray<float> x(context_, start.values());
    ebm::DeviceArray<std::uint64_t> device_ids(context_, std::span<const std::uint64_t>(ids));
    ebm::DeviceArray<std::uint64_t> device_steps(context_, std::span<const std::uint64_t>(steps));
    ebm::DeviceArray<ebm::ChainCounts> counts(context_, 1);
    counts.fill_zero();
    ebm::Transition transition;
    transition.step_size = 0.05f;
    transition.own[0] = 0.3f;
    transition.jump_prob = 0.2f;
    if (c.mala) transition.kind = ebm::SamplerKind::mala;
    const ebm::DeviceTransition step(context_, transition);
    ebm::StepView view = step.view();
    const auto dim = static_cast<std::size_t>(c.shape.dim);
    ebm::GaussianBase gaussian{std::vector<float>(dim, 0.25f), std::vector<float>(dim * dim, 0.0f)};
    for (std::size_t i = 0; i < dim; ++i) {
      for (std::size_t j = i; j < dim; ++j) gaussian.root[i * dim + j] = i == j ? 1.5f : 0.2f;
    }
    const ebm::DeviceBase base(context_, gaussian, c.shape.dim);
    if (c.base) {
      view.beta = 0.6f;
      base.apply(&view);
    }
    ebm::ChainsView chains{};
    chains.n = kChains;
    chains.x = x.data();
    chains.ids = device_ids.data();
    chains.steps = device_steps.data();
    chains.seed = 5;
    const ebm::OwnedPlan owned(network, {.proposal = c.mala, .base = c.base}, kChains, policy);
    ebm::TilePlan plan = owned.plan();
    plan.blocks = std::min(plan.blocks, blocks);
    context_->check(ebm::launch_chains(plan, network.view(), chains, view, 6, counts.data(), context_->stream()),
                    "chains");
    std::vector<float> result = x.to_host();

    ebm::DeviceArray<float> energy(context_, n), gradient(context_, n * dim);
    ebm::EvaluateView points{};
    points.n = kChains;
    points.x = x.data();
    points.energy = energy.data();
    points.gradient = gradient.data();
    context_->check(ebm::launch_evaluate(plan, network.view(), points, context_->stream()), "energies");
    for (const float v : energy.to_host()) result.push_back(v);
    for (const float v : gradient.to_host()) result.push_back(v);
    return result;
  }

  std::shared_ptr<const ebm::Context> context_;
};

TEST_F(PolicyTest, EveryPolicyGivesTheSameBits) {
  for (const Case& c : cases()) {
    const std::vector<float> expected = run(c, kPolicies[0], 1);
    for (const float v : expected) ASSERT_TRUE(std::isfinite(v)) << c.name;
    for (const ebm::TilePolicy& policy : kPolicies) {
      for (const int blocks : {2, 1000}) {
        EXPECT_EQ(run(c, policy, blocks), expected)
            << c.name << ", tile " << policy.tile << ", weights shared " << policy.weights_shared << ", state shared "
            << policy.state_shared << ", " << blocks << " blocks";
      }
    }
  }
}

// The limits of real devices: H100, A100, RTX 4090. Every shape has a policy that fits; shared memory is used when it
// can.
TEST(PolicyChoiceTest, FitsTheDevice) {
  constexpr ebm::DeviceLimits kDevices[] = {{132, 232448}, {108, 166912}, {128, 101376}};
  for (const int dim : {1, 2, 64, 784, 1024, 16384}) {
    for (const std::vector<int>& hidden : {std::vector<int>{1}, {128, 128}, {256, 256}, {512, 512, 512, 512}, {8192}}) {
      const ebm::NetworkView net = ebm::network_view(shape_of(dim, hidden));
      for (const bool mala : {false, true}) {
        const ebm::TileLayout layout = ebm::tile_layout(net, {.proposal = mala});
        for (const ebm::DeviceLimits& limits : kDevices) {
          for (const std::int64_t n : {1, 1000, 1000000}) {
            const ebm::TilePolicy policy = ebm::choose_policy(net, layout, limits, n);
            EXPECT_LE(ebm::shared_bytes(net, layout, policy), limits.shared_per_block);
            EXPECT_EQ(policy.state_shared, static_cast<std::size_t>(layout.rows) * 8 * 4 <= limits.shared_per_block);
          }
        }
      }
    }
  }
  // The headline shape keeps its weights in an H100's shared memory.
  const ebm::NetworkView net = ebm::network_view(shape_of(64, {128, 128}));
  const ebm::TilePolicy policy = ebm::choose_policy(net, ebm::tile_layout(net, {}), kDevices[0], 1000000);
  EXPECT_EQ(policy, (ebm::TilePolicy{32, true, true}));
}

// More rows than one pass holds: passes are nodes of the tree over chunks, whatever their size.
TEST_F(PolicyTest, GradientDoesNotDependOnThePassSize) {
  const ebm::Context::Scope scope(*context_);
  for (const ebm::Head head : kHeads) {
    const ebm::MlpShape shape = shape_of(3, {17, 9}, ebm::Activation::silu, head, 0.1f);
    const ebm::Mlp model = random_network(shape, 6);
    const ebm::DeviceArray<float> parameters(context_, model.parameters());
    const ebm::Network network(context_, shape, parameters.data());
    constexpr std::size_t kRows = 1210;
    const ebm::Matrix points = random_points(kRows, 3, 7), factors = random_points(kRows, 1, 8);
    const ebm::DeviceArray<float> x(context_, points.values()), weights(context_, factors.values());
    ebm::PassView view{};
    view.n = kRows;
    view.x = x.data();
    view.weights = weights.data();
    for (const std::int64_t parts : {1, 2}) {
      const std::int64_t rows = static_cast<std::int64_t>(kRows) / parts;
      ebm::BatchGradient whole(network, parts, rows);
      whole.run(network.view(), view, parts, context_->stream());
      const std::vector<float> expected = whole.gradient().to_host();
      for (const std::int64_t most_chunks : {1, 2, 3, 4}) {
        ebm::BatchGradient passes(network, parts, rows, most_chunks);
        passes.run(network.view(), view, parts, context_->stream());
        EXPECT_EQ(passes.gradient().to_host(), expected) << parts << " parts, " << most_chunks << " chunks a pass";
      }
    }
  }
}

}  // namespace
