// The library's random bits are Philox4x32-10 with the counter layout of the Contract.
#include "kernels/math/philox.hpp"

#include <Random123/philox.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "reference/random.hpp"

namespace {

using ebm::PhiloxCounter;
using ebm::PhiloxKey;
using ebm::PhiloxWords;
using ebm::Purpose;

std::array<std::uint32_t, 4> array_of(PhiloxWords w) { return {w.r0, w.r1, w.r2, w.r3}; }

// Every philox4x32 row with 10 rounds of Random123 1.14, tests/kat_vectors. Rejects wrong constants, round counts,
// word orders and a key raised once too often.
TEST(Philox, KnownAnswersOfRandom123) {
  struct Row {
    PhiloxCounter counter;
    PhiloxKey key;
    std::array<std::uint32_t, 4> words;
  };
  const std::uint32_t f = 0xffffffff;
  const Row rows[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{f, f, f, f}, {f, f}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const Row& row : rows) EXPECT_EQ(array_of(ebm::philox(row.counter, row.key)), row.words);
}

TEST(Philox, IsAConstantExpression) {
  static_assert(ebm::philox(PhiloxCounter{0, 0, 0, 0}, PhiloxKey{0, 0}).r0 == 0x6627e8d5);
}

TEST(Philox, EqualsRandom123OnAMillionCounters) {
  std::mt19937 bits(1);
  r123::Philox4x32 oracle;
  for (int i = 0; i < 1000000; ++i) {
    const PhiloxCounter c{static_cast<std::uint32_t>(bits()), static_cast<std::uint32_t>(bits()),
                          static_cast<std::uint32_t>(bits()), static_cast<std::uint32_t>(bits())};
    const PhiloxKey k{static_cast<std::uint32_t>(bits()), static_cast<std::uint32_t>(bits())};
    const r123::Philox4x32::ctr_type expected = oracle({{c.c0, c.c1, c.c2, c.c3}}, {{k.k0, k.k1}});
    const PhiloxWords w = ebm::philox(c, k);
    ASSERT_TRUE(w.r0 == expected[0] && w.r1 == expected[1] && w.r2 == expected[2] && w.r3 == expected[3]) << i;
  }
}

struct Use {
  std::uint64_t seed, chain, step;
  std::uint32_t purpose, block;
  auto operator<=>(const Use&) const = default;
};

// Random uses, a third of whose fields are at the edges of their ranges.
std::vector<Use> random_uses(std::size_t n) {
  std::mt19937_64 bits(2);
  const auto field = [&](int width) -> std::uint64_t {
    const std::uint64_t top = (std::uint64_t{1} << width) - 1;
    switch (bits() % 9) {
      case 0:
        return 0;
      case 1:
        return top;
      case 2:
        return std::uint64_t{1} << (bits() % static_cast<unsigned>(width));
      default:
        return bits() & top;
    }
  };
  std::vector<Use> uses(n);
  for (Use& use : uses) {
    use = {field(63), field(56), field(48), static_cast<std::uint32_t>(field(8)),
           static_cast<std::uint32_t>(field(16))};
  }
  return uses;
}

std::array<std::uint32_t, 6> counter_and_key(const Use& use) {
  const PhiloxCounter c = ebm::philox_counter(static_cast<Purpose>(use.purpose), use.chain, use.step, use.block);
  const PhiloxKey k = ebm::philox_key(use.seed);
  return {c.c0, c.c1, c.c2, c.c3, k.k0, k.k1};
}

// Different uses get different (counter, key): every field is read back from the words, so the map is injective.
// Rejects any overlap of fields, for instance a step that reaches into the block's bits.
TEST(PhiloxCounter, EveryFieldCanBeReadBack) {
  for (const Use& use : random_uses(1000000)) {
    const auto [c0, c1, c2, c3, k0, k1] = counter_and_key(use);
    const Use back{k0 | std::uint64_t{k1} << 32, c2 | std::uint64_t{c3 & 0xFFFFFF} << 32,
                   c1 | std::uint64_t{c0 >> 16} << 32, c3 >> 24, c0 & 0xFFFF};
    ASSERT_EQ(back, use);
  }
}

// The same property without knowing the layout: as many different words as different uses.
TEST(PhiloxCounter, AMillionUsesDoNotCollide) {
  std::vector<Use> uses = random_uses(1000000);
  std::sort(uses.begin(), uses.end());
  uses.erase(std::unique(uses.begin(), uses.end()), uses.end());
  std::vector<std::array<std::uint32_t, 6>> words;
  for (const Use& use : uses) words.push_back(counter_and_key(use));
  std::sort(words.begin(), words.end());
  EXPECT_EQ(std::adjacent_find(words.begin(), words.end()), words.end());
}

TEST(PhiloxCounter, AgreesWithTheReference) {
  for (const Use& use : random_uses(100000)) {
    const PhiloxWords w = ebm::philox(use.seed, static_cast<Purpose>(use.purpose), use.chain, use.step, use.block);
    ASSERT_EQ(array_of(w),
              ref::words(use.seed, static_cast<ref::Purpose>(use.purpose), use.chain, use.step, use.block));
  }
}

// The published numbers of the purposes: a changed one would change every result of every user.
TEST(PhiloxCounter, PurposesKeepTheirNumbers) {
  const std::pair<Purpose, unsigned> table[] = {
      {Purpose::langevin_noise, 0}, {Purpose::initial_position, 1}, {Purpose::reinitialization, 2},
      {Purpose::replay_slot, 3},    {Purpose::accept, 4},           {Purpose::momentum, 5},
      {Purpose::parameters, 6},     {Purpose::data_order, 7},       {Purpose::data_noise, 8},
      {Purpose::move, 9},           {Purpose::difference, 10},
  };
  for (const auto& [purpose, number] : table) EXPECT_EQ(static_cast<unsigned>(purpose), number);
}

// (0, 1], monotone, within one rounding of (r + 0.5) 2^-32; never 0, so that its logarithm is finite.
TEST(Uniform, EdgeWordsAndAStrideOverAllWords) {
  std::vector<std::uint32_t> words{0,          1,          2,          127,        128,        0x7fffffff,
                                   0x80000000, 0x80000001, 0xffffff7f, 0xffffff80, 0xfffffffe, 0xffffffff};
  for (std::uint64_t r = 0; r < (std::uint64_t{1} << 32); r += 255) words.push_back(static_cast<std::uint32_t>(r));
  std::sort(words.begin(), words.end());
  float previous = 0;
  for (const std::uint32_t r : words) {
    const float u = ebm::unit_float(r);
    const double exact = ref::uniform(r);
    ASSERT_GT(u, 0.0f) << r;
    ASSERT_LE(u, 1.0f) << r;
    ASSERT_GE(u, previous) << r;
    ASSERT_LE(std::abs(static_cast<double>(u) - exact), exact * 0x1.8p-24) << r;
    ASSERT_EQ(ebm::unit_double(r), exact) << r;
    previous = u;
  }
}

TEST(Uniform, IndexBelowStaysBelow) {
  for (const std::uint64_t n : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{1797}, std::uint64_t{1} << 32}) {
    EXPECT_EQ(ebm::index_below(0, n), 0u);
    EXPECT_EQ(ebm::index_below(0xffffffff, n), n - 1);
  }
}

}  // namespace
