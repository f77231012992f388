// Who does what: which rows, which chunks of a batch, and how the parts of a sum over chunks come together again in the
// order of kernels/math/ordered_sum.hpp.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace ebm {

struct Share {
  std::size_t first = 0, count = 0;
  std::size_t end() const { return first + count; }
  bool operator==(const Share&) const = default;
};

// Of n things, as even as can be, in the ranks' order.
Share share_of(std::size_t n, int rank, int size);

// A batch of so many rows: whole chunks of kChunkRows rows for each rank.
struct BatchShare {
  Share chunks, rows;
};
BatchShare batch_share(std::size_t rows, int rank, int size);

// A share of n chunks as nodes of the tree over all n: few sums that say everything. Each is a run of 2^k chunks from a
// multiple of 2^k on, or what there is of one at the end of the batch.
std::vector<Share> nodes_of(Share chunks, std::size_t n);

// The rest of the tree: node `first` += node `second`, one after the other, of nodes numbered in order (those of every
// share in turn); afterwards node 0 is the sum over all n chunks.
std::vector<std::pair<std::size_t, std::size_t>> additions(const std::vector<Share>& nodes, std::size_t n);

}  // namespace ebm
