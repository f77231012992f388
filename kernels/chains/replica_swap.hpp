// The rule by which neighbouring replicas swap their states (ebmcuda/samplers/tempering.hpp).
#pragma once

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#endif

#include <numeric>

#include "kernels/math/normal.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {

// Chain ids of tempered chains stay below this; replica r of chain c draws the numbers of id c + r 2^46.
inline constexpr std::uint64_t kTemperedChainLimit = std::uint64_t{1} << 46;
EBM_HD constexpr std::uint64_t replica_id(std::uint64_t chain, std::uint64_t replica) {
  return chain + replica * kTemperedChainLimit;
}

// Step numbers between two rounds of swaps, for transitions of so many gradient evaluations.
EBM_HD constexpr std::uint64_t swap_period(std::int64_t evaluations, std::int64_t swap_every) {
  return static_cast<std::uint64_t>(evaluations) * static_cast<std::uint64_t>(swap_every);
}
// For chains that have taken any whole numbers of n transitions: a round of swaps of any of them is due at a multiple
// of so many transitions of the next n, and no sooner.
constexpr std::int64_t transitions_between_swaps(std::int64_t n, std::int64_t swap_every) {
  return std::gcd(n, swap_every);
}

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
  std::uint8_t* from_hot;      // [n_chains replicas], or null: round trips are not counted
  unsigned long long* counts;  // round trips, then proposed and accepted of each pair: 2 replicas - 1 in all; or null
  unsigned long long* total;   // proposed and accepted of all pairs
  const int* stopped;          // not null and not 0: do nothing
};
cudaError_t launch_swap_replicas(const ReplicaView& view, cudaStream_t stream);
#endif

}  // namespace ebm
