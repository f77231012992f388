// The one order in which rows of a batch are summed, whatever engine, threads, blocks or ranks do it: parameter
// gradients, losses, batch statistics.
//
//   1. Rows are cut into chunks of kChunkRows consecutive rows of the whole batch; the last chunk may be short. A chunk
//      is summed row by row, in order.
//   2. The chunks' sums are the leaves of a binary tree that is fixed by their number: neighbours (0, 1), (2, 3), ...
//      are added, then neighbours among the results, and so on; an odd one out passes up unchanged.
//
// So a share of a batch is a run of whole chunks: whoever has all chunks' sums, gathered from wherever they were made,
// gets the same bits. And a run of 2^k chunks that begins at a multiple of 2^k is a node of the tree: it may be summed
// first, and the tree over such nodes is the tree over chunks.
//
// Besides being reproducible it is accurate: a rounding error of a sum in single precision grows with 128 +
// log2(chunks), not with the number of rows.
#pragma once

#include "kernels/math/portable.hpp"

namespace ebm {

constexpr std::int64_t kChunkRows = 128;

EBM_HD constexpr std::int64_t chunks_of(std::int64_t rows) { return (rows + kChunkRows - 1) / kChunkRows; }
// Rows of chunk c of a batch of `rows`.
EBM_HD constexpr std::int64_t rows_of_chunk(std::int64_t chunk, std::int64_t rows) {
  const std::int64_t left = rows - chunk * kChunkRows;
  return left < kChunkRows ? left : kChunkRows;
}

// The tree over values that come one by one, in at most kSlots places that the caller keeps; a value may be a number,
// a tile or a whole gradient. For each value: store it at slot(), then call added(add); after the last one finish(add)
// leaves the sum in slot 0. add(to, from) is the caller's: slot `to` += slot `from` (from = to + 1, the later values).
class OrderedTree {
 public:
  static constexpr int kSlots = 40;
  // Slots that n values need at most.
  EBM_HD static constexpr int slots_for(std::int64_t n) {
    int slots = 1;
    for (; n > 1; n /= 2) ++slots;
    return slots;
  }

  EBM_HD constexpr int slot() const { return height_; }

  template <class Add>
  EBM_HD constexpr void added(const Add& add) {
    ++height_;
    // A number that ends in k zeros in binary completes k pairs, each one level above the last.
    for (std::int64_t n = ++count_; n % 2 == 0; n /= 2) merge(add);
  }

  template <class Add>
  EBM_HD constexpr void finish(const Add& add) {
    while (height_ > 1) merge(add);
  }

 private:
  template <class Add>
  EBM_HD constexpr void merge(const Add& add) {
    --height_;
    add(height_ - 1, height_);
  }

  int height_ = 0;
  std::int64_t count_ = 0;
};

// The tree over numbers.
template <class T>
class OrderedSum {
 public:
  EBM_HD constexpr void add(const T& value) {
    slots_[tree_.slot()] = value;
    tree_.added(AddSlots{slots_});
  }
  // Of all values so far, zero when there are none; the last call.
  EBM_HD constexpr T total() {
    if (tree_.slot() == 0) return T{};
    tree_.finish(AddSlots{slots_});
    return slots_[0];
  }

 private:
  struct AddSlots {
    T* slots;
    EBM_HD constexpr void operator()(int to, int from) const { slots[to] += slots[from]; }
  };
  T slots_[OrderedTree::kSlots];  // written before it is read; a kernel would pay for more
  OrderedTree tree_;
};

// f(0), f(1), ..., f(n - 1) added by the tree.
template <class T, class Term>
constexpr T tree_sum(std::int64_t n, Term&& f) {
  OrderedSum<T> sum;
  for (std::int64_t i = 0; i < n; ++i) sum.add(f(i));
  return sum.total();
}

// f(0), ..., f(rows - 1) added in chunks, and those by the tree.
template <class T, class Term>
constexpr T ordered_sum(std::int64_t rows, Term&& f) {
  return tree_sum<T>(chunks_of(rows), [&](std::int64_t c) {
    T sum{};
    for (std::int64_t i = 0; i < rows_of_chunk(c, rows); ++i) sum += static_cast<T>(f(c * kChunkRows + i));
    return sum;
  });
}

}  // namespace ebm
