// The replicas of a training batch's chains, on their way out of the replay buffer (or of the data, or of the uniform
// start) and back. Between the two they are a set of chains like any other, batch x replicas of them.
#pragma once

#include <cuda_runtime.h>

#include "kernels/chains/chains.hpp"

namespace ebm {

struct BatchReplicas {
  ChainsView chains;  // as without replicas: where the batch's chains come from; x is [capacity, replicas, D]
  int replicas, dim;
  // Of row c replicas + r, replica r of the batch's chain c:
  float* x;              // [batch replicas, D]
  std::uint64_t* ids;    // [batch replicas]
  std::uint64_t* steps;  // the same
  std::int64_t* places;  // [batch]: the slot or the batch's row of each chain
};

// Every replica to where its iteration begins; slots that start afresh are counted.
cudaError_t launch_open_replicas(const BatchReplicas& view, const StepView& step, ChainCounts* counts,
                                 cudaStream_t stream);
// Replicas and step numbers back to their slots, and replica 0 to part two of the batch.
cudaError_t launch_close_replicas(const BatchReplicas& view, cudaStream_t stream);

}  // namespace ebm
