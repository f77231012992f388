// A training batch that ranks share out, on a GPU: what a rank gives to the others in an iteration, what it makes of
// what they give, and the rest of the tree over their sums (host/ranks/shares.hpp). Between the first and the second
// comes a gathering of bytes in which nothing is added.
#pragma once

#include <cuda_runtime.h>

#include "kernels/training/iteration_kernels.hpp"

namespace ebm {

// What one rank gives, and where things are in it: bytes from its begin, the same for all ranks, with places for as
// many rows and nodes as any of them has. The gradient's part comes last, so that it can be left out.
struct RankBlock {
  std::int64_t energies;   // float [2 or 3][rows]: of the data, of the samples, cross-entropies; at 0 ChainCounts
  std::int64_t steps;      // uint64 [rows]
  std::int64_t kept;       // float [rows, kept]
  std::int64_t node_sums;  // float [2][nodes][parameters]
  std::int64_t bytes;
  std::int64_t rows, nodes;
};

struct SharedBatchView {
  RankBlock block;
  int ranks, rank;
  std::int64_t stride;             // of the blocks, in bytes
  unsigned char* blocks;           // [ranks][stride]
  const std::int64_t* first_rows;  // [ranks + 1]: rank r has rows first_rows[r] .. first_rows[r + 1] - 1
  std::int64_t batch;              // rows of all
  bool energies;                   // whether they are exchanged
  DeviceClock* device;
  // This rank's rows, and those of all:
  const float *own_energy, *own_cross_entropy;  // [2 own rows], [own rows] or null
  float *energy, *cross_entropy;                // [2 batch], [batch] or null
  // The replay buffer, or kept = 0 where chains are not kept:
  std::int64_t kept;  // floats of a slot
  float* buffer_x;
  std::uint64_t* buffer_steps;
  std::uint64_t capacity, seed;
};

// What this rank has done, to its block.
cudaError_t launch_pack_share(const SharedBatchView& view, cudaStream_t stream);
// What all have done, from their blocks: energies in the batch's order, counts of all, slots of the buffer.
cudaError_t launch_unpack_shares(const SharedBatchView& view, cudaStream_t stream);

// The nodes of the tree, numbered over all ranks' in order.
struct NodeTree {
  int additions;
  const std::int64_t* places;  // of each node of part 0, floats from the begin of the blocks
  std::int64_t part;           // from a node of part 0 to the same of part 1, in floats
  const int2* pairs;           // [additions]: node x += node y, one after the other; then node 0 is the sum
};
// gradient [parameters] = the sum of part 0, plus that of part 1. Nodes are overwritten.
cudaError_t launch_sum_nodes(const NodeTree& tree, float* blocks, std::uint64_t parameters, float* gradient,
                             const int* stopped, cudaStream_t stream);

}  // namespace ebm
