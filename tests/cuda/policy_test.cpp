// Tile width, what lives in shared memory and the grid are tuning: no choice may change a bit. Every policy runs the
// same chains, points and gradients; they reject any sum whose order depends on the block.
#include <gtest/gtest.h>

#include <utility>

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
constexpr ebm::TilePolicy kPolicies[] = {{32, true, true}, {32, false, true}, {8, true, true},
                                         {8, false, true}, {8, false, false}, {2, true, true}};

struct Case {
  const char* name;
  ebm::MlpShape shape;
  ebm::SamplerKind kind;
  bool base = false;
  bool tempered = false;  // with inverse temperatures: 1, 1/2 and 1/3 in turn, or
  float beta = 0.0f;      // this one for all
  float scale = 1.0f;     // of E
  float step_size = 0.05f;
};

std::vector<Case> cases() {
  using ebm::Activation;
  using ebm::Head;
  using ebm::SamplerKind;
  return {
      {"langevin", shape_of(2, {33, 17}), SamplerKind::langevin},
      {"langevin, logits", shape_of(5, {16}, Activation::tanh, Head::logits, 0.3f), SamplerKind::langevin},
      {"mala", shape_of(9, {20, 7, 12, 5}, Activation::gelu, Head::scalar, 0.5f), SamplerKind::mala},
      {"mala, logits", shape_of(3, {130}, Activation::softplus, Head::logits, 0.2f), SamplerKind::mala},
      {"mala, annealed", shape_of(6, {12, 12}, Activation::elu), SamplerKind::mala, true},
      {"hmc", shape_of(34, {24}, Activation::silu, Head::scalar, 0.5f), SamplerKind::hmc},
      {"malt, tempered", shape_of(7, {18, 9}, Activation::tanh, Head::scalar, 0.5f), SamplerKind::malt, false, true},
      // Layers whose weights tiles of 2 chains hold in registers, and networks that those were compiled for.
      {"held, logits", shape_of(64, {128}, Activation::silu, Head::logits, 0.3f), SamplerKind::langevin},
      {"held, three layers", shape_of(5, {64, 128, 64}, Activation::silu), SamplerKind::mala},
      {"128-128", shape_of(35, {128, 128}, Activation::silu, Head::scalar, 0.2f), SamplerKind::langevin},
      {"128-128, annealed", shape_of(2, {128, 128}, Activation::softplus), SamplerKind::mala, true},
      {"64-64", shape_of(64, {64, 64}, Activation::gelu, Head::scalar, 0.2f), SamplerKind::mala},
      {"64-64, tempered", shape_of(3, {64, 64}, Activation::silu), SamplerKind::hmc, false, true}};
}

// What a chain needs that keeps E and its gradient.
struct Kept {
  Kept(const std::shared_ptr<const ebm::cuda::Context>& context, std::size_t n, std::size_t values)
      : energy(context, n), base_energy(context, n), gradient(context, values), base_gradient(context, values) {}
  void apply(ebm::ChainsView* view) {
    view->energy = energy.data();
    view->base_energy = base_energy.data();
    view->gradient = gradient.data();
    view->base_gradient = base_gradient.data();
  }
  ebm::cuda::DeviceArray<float> energy, base_energy, gradient, base_gradient;
};

class PolicyTest : public testing::Test {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
    context_ = std::make_shared<ebm::cuda::Context>(0, nullptr);
  }

  // Positions after 6 transitions, in pieces of `piece`, then E and its gradient there. Chains that keep these are
  // asked for what they kept; that and what an evaluation gives must be the same.
  std::vector<float> run(const Case& c, const ebm::TilePolicy& policy, int blocks, bool keeps, int piece = 6) const {
    const ebm::cuda::Context::Scope scope(*context_);
    ebm::MlpShape shape = c.shape;
    shape.confinement *= c.scale;
    ebm::Mlp model = random_network(shape, 3);
    for (float& w : model.weight(shape.layers() - 1)) w *= c.scale;
    for (float& b : model.bias(shape.layers() - 1)) b *= c.scale;
    const ebm::cuda::DeviceArray<float> parameters(context_, std::as_const(model).parameters());
    const ebm::cuda::Network network(context_, shape, parameters.data());
    const auto n = static_cast<std::size_t>(kChains);
    const ebm::Matrix start = random_points(n, static_cast<std::size_t>(c.shape.dim), 4);
    std::vector<std::uint64_t> ids(n), steps(n, 7);
    for (std::size_t i = 0; i < n; ++i) ids[i] = 100 + 3 * i;

    ebm::cuda::DeviceArray<float> x(context_, start.values());
    ebm::cuda::DeviceArray<std::uint64_t> device_ids(context_, std::span<const std::uint64_t>(ids));
    ebm::cuda::DeviceArray<std::uint64_t> device_steps(context_, std::span<const std::uint64_t>(steps));
    ebm::cuda::DeviceArray<ebm::ChainCounts> counts(context_, 1);
    counts.fill_zero();
    ebm::Transition transition;
    transition.kind = c.kind;
    transition.step_size = c.step_size;
    transition.jump_prob = 0.2f;
    if (c.base || c.tempered) transition.grad_clip = 0.5f;
    if (c.kind == ebm::SamplerKind::langevin) transition.own[ebm::LangevinTraits::kNoiseScale] = 0.3f;
    if (c.kind == ebm::SamplerKind::hmc) transition.own = {3.0f, 0.2f};
    if (c.kind == ebm::SamplerKind::malt) transition.own = {3.0f, 1.0f};
    if (ebm::rows_of(c.kind) > 4) transition.evaluations = 3;
    const ebm::cuda::DeviceTransition step(context_, transition);
    ebm::StepView view = step.view();
    const auto dim = static_cast<std::size_t>(c.shape.dim);
    ebm::GaussianBase gaussian{std::vector<float>(dim, 0.25f), std::vector<float>(dim * dim, 0.0f)};
    for (std::size_t i = 0; i < dim; ++i) {
      for (std::size_t j = i; j < dim; ++j) gaussian.root[i * dim + j] = i == j ? 1.5f : 0.2f;
    }
    const ebm::cuda::DeviceBase base(context_, gaussian, c.shape.dim);
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
    std::vector<float> temperatures(n);
    for (std::size_t i = 0; i < n; ++i) temperatures[i] = c.beta > 0 ? c.beta : 1.0f / static_cast<float>(1 + i % 3);
    const ebm::cuda::DeviceArray<float> beta(context_, std::span<const float>(temperatures));
    if (c.tempered) chains.beta = beta.data();
    Kept kept(context_, n, n * dim);
    if (keeps) kept.apply(&chains);
    const ebm::cuda::OwnedPlan owned(network, {.rows = ebm::rows_of(c.kind), .base = c.base, .keeps = keeps}, kChains,
                                     policy);
    ebm::TilePlan plan = owned.plan();
    plan.blocks = std::min(plan.blocks, blocks);
    for (int done = 0; done < 6; done += piece) {
      context_->check(ebm::launch_chains(plan, network.view(), chains, view, piece, counts.data(), context_->stream()),
                      "chains");
      chains.known = keeps;
    }
    std::vector<float> result = x.to_host();

    ebm::cuda::DeviceArray<float> energy(context_, n), gradient(context_, n * dim);
    ebm::EvaluateView points{};
    points.n = kChains;
    points.x = x.data();
    points.energy = energy.data();
    points.gradient = gradient.data();
    context_->check(ebm::launch_evaluate(plan, network.view(), points, context_->stream()), "energies");
    const std::vector<float> energies = energy.to_host(), gradients = gradient.to_host();
    // Without a gradient there is no backward pass, and E has the same bits.
    points.gradient = nullptr;
    energy.fill_zero();
    context_->check(ebm::launch_evaluate(plan, network.view(), points, context_->stream()), "energies alone");
    EXPECT_EQ(energy.to_host(), energies) << c.name;
    if (keeps) {
      EXPECT_EQ(kept.energy.to_host(), energies) << c.name;
      EXPECT_EQ(kept.gradient.to_host(), gradients) << c.name;
    }
    result.insert(result.end(), energies.begin(), energies.end());
    result.insert(result.end(), gradients.begin(), gradients.end());
    for (const std::uint64_t s : device_steps.to_host()) {
      EXPECT_EQ(s, 7u + 6u * static_cast<std::uint64_t>(transition.evaluations));
    }
    return result;
  }

  std::shared_ptr<const ebm::cuda::Context> context_;
};

TEST_F(PolicyTest, EveryPolicyGivesTheSameBits) {
  for (const Case& c : cases()) {
    const std::vector<float> expected = run(c, kPolicies[0], 1, false);
    for (const float v : expected) ASSERT_TRUE(std::isfinite(v)) << c.name;
    for (const ebm::TilePolicy& policy : kPolicies) {
      for (const int blocks : {2, 1000}) {
        EXPECT_EQ(run(c, policy, blocks, false), expected)
            << c.name << ", tile " << policy.tile << ", weights shared " << policy.weights_shared << ", state shared "
            << policy.state_shared << ", " << blocks << " blocks";
      }
    }
  }
}

// What chains keep from launch to launch is what they would find anew: rejects energies and gradients that are kept
// clipped, mixed with the base's or of a refused proposal.
TEST_F(PolicyTest, ChainsThatKeepTheirEnergiesGiveTheSameBits) {
  for (const Case& c : cases()) {
    if (!ebm::is_metropolis(c.kind)) continue;
    const std::vector<float> expected = run(c, kPolicies[0], 2, false);
    for (const ebm::TilePolicy& policy : kPolicies) {
      for (const int piece : {1, 3, 6}) {
        EXPECT_EQ(run(c, policy, 2, true, piece), expected) << c.name << ", tile " << policy.tile << ", " << piece;
      }
    }
  }
}

// A chain at inverse temperature beta samples exp(-beta E), and its local steps are those of the sampler on the energy
// beta E with the step that body.hpp's temperature() gives. With beta = 1/4 every factor is a power of two, so the bits
// agree: rejects a temperature in the wrong place, and a clip of E's gradient where that of beta E belongs.
TEST_F(PolicyTest, AnInverseTemperatureScalesTheEnergy) {
  const ebm::MlpShape shape = shape_of(6, {20, 11}, ebm::Activation::silu, ebm::Head::scalar, 0.5f);
  for (const auto& [kind, factor] : {std::pair{ebm::SamplerKind::mala, 4.0f}, {ebm::SamplerKind::hmc, 2.0f}}) {
    Case tempered{"tempered", shape, kind, false, true, 0.25f};
    Case scaled{"scaled", shape, kind, false, true, 1.0f, 0.25f, factor * tempered.step_size};
    std::vector<float> found = run(tempered, kPolicies[0], 2, true, 3), expected = run(scaled, kPolicies[0], 2, false);
    const std::size_t positions = static_cast<std::size_t>(kChains) * 6;
    found.resize(positions);
    expected.resize(positions);
    EXPECT_EQ(found, expected) << static_cast<int>(kind);
    Case cold = tempered;
    cold.beta = 1.0f;
    std::vector<float> other = run(cold, kPolicies[0], 2, true);
    other.resize(positions);
    EXPECT_NE(found, other);
  }
}

// The limits of real devices: H100, A100, RTX 4090. Every shape has a policy that fits; shared memory is used when it
// can.
TEST(PolicyChoiceTest, FitsTheDevice) {
  constexpr ebm::DeviceLimits kDevices[] = {{132, 232448}, {108, 166912}, {128, 101376}};
  for (const int dim : {1, 2, 64, 784, 1024, 16384}) {
    for (const std::vector<int>& hidden : {std::vector<int>{1}, {128, 128}, {256, 256}, {512, 512, 512, 512}, {8192}}) {
      const ebm::NetworkView net = ebm::cuda::network_view(shape_of(dim, hidden));
      for (const int rows : {2, 4, 5}) {
        const ebm::TileLayout layout = ebm::cuda::tile_layout(net, {.rows = rows});
        for (const ebm::DeviceLimits& limits : kDevices) {
          for (const std::int64_t n : {1, 1000, 1000000}) {
            const ebm::TilePolicy policy = ebm::cuda::choose_policy(net, layout, limits, n);
            EXPECT_LE(ebm::cuda::shared_bytes(net, layout, policy), limits.shared_per_block);
            const bool fits = static_cast<std::size_t>(layout.rows) * 8 * 4 <= limits.shared_per_block;
            EXPECT_EQ(policy.state_shared, fits || policy.tile == 2);
          }
        }
      }
    }
  }
  // The headline shape keeps its weights in an H100's shared memory.
  const ebm::NetworkView net = ebm::cuda::network_view(shape_of(64, {128, 128}));
  const ebm::TilePolicy policy = ebm::cuda::choose_policy(net, ebm::cuda::tile_layout(net, {}), kDevices[0], 1000000);
  EXPECT_EQ(policy, (ebm::TilePolicy{32, true, true}));
}

// A training batch of 256 chains goes to all multiprocessors, two chains each, where the weights fit beside them.
TEST(PolicyChoiceTest, SpreadsFewChains) {
  const ebm::NetworkView net = ebm::cuda::network_view(shape_of(64, {128, 128}));
  const ebm::TileLayout layout = ebm::cuda::tile_layout(net, {.rows = ebm::rows_of(ebm::SamplerKind::mala)});
  const ebm::DeviceLimits h100{132, 232448}, a100{108, 166912}, rtx4090{128, 101376};
  EXPECT_EQ(ebm::cuda::choose_policy(net, layout, h100, 256), (ebm::TilePolicy{2, true, true}));
  EXPECT_EQ(ebm::cuda::choose_policy(net, layout, a100, 256), (ebm::TilePolicy{2, true, true}));
  EXPECT_EQ(ebm::cuda::choose_policy(net, layout, rtx4090, 256), (ebm::TilePolicy{8, false, true}));
  EXPECT_EQ(ebm::cuda::choose_policy(net, layout, h100, 4224), (ebm::TilePolicy{32, true, true}));
}

// More rows than one pass holds: passes are nodes of the tree over chunks, whatever their size.
TEST_F(PolicyTest, GradientDoesNotDependOnThePassSize) {
  const ebm::cuda::Context::Scope scope(*context_);
  for (const ebm::Head head : kHeads) {
    const ebm::MlpShape shape = shape_of(3, {17, 9}, ebm::Activation::silu, head, 0.1f);
    const ebm::Mlp model = random_network(shape, 6);
    const ebm::cuda::DeviceArray<float> parameters(context_, model.parameters());
    const ebm::cuda::Network network(context_, shape, parameters.data());
    constexpr std::size_t kRows = 1210;
    const ebm::Matrix points = random_points(kRows, 3, 7), factors = random_points(kRows, 1, 8);
    const ebm::cuda::DeviceArray<float> x(context_, points.values()), weights(context_, factors.values());
    ebm::PassView view{};
    view.n = kRows;
    view.x = x.data();
    view.weights = weights.data();
    for (const std::int64_t parts : {1, 2}) {
      const std::int64_t rows = static_cast<std::int64_t>(kRows) / parts;
      ebm::cuda::BatchGradient whole(network, parts, rows);
      whole.run(network.view(), view, parts, context_->stream());
      const std::vector<float> expected = whole.gradient().to_host();
      for (const std::int64_t most_chunks : {1, 2, 3, 4}) {
        ebm::cuda::BatchGradient passes(network, parts, rows, most_chunks);
        passes.run(network.view(), view, parts, context_->stream());
        EXPECT_EQ(passes.gradient().to_host(), expected) << parts << " parts, " << most_chunks << " chunks a pass";
      }
    }
  }
}

}  // namespace
