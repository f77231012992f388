// The keyed bijection that draws replay slots and orders data.
#include "kernels/math/permutation.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "reference/random.hpp"
#include "support/statistics.hpp"

namespace {

using ebm::Permutation;
using ebm::Purpose;

bool is_bijection(const Permutation& permutation, std::uint64_t n) {
  std::vector<char> seen(n, 0);
  for (std::uint64_t i = 0; i < n; ++i) {
    const std::uint64_t j = permutation(i);
    if (j >= n || seen[j] != 0) return false;
    seen[j] = 1;
  }
  return true;
}

// Every small n, and sizes on both sides of each power of two.
TEST(Permutation, IsABijection) {
  for (std::uint64_t n = 1; n <= 300; ++n) {
    EXPECT_TRUE(is_bijection(Permutation::make(1, Purpose::replay_slot, n, n), n)) << n;
  }
  for (const std::uint64_t power : {512u, 1024u, 4096u, 65536u, 262144u}) {
    for (const std::uint64_t n : {power - 1, power, power + 1}) {
      EXPECT_TRUE(is_bijection(Permutation::make(2, Purpose::data_order, 0, n), n)) << n;
    }
  }
}

RC_GTEST_PROP(Permutation, IsABijectionForAnyKey, (std::uint64_t seed, std::uint32_t index)) {
  const auto n = *rc::gen::inRange<std::uint64_t>(1, 20000);
  RC_ASSERT(is_bijection(Permutation::make(seed, Purpose::replay_slot, index, n), n));
}

TEST(Permutation, AgreesWithTheReferenceOnLargeDomains) {
  for (const std::uint64_t n : {std::uint64_t{10000}, std::uint64_t{1} << 31, (std::uint64_t{1} << 40) + 7}) {
    const auto permutation = Permutation::make(77, Purpose::replay_slot, 5, n);
    for (std::uint64_t i = 0; i < 2000; ++i) {
      ASSERT_EQ(permutation(i * (n / 2000)), ref::permute(77, ref::Purpose::replay_slot, 5, n, i * (n / 2000)));
    }
  }
}

// Over iterations every slot is drawn equally often: 256 of 10,000 slots, 10,000 iterations, chi^2 over the slots. A
// draw without replacement has a smaller variance than Pearson's statistic assumes by the factor 1 - 256/10000; divide
// by it.
TEST(Permutation, DrawsEverySlotEquallyOften) {
  const std::uint64_t capacity = 10000, batch = 256;
  std::vector<double> counts(capacity, 0);
  for (std::uint64_t iteration = 0; iteration < 10000; ++iteration) {
    const auto slot = Permutation::make(3, Purpose::replay_slot, iteration, capacity);
    for (std::uint64_t i = 0; i < batch; ++i) ++counts[slot(i)];
  }
  const double expected = 256.0 * 10000 / 10000;
  double statistic = 0;
  for (const double c : counts) statistic += (c - expected) * (c - expected) / expected;
  statistic /= 1 - 256.0 / 10000;
  const double upper = support::chi_squared_upper(statistic, 9999);
  EXPECT_GT(upper, support::kAlpha);      // not too uneven
  EXPECT_GT(1 - upper, support::kAlpha);  // nor too even, as a counter would be
}

// All 24 orders of 4 elements, and the image of one position with that of its neighbour: rejects a bijection that is
// only a rotation or an affine map.
TEST(Permutation, AllOrdersOfFourAreEquallyLikely) {
  std::map<std::array<std::uint64_t, 4>, double> orders;
  for (std::uint64_t key = 0; key < 240000; ++key) {
    const auto p = Permutation::make(4, Purpose::data_order, key, 4);
    ++orders[{p(0), p(1), p(2), p(3)}];
  }
  ASSERT_EQ(orders.size(), 24u);
  std::vector<double> counts;
  for (const auto& [order, count] : orders) counts.push_back(count);
  EXPECT_GT(support::uniformity_p_value(counts), support::kAlpha);
}

TEST(Permutation, NeighboursAreIndependent) {
  const std::uint64_t n = 20;
  std::vector<double> counts(n * (n - 1), 0);
  for (std::uint64_t key = 0; key < 400000; ++key) {
    const auto p = Permutation::make(5, Purpose::data_order, key, n);
    const std::uint64_t a = p(7), b = p(8);
    ++counts[a * (n - 1) + (b > a ? b - 1 : b)];
  }
  EXPECT_GT(support::uniformity_p_value(counts), support::kAlpha);
}

// Seeds, purposes and indices each give another order; s and s + 1 included.
TEST(Permutation, EveryPartOfTheKeyMatters) {
  const std::uint64_t n = 1000;
  const auto order = [&](std::uint64_t seed, Purpose purpose, std::uint64_t index) {
    const auto p = Permutation::make(seed, purpose, index, n);
    std::vector<std::uint64_t> image(n);
    for (std::uint64_t i = 0; i < n; ++i) image[i] = p(i);
    return image;
  };
  const auto base = order(9, Purpose::replay_slot, 9);
  for (const auto& other : {order(10, Purpose::replay_slot, 9), order(9, Purpose::data_order, 9),
                            order(9, Purpose::replay_slot, 10), order(9 + (1ull << 32), Purpose::replay_slot, 9)}) {
    int equal = 0;
    for (std::uint64_t i = 0; i < n; ++i) equal += base[i] == other[i];
    EXPECT_LT(equal, 12);  // fixed points of a random permutation: Poisson(1), P(>= 12) < 1e-9
  }
}

}  // namespace
