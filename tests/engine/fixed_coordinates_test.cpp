// Chains with fixed coordinates: against the reference, and what they promise about bits and messages.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "ebmcuda/chains.hpp"
#include "ebmcuda/error.hpp"
#include "host/sampling/transition.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

constexpr float kFree = std::numeric_limits<float>::quiet_NaN();

// Values inside +-0.8 in a changing set of columns: none in the first row, all in the second.
ebm::Matrix fixed_rows(std::size_t rows, std::size_t dim) {
  ebm::Matrix fixed(rows, dim);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t d = 0; d < dim; ++d) {
      const bool stays = i == 1 || (i > 1 && (i * 7 + d * d * 3 + d) % 5 < 2);
      fixed(i, d) = stays ? 0.8f * std::sin(static_cast<float>(3 * i + 7 * d + 1)) : kFree;
    }
  }
  return fixed;
}

class FixedCoordinatesTest : public EngineTest {
 protected:
  bool half() const { return GetParam().precision == ebm::Precision::fp16; }

  // Every sampler, with jumps, limits and without.
  static std::vector<ebm::Sampler> samplers(float h) {
    std::vector<ebm::Sampler> all = exact_samplers(h, 0.2f, {}, {});
    for (const ebm::Sampler& limited : exact_samplers(h, 0.2f, 0.5f, ebm::Box{{-2.0f}, {1.5f}})) all.push_back(limited);
    ebm::LangevinDynamics langevin;
    langevin.step_size = h;
    all.emplace_back(langevin);
    langevin.grad_clip = 0.4f;
    langevin.clamp = ebm::Box{{-0.9f}, {1.1f}};
    all.emplace_back(langevin);
    return all;
  }

  static ebm::SampleOptions request(std::size_t dim, std::size_t n, std::int64_t steps) {
    ebm::SampleOptions options;
    options.n_steps = steps;
    options.seed = 11;
    options.first_chain = 900;
    options.first_step = 30;
    options.fixed = fixed_rows(n, dim);
    return options;
  }
};

// Every sampler, shapes of one to several blocks of dimensions. Rejects noise, momentum, gradient or a jump that
// reaches a fixed coordinate, a ratio that counts one, a jump refused because of where one is, a mask of another chain.
TEST_P(FixedCoordinatesTest, FollowsTheReference) {
  for (const int dim : {1, 2, 5, 34, 70}) {
    const ebm::Mlp model = random_network(shape_of(dim, {17, 12}, ebm::Activation::silu, ebm::Head::scalar, 0.5f), 3);
    const std::size_t n = 9, width = static_cast<std::size_t>(dim);
    for (const ebm::Sampler& sampler : samplers(0.05f)) {
      SCOPED_TRACE(testing::Message() << ebm::describe(sampler) << " D " << dim);
      ebm::SampleOptions options = request(width, n, 12);
      // Coordinates in no box that jumps go to stand in nobody's way.
      const bool boxed = ebm::resolve(sampler, model).clamp_lo.size() > 0;
      if (!boxed) (*options.fixed)(1, 0) = 3.5f;
      const ebm::SampleResult result = ebm::sample(model, sampler, options, device());
      EXPECT_EQ(result.stats.restarts, 0u);
      const ref::Target target{to_reference(model), 1, {}, {}};
      const ref::Kernel kernel = to_reference(ebm::resolve(sampler, model));
      std::size_t undecided = 0;
      for (std::size_t i = 0; i < n; ++i) {
        ref::Chain chain{options.first_chain + i, options.first_step,
                         ref::uniform_start(kernel, options.seed, options.first_chain + i, options.first_step, dim)};
        for (std::size_t d = 0; d < width; ++d) {
          const float value = (*options.fixed)(i, d);
          chain.fixed.push_back(!std::isnan(value));
          if (chain.fixed.back()) chain.x[d] = static_cast<double>(value);
        }
        ref::Counts counts;
        ref::run(target, kernel, options.seed, 12, &chain, &counts);
        if (chain.decision_margin < (half() ? 3e-3 : 2e-4)) {
          ++undecided;
          continue;
        }
        for (std::size_t d = 0; d < width; ++d) {
          EXPECT_NEAR(static_cast<double>(result.x(i, d)), chain.x[d], half() ? 5e-3 : 1e-4)
              << "chain " << i << " dimension " << d;
        }
      }
      EXPECT_LE(undecided, half() ? 5u : 2u);
    }
  }
}

// Tempering: all replicas hold them.
TEST_P(FixedCoordinatesTest, TemperedChainsFollowTheReference) {
  const ebm::Mlp model = random_network(shape_of(5, {16, 12}, ebm::Activation::silu, ebm::Head::scalar, 1.0f), 5);
  for (const ebm::Sampler& sampler : exact_samplers(0.1f, 0.2f, 0.8f, {})) {
    SCOPED_TRACE(ebm::describe(sampler));
    ebm::SampleOptions options = request(5, 12, 8);
    options.first_step = 0;
    options.tempering.emplace();
    options.tempering->inverse_temperatures = std::vector<float>{1.0f, 0.5f, 0.2f};
    options.tempering->replicas = 3;
    const ebm::SampleResult result = ebm::sample(model, sampler, options, device());
    const ref::Target target{to_reference(model), 1, {}, {}};
    const ref::Kernel kernel = to_reference(ebm::resolve(sampler, model));
    std::size_t undecided = 0;
    for (std::size_t i = 0; i < 12; ++i) {
      std::vector<ref::Chain> replicas(3);
      const std::uint64_t id = options.first_chain + i;
      for (std::size_t r = 0; r < 3; ++r) {
        replicas[r].x = ref::uniform_start(options.seed, id + (std::uint64_t{r} << 46), 0, 5);
        for (std::size_t d = 0; d < 5; ++d) {
          const float value = (*options.fixed)(i, d);
          replicas[r].fixed.push_back(!std::isnan(value));
          if (replicas[r].fixed.back()) replicas[r].x[d] = static_cast<double>(value);
        }
      }
      replicas[0].id = id;
      double margin = 1;
      std::vector<ref::Counts> swaps;
      ref::run_tempered(target, kernel, options.seed, {1, 0.5, static_cast<double>(0.2f)}, 1, 8, &replicas, &swaps,
                        &margin);
      for (const ref::Chain& chain : replicas) margin = std::min(margin, chain.decision_margin);
      if (margin < (half() ? 3e-3 : 2e-4)) {
        ++undecided;
        continue;
      }
      for (std::size_t d = 0; d < 5; ++d) {
        EXPECT_NEAR(static_cast<double>(result.x(i, d)), replicas[0].x[d], half() ? 5e-3 : 2e-4) << i << " " << d;
      }
    }
    EXPECT_LE(undecided, half() ? 8u : 3u);
  }
}

// Values come out as they went in, in every transform that keeps columns apart, and for the first columns in the
// others.
TEST_P(FixedCoordinatesTest, ValuesStayBitForBit) {
  const ebm::Matrix data = random_points(400, 5, 12, 3.0f);
  for (const auto kind : {ebm::TransformKind::none, ebm::TransformKind::standardize, ebm::TransformKind::marginals,
                          ebm::TransformKind::whiten, ebm::TransformKind::marginals_whiten}) {
    SCOPED_TRACE(ebm::to_string(kind));
    ebm::Mlp model = random_network(shape_of(5, {12}, ebm::Activation::silu, ebm::Head::scalar, 1.0f), 4);
    model.set_transform(ebm::Transform::fit(kind, data));
    ebm::SampleOptions options;
    options.n_steps = 20;
    options.thin = 5;
    options.fixed = fixed_rows(40, 5);
    if (!model.transform().separable()) {
      for (std::size_t i = 0; i < 40; ++i) {
        for (std::size_t d = 0; d < 5; ++d)
          (*options.fixed)(i, d) = d < i % 6 ? 0.3f * static_cast<float>(d + i) : kFree;
      }
    }
    (*options.fixed)(1, 0) = -0.0f;
    const auto expect_fixed = [&](const ebm::Matrix& x, bool ran = true) {
      std::size_t moved = 0, free = 0;
      for (std::size_t i = 0; i < 40; ++i) {
        for (std::size_t d = 0; d < 5; ++d) {
          const float value = (*options.fixed)(i, d);
          ASSERT_TRUE(std::isfinite(x(i, d)));
          if (std::isnan(value)) {
            ++free;
            moved += x(i, d) != x((i + 6) % 40, d);
          } else {
            ASSERT_EQ(std::bit_cast<std::uint32_t>(x(i, d)), std::bit_cast<std::uint32_t>(value)) << i << " " << d;
          }
        }
      }
      if (ran) {
        EXPECT_GT(moved, free * 9 / 10);
      }
    };
    for (const ebm::Sampler& sampler : {ebm::Sampler(ebm::Mala{}), ebm::Sampler(ebm::LangevinDynamics{})}) {
      const ebm::SampleResult result = ebm::sample(model, sampler, options, device());
      expect_fixed(result.x);
      for (const ebm::Matrix& kept : result.trajectory) expect_fixed(kept);
    }
    // Through a start that says something else, and one that is set later.
    ebm::ChainsOptions later;
    later.fixed = options.fixed;
    later.init = ebm::Matrix(40, 5);
    ebm::Chains chains(ebm::Energy(model, device()), ebm::Mala{}, later);
    expect_fixed(chains.positions(), false);
    const ebm::Matrix elsewhere(40, 5);
    chains.set_positions(elsewhere);
    chains.run(3);
    chains.start_uniform();
    expect_fixed(chains.positions());
  }
}

// With nothing fixed a chain has the bits of one without; no other chain, thread or piece changes any.
TEST_P(FixedCoordinatesTest, SameBits) {
  const ebm::Mlp model = random_network(shape_of(34, {20, 9}, ebm::Activation::silu, ebm::Head::scalar, 0.5f), 8);
  const std::size_t n = sized(std::size_t{150}, std::size_t{80});
  for (const ebm::Sampler& sampler : samplers(0.05f)) {
    SCOPED_TRACE(ebm::describe(sampler));
    ebm::SampleOptions options = request(34, n, 6);
    const ebm::Matrix all = ebm::sample(model, sampler, options, device()).x;
    EXPECT_EQ(ebm::sample(model, sampler, options, with_threads(1)).x, all);
    options.thin = 1;  // runs in pieces
    EXPECT_EQ(ebm::sample(model, sampler, options, device()).x, all);
    options.thin = 0;
    for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, 1}, {3, 1}, {5, 2}, {7, 40}}) {
      ebm::SampleOptions part = options;
      part.first_chain += first;
      const ebm::MatrixView rows = options.fixed->view().slice(first, first + count);
      part.fixed = ebm::Matrix(count, 34, {rows.values().begin(), rows.values().end()});
      const ebm::Matrix x = ebm::sample(model, sampler, part, device()).x;
      const ebm::MatrixView same = all.view().slice(first, first + count);
      EXPECT_TRUE(std::ranges::equal(x.values(), same.values())) << first << " " << count;
    }
    options.fixed = ebm::Matrix(n, 34, std::vector<float>(n * 34, kFree));
    const ebm::Matrix none = ebm::sample(model, sampler, options, device()).x;
    options.fixed.reset();
    options.n_chains = static_cast<std::int64_t>(n);
    const bool fp32 = GetParam().precision == ebm::Precision::fp32;  // half's kernels need the run-time compiler
    if (fp32) {
      EXPECT_EQ(ebm::sample(model, sampler, options, device()).x, none);
    }
  }
}

TEST_P(FixedCoordinatesTest, WrongRequestsAreNamed) {
  ebm::Mlp model = random_network(shape_of(3, {8}), 5);
  const auto refused = [&](auto change) -> std::string {
    ebm::SampleOptions options;
    options.n_steps = 1;
    options.fixed = ebm::Matrix(4, 3, std::vector<float>(12, kFree));
    ebm::Sampler sampler = ebm::Mala{};
    change(options, sampler);
    try {
      static_cast<void>(ebm::sample(model, sampler, options, device()));
    } catch (const ebm::ConfigError& error) {
      return error.field();
    }
    return "(accepted)";
  };
  using Request = ebm::SampleOptions;
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(refused([](Request&, auto&) {}), "(accepted)");
  EXPECT_EQ(refused([](Request& r, auto&) { r.fixed = ebm::Matrix(4, 2); }), "fixed");
  EXPECT_EQ(refused([](Request& r, auto&) { r.fixed = ebm::Matrix(0, 3); }), "fixed");
  EXPECT_EQ(refused([&](Request& r, auto&) { (*r.fixed)(2, 1) = infinity; }), "fixed");
  EXPECT_EQ(refused([](Request& r, auto&) { r.init = ebm::Matrix(5, 3); }), "fixed");
  EXPECT_EQ(refused([](Request& r, auto&) { r.init = ebm::Matrix(4, 3); }), "(accepted)");
  EXPECT_EQ(refused([](Request& r, ebm::Sampler& s) {
              (*r.fixed)(2, 1) = 2;
              s = ebm::Mala{.grad_clip = {}, .clamp = ebm::Box{{-1.0f}, {1.0f}}};
            }),
            "fixed");
  const ebm::Matrix data = random_points(100, 3, 1);
  ebm::TransformOptions bounded;
  bounded.lower = {-20.0f};
  model.set_transform(ebm::Transform::fit(ebm::TransformKind::marginals, data, bounded));
  EXPECT_EQ(refused([](Request& r, auto&) { (*r.fixed)(0, 1) = -30; }), "fixed");
  model.set_transform(ebm::Transform::fit(ebm::TransformKind::whiten, data));
  EXPECT_EQ(refused([](Request& r, auto&) { (*r.fixed)(0, 0) = 1; }), "(accepted)");
  ebm::ChainsOptions options;
  options.fixed = ebm::Matrix(1, 3, {kFree, 1.0f, kFree});
  EXPECT_THROW(ebm::Chains(ebm::Energy(model, device()), ebm::Mala{}, options), ebm::ConfigError);
}

EBM_INSTANTIATE_ENGINES(FixedCoordinatesTest);

}  // namespace
