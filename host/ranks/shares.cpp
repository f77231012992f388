#include "host/ranks/shares.hpp"

#include <algorithm>
#include <bit>

#include "kernels/math/ordered_sum.hpp"

namespace ebm {
namespace {

// Chunks from `first` on below a node of 2^k = `size` places that begins there.
std::size_t below(std::size_t first, std::size_t size, std::size_t n) { return std::min(size, n - first); }

class Additions {
 public:
  Additions(const std::vector<Share>& nodes, std::size_t n) : nodes_(nodes), n_(n) {}

  // Makes the sum of a node of `size` places in the first of its parts, whose number is returned. Nodes are met in
  // order.
  std::size_t sum(std::size_t first, std::size_t size) {
    if (nodes_[next_].count == below(first, size, n_)) return next_++;
    const std::size_t half = size / 2, left = sum(first, half);
    if (first + half < n_) {
      const std::size_t right = sum(first + half, half);
      all_.emplace_back(left, right);
    }
    return left;
  }
  std::vector<std::pair<std::size_t, std::size_t>> take() { return std::move(all_); }

 private:
  const std::vector<Share>& nodes_;
  std::size_t n_, next_ = 0;
  std::vector<std::pair<std::size_t, std::size_t>> all_;
};

}  // namespace

Share share_of(std::size_t n, int rank, int size) {
  const auto r = static_cast<std::size_t>(rank), ranks = static_cast<std::size_t>(size);
  const std::size_t even = n / ranks, more = n % ranks;
  return {r * even + std::min(r, more), even + (r < more ? 1 : 0)};
}

BatchShare batch_share(std::size_t rows, int rank, int size) {
  constexpr auto kRows = static_cast<std::size_t>(kChunkRows);
  BatchShare share;
  share.chunks = share_of(static_cast<std::size_t>(chunks_of(static_cast<std::int64_t>(rows))), rank, size);
  share.rows.first = std::min(share.chunks.first * kRows, rows);
  share.rows.count = std::min(share.chunks.end() * kRows, rows) - share.rows.first;
  return share;
}

std::vector<Share> nodes_of(Share chunks, std::size_t n) {
  std::vector<Share> nodes;
  for (std::size_t at = chunks.first; at < chunks.end();) {
    // The largest node that begins here and holds no chunk of another share.
    std::size_t size = 1;
    while (at % (2 * size) == 0 && at + below(at, 2 * size, n) <= chunks.end() && size < n) size *= 2;
    nodes.push_back({at, below(at, size, n)});
    at = nodes.back().end();
  }
  return nodes;
}

std::vector<std::pair<std::size_t, std::size_t>> additions(const std::vector<Share>& nodes, std::size_t n) {
  if (n == 0) return {};
  Additions tree(nodes, n);
  tree.sum(0, std::bit_ceil(n));
  return tree.take();
}

}  // namespace ebm
