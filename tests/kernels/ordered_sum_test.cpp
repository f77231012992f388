// The order of summation, against a second writing of it: level by level, as its definition says.
#include "kernels/math/ordered_sum.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace {

// Sums that show their order: "(a+b)".
struct Shown {
  std::string text;
  Shown& operator+=(const Shown& other) {
    text = text.empty() ? other.text : "(" + text + "+" + other.text + ")";
    return *this;
  }
};

std::string level_by_level(std::vector<Shown> values) {
  while (values.size() > 1) {
    std::vector<Shown> above;
    for (std::size_t i = 0; i < values.size(); i += 2) {
      above.push_back(values[i]);
      if (i + 1 < values.size()) above.back() += values[i + 1];
    }
    values = above;
  }
  return values.empty() ? "" : values[0].text;
}

std::vector<Shown> leaves(std::int64_t n) {
  std::vector<Shown> values;
  for (std::int64_t i = 0; i < n; ++i) values.push_back({std::to_string(i)});
  return values;
}

TEST(OrderedSum, TheTreePairsNeighboursLevelByLevel) {
  EXPECT_EQ(ebm::tree_sum<Shown>(5, [](std::int64_t i) { return Shown{std::to_string(i)}; }).text, "(((0+1)+(2+3))+4)");
  for (std::int64_t n = 0; n <= 130; ++n) {
    const auto values = leaves(n);
    const auto sum = ebm::tree_sum<Shown>(n, [&](std::int64_t i) { return values[static_cast<std::size_t>(i)]; });
    EXPECT_EQ(sum.text, level_by_level(values)) << n;
  }
}

// What passes over long batches and ranks with 2^k chunks each rely on.
TEST(OrderedSum, ARunOfAPowerOfTwoIsANode) {
  for (std::int64_t n = 1; n <= 70; ++n) {
    const auto values = leaves(n);
    for (const std::int64_t run : {1, 2, 4, 8, 16}) {
      const auto node = [&](std::int64_t r) {
        const std::int64_t first = r * run, count = std::min(run, n - first);
        return ebm::tree_sum<Shown>(count, [&](std::int64_t i) { return values[static_cast<std::size_t>(first + i)]; });
      };
      EXPECT_EQ(ebm::tree_sum<Shown>((n + run - 1) / run, node).text, level_by_level(values)) << n << " by " << run;
    }
  }
}

TEST(OrderedSum, SlotsSuffice) {
  for (std::int64_t n = 1; n <= 300; ++n) {
    ebm::OrderedTree tree;
    int most = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      most = std::max(most, tree.slot() + 1);
      tree.added([](int to, int from) { EXPECT_EQ(from, to + 1); });
    }
    EXPECT_LE(most, ebm::OrderedTree::slots_for(n)) << n;
  }
  EXPECT_EQ(ebm::OrderedTree::slots_for(std::int64_t{1} << 39), ebm::OrderedTree::kSlots);
}

TEST(OrderedSum, RowsAreSummedInChunksOf128) {
  for (const std::int64_t rows : {0, 1, 127, 128, 129, 256, 300, 641}) {
    std::vector<Shown> chunks;
    for (std::int64_t row = 0; row < rows; ++row) {
      if (row % 128 == 0) chunks.emplace_back();
      chunks.back() += Shown{std::to_string(row)};
    }
    const auto sum = ebm::ordered_sum<Shown>(rows, [](std::int64_t i) { return Shown{std::to_string(i)}; });
    EXPECT_EQ(sum.text, level_by_level(chunks)) << rows;
    EXPECT_EQ(ebm::chunks_of(rows), static_cast<std::int64_t>(chunks.size()));
  }
}

static_assert(ebm::ordered_sum<double>(300, [](std::int64_t i) { return static_cast<double>(i); }) == 299 * 150);

}  // namespace
