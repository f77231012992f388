// chains_kernel for tiles of 2 chains of the networks that a PairEvaluator serves.
#pragma once

#include "kernels/chains/chains_kernel.cuh"
#include "kernels/energy/pair.cuh"

namespace ebm {

template <SamplerKind kKind, int Width, ActivationKind kActivation>
__global__ void __launch_bounds__(Lane<2>::kThreads) chain_pairs_kernel(const __grid_constant__ ChainArguments a) {
  if (a.chains.stopped != nullptr && *a.chains.stopped != 0) return;
  extern __shared__ __align__(16) float shared[];
  const BlockMemory memory = open_block<2, true, true>(a.net, a.layout, a.slab);
  run_tiles<kKind, 2>(a, PairEvaluator<Width, kActivation>(a.net, a.layout, shared, memory.rows));
}

}  // namespace ebm
