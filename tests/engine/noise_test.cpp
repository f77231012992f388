// The numbers that chains are made of, read back through a chain whose energy is zero.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/math/normal.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

class NoiseTest : public EngineTest {
 protected:
  static constexpr std::uint64_t kSeed = 0x123456789abcdef0;
  // What the engines promise for every pair of words (kernels/math/normal.hpp; the CPU's vector formulas are closer).
  double normal_error() const {
    if (is_cpu()) return 1e-6;
    return static_cast<double>(GetParam().precision == ebm::Precision::fp16 ? ebm::kFastNormalError
                                                                            : ebm::kNormalError);
  }

  // E = 0, and a network that every precision has a kernel for.
  static ebm::Mlp zero(int dim) { return ebm::Mlp(shape_of(dim, {1, 1})); }

  // One step of x <- x + n from 0, for chains `ids` at steps `steps`: the normals themselves.
  std::vector<float> normals(const std::vector<std::uint64_t>& ids, const std::vector<std::uint64_t>& steps,
                             int dim) const {
    const auto function = engine()->load(zero(dim));
    const auto chains = function->chains(kSeed, ids, steps);
    std::vector<float> x(ids.size() * static_cast<std::size_t>(dim), 0.0f);
    chains->set_positions(x);
    ebm::Transition transition;
    transition.own[0] = 1.0f;
    chains->run(transition, 1);
    chains->positions(x);
    return x;
  }

  void expect_reference(const std::vector<std::uint64_t>& ids, const std::vector<std::uint64_t>& steps, int dim) const {
    ASSERT_TRUE(has_kernel_for(zero(dim)));
    const std::vector<float> got = normals(ids, steps, dim);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const ref::Vector expected = ref::normals(kSeed, ids[i], steps[i], dim);
      for (std::size_t d = 0; d < expected.size(); ++d) {
        ASSERT_NEAR(static_cast<double>(got[i * expected.size() + d]), expected[d], normal_error())
            << "chain " << ids[i] << " step " << steps[i] << " dimension " << d;
      }
    }
  }
};

TEST_P(NoiseTest, NormalsAreTheReferences) {
  for (const int dim : {1, 2, 3, 4, 5, 7, 64}) {
    std::vector<std::uint64_t> ids, steps;
    for (std::uint64_t i = 0; i < sized(3000u, 300u); ++i) {
      ids.push_back(i * 977);
      steps.push_back(i % 101);
    }
    expect_reference(ids, steps, dim);
  }
}

// Ids up to 2^56 and steps up to 2^48: every bit of both reaches the counter.
TEST_P(NoiseTest, ChainIdsAndStepsOfEveryMagnitude) {
  std::vector<std::uint64_t> ids, steps;
  for (int i = 0; i < 56; ++i) {
    for (int s = 0; s < 48; ++s) {
      ids.push_back((std::uint64_t{1} << i) - (i % 2 == 0 ? 0 : 1));
      steps.push_back((std::uint64_t{1} << s) - (s % 3 == 0 ? 1 : 0));
    }
  }
  ids.push_back((std::uint64_t{1} << 56) - 1);
  steps.push_back((std::uint64_t{1} << 48) - 1);
  expect_reference(ids, steps, 6);
}

// Among 4 million chains, those whose words are nearest the edges: u next to 0 (the longest normals), u next to 1
// (where 1 - u must keep its digits), angles next to every multiple of an eighth of the circle.
TEST_P(NoiseTest, ExtremeWords) {
  std::vector<std::pair<std::uint32_t, std::uint64_t>> low, high, angle;
  const auto keep = [](auto& list, std::uint32_t distance, std::uint64_t id) {
    if (list.size() == 32 && distance >= list.front().first) return;
    list.emplace_back(distance, id);
    std::push_heap(list.begin(), list.end());
    if (list.size() <= 32) return;
    std::pop_heap(list.begin(), list.end());
    list.pop_back();
  };
  for (std::uint64_t id = 0; id < 4000000; ++id) {
    const ref::Words w = ref::words(kSeed, ref::Purpose::langevin_noise, id, 9, 0);
    keep(low, w[0], id);
    keep(high, ~w[0], id);
    const std::uint32_t eighth = w[1] & 0x1fffffff;
    keep(angle, std::min(eighth, 0x20000000 - eighth), id);
  }
  std::vector<std::uint64_t> ids;
  for (const auto* list : {&low, &high, &angle}) {
    for (const auto& [distance, id] : *list) ids.push_back(id);
  }
  expect_reference(ids, std::vector<std::uint64_t>(ids.size(), 9), 2);
  EXPECT_LT(ref::uniform(ref::words(kSeed, ref::Purpose::langevin_noise, ids[0], 9, 0)[0]), 1e-4);
}

TEST_P(NoiseTest, UniformStartsAreTheReferences) {
  for (const int dim : {1, 3, 4, 9}) {
    const std::size_t n = sized(2000u, 300u);
    std::vector<std::uint64_t> ids, steps;
    for (std::uint64_t i = 0; i < n; ++i) {
      ids.push_back(i << (i % 40));
      steps.push_back(i << (i % 30));
    }
    const auto function = engine()->load(zero(dim));
    const auto chains = function->chains(kSeed, ids, steps);
    chains->start_uniform();
    std::vector<float> x(n * static_cast<std::size_t>(dim));
    chains->positions(x);
    for (std::size_t i = 0; i < n; ++i) {
      const ref::Vector expected = ref::uniform_start(kSeed, ids[i], steps[i], dim);
      for (std::size_t d = 0; d < expected.size(); ++d) {
        // 2u - 1 from a u rounded to single precision: 6e-8 of 1, three times.
        ASSERT_NEAR(static_cast<double>(x[i * expected.size() + d]), expected[d], 4e-7);
      }
    }
  }
}

// In a transition's start region, which is never left: lo + (hi - lo) u, to the rounding of u and the product.
TEST_P(NoiseTest, UniformStartsKeepToTheStartRegion) {
  const int dim = 5;
  ebm::Transition transition;
  transition.start_lo = {-1.0f, 0.1f, 2.0f, -8.0f, -0.5f};
  transition.start_hi = {1.0f, 0.3f, 2.0f, 8.0f, 40.0f};
  std::vector<std::uint64_t> ids(sized(1000u, 100u));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = 3 * i;
  const auto chains = engine()->load(zero(dim))->chains(kSeed, ids, std::vector<std::uint64_t>(ids.size(), 4));
  chains->start_uniform(transition);
  std::vector<float> x(ids.size() * static_cast<std::size_t>(dim));
  chains->positions(x);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const ref::Vector start = ref::uniform_start(kSeed, ids[i], 4, dim);
    for (std::size_t d = 0; d < start.size(); ++d) {
      const double lo = static_cast<double>(transition.start_lo[d]), hi = static_cast<double>(transition.start_hi[d]);
      const auto found = static_cast<double>(x[i * start.size() + d]);
      ASSERT_NEAR(found, lo + (hi - lo) * (start[d] / 6 + 0.5), 2e-7 * (hi - lo + std::abs(lo)));
      ASSERT_TRUE(found >= lo && found <= hi) << found;
    }
  }
}

EBM_INSTANTIATE_ENGINES(NoiseTest);

}  // namespace
