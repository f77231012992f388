#include "host/ranks/shares.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "kernels/math/ordered_sum.hpp"

namespace {

using ebm::Share;

TEST(Shares, HoldEverythingOnceAndDifferByOneAtMost) {
  for (std::size_t n = 0; n <= 50; ++n) {
    for (int size = 1; size <= 7; ++size) {
      std::size_t next = 0;
      for (int r = 0; r < size; ++r) {
        const Share share = ebm::share_of(n, r, size);
        EXPECT_EQ(share.first, next);
        EXPECT_LE(share.count, n / static_cast<std::size_t>(size) + 1);
        EXPECT_GE(share.count, n / static_cast<std::size_t>(size));
        next = share.end();
      }
      EXPECT_EQ(next, n);
    }
  }
}

TEST(Shares, OfABatchBeginAtChunks) {
  for (const std::size_t rows : {1ul, 127ul, 128ul, 129ul, 700ul, 1024ul}) {
    for (int size = 1; size <= 5; ++size) {
      std::size_t next = 0;
      for (int r = 0; r < size; ++r) {
        const ebm::BatchShare share = ebm::batch_share(rows, r, size);
        EXPECT_EQ(share.rows.first, next);
        EXPECT_EQ(share.rows.first, std::min(share.chunks.first * ebm::kChunkRows, rows));
        next = share.rows.end();
      }
      EXPECT_EQ(next, rows);
    }
  }
}

// A sum that remembers how it was made: "((0+1)+2)".
std::string tree_over(std::size_t first, std::size_t last) {
  std::vector<std::string> slots(ebm::OrderedTree::kSlots);
  const auto add = [&](int to, int from) {
    auto& sum = slots[static_cast<std::size_t>(to)];
    sum = "(" + sum + "+" + slots[static_cast<std::size_t>(from)] + ")";
  };
  ebm::OrderedTree tree;
  for (std::size_t c = first; c < last; ++c) {
    slots[static_cast<std::size_t>(tree.slot())] = std::to_string(c);
    tree.added(add);
  }
  tree.finish(add);
  return slots[0];
}

TEST(Shares, NodesComeTogetherAsTheTreeOverAllChunks) {
  for (std::size_t n = 1; n <= 70; ++n) {
    for (int size = 1; size <= 9; ++size) {
      std::vector<Share> nodes;
      for (int r = 0; r < size; ++r) {
        const Share share = ebm::share_of(n, r, size);
        const std::vector<Share> mine = ebm::nodes_of(share, n);
        std::size_t next = share.first;
        for (const Share& node : mine) {
          EXPECT_EQ(node.first, next);
          next = node.end();
        }
        EXPECT_EQ(next, share.end());
        // Two ladders of powers of two.
        EXPECT_LE(mine.size(), 2 * static_cast<std::size_t>(ebm::OrderedTree::slots_for(static_cast<std::int64_t>(n))));
        nodes.insert(nodes.end(), mine.begin(), mine.end());
      }
      std::vector<std::string> sums;
      for (const Share& node : nodes) sums.push_back(tree_over(node.first, node.end()));
      for (const auto& [to, from] : ebm::additions(nodes, n)) sums[to] = "(" + sums[to] + "+" + sums[from] + ")";
      EXPECT_EQ(sums[0], tree_over(0, n)) << n << " chunks, " << size << " ranks";
    }
  }
}

TEST(Shares, OfOneRankAreOneNode) {
  for (std::size_t n = 1; n <= 70; ++n) EXPECT_EQ(ebm::nodes_of({0, n}, n), (std::vector<Share>{{0, n}}));
}

}  // namespace
