// The rule by which neighbouring replicas swap their states (ebmcuda/samplers/tempering.hpp).
#pragma once

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#endif

#include "kernels/math/normal.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {

// `word` is the pair's random number; energies are E, not beta E. A state of infinite energy (one that could not be
// brought to finite ground) only ever moves to the hotter side; two of them (NaN) stay.
EBM_HD inline bool swaps(std::uint32_t word, float beta_a, float beta_b, float energy_a, float energy_b) {
  const float log_a = (beta_a - beta_b) * (energy_a - energy_b);
  return log_unit(word) < log_a;
}

#if defined(CUDART_VERSION)
// Arguments of the swap kernel: chains of `replicas` rows each, as ChainSet::swap_replicas says.
struct ReplicaView {
  std::int64_t n_chains;
  int replicas, dim;
  std::int64_t evaluations;
  std::uint64_t period, seed;
  const std::uint64_t* ids;    // [n_chains replicas]
  const std::uint64_t* steps;  // the same
  const float* beta;           // the same
  float* x;                    // [n_chains replicas, D]
  float* energy;               // [n_chains replicas]
  float* gradient;             // as x, or null where it is not kept
  std::uint8_t* from_hot;      // [n_chains replicas]
  unsigned long long* counts;  // round trips, then proposed and accepted of each pair: 2 replicas - 1 in all
};
cudaError_t launch_swap_replicas(const ReplicaView& view, cudaStream_t stream);
#endif

}  // namespace ebm
