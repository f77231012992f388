// All transitions of a tile of chains in one launch.
//
// A block takes tiles of chains in turn. Positions, gradients and activations of a tile stay in the block's working
// memory for all transitions; global memory is touched at the start and the end of the launch only (and for weights
// that don't fit in shared memory).
#pragma once

#include "kernels/chains/chain_tile.cuh"
#include "kernels/energy/block.cuh"

namespace ebm {

struct ChainArguments {
  NetworkView net;
  TileLayout layout;
  ChainsView chains;
  StepView step;
  std::int64_t n;  // transitions
  ChainCounts* counts;
  float* slab;
};

template <SamplerKind kKind, int Tile, bool kFixes = false, class Evaluator>
__device__ __forceinline__ void run_tiles(const ChainArguments& a, const Evaluator& evaluator) {
  const Lane<Tile>& lane = evaluator.lane;
  const int dim = a.net.dim, dim_pad = padded(dim);
  float* const x = evaluator.row(a.layout.x);
  const float step_size = step_size_of(a.step);
  // Beyond D rows hold zeros; what a sampler writes there is dropped.
  constexpr int kRows = rows_of(kKind);
  if (lane.part == dim / 4 % kParts) {
    for (int r = 0; r < kRows; ++r) {
      for (int d = dim; d < dim_pad; ++d) x[(r * dim_pad + d) * Tile + lane.chain] = 0.0f;
    }
  }

  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * Tile; first < a.chains.n;
       first += static_cast<std::int64_t>(gridDim.x) * Tile) {
    const std::int64_t index = first + lane.chain;
    const Chain chain = open_chain(a.chains, index);
    Counter counter;
    fp32::ChainTile<Tile, Evaluator, kFixes> tile(evaluator, a.chains, a.step, chain, step_size, counter);
    const float* from = a.chains.source == ChainSource::data ? a.chains.batch : a.chains.x;
    for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
      ChainBlock block{};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool real = 4 * b + i < dim && chain.exists && !chain.fresh;
        if (real) block.v[i] = from[chain.row * dim + 4 * b + i];
      }
      tile.set(kX, 0, b, block);
    }
    if (chain.fresh) tile.start(kX, 0);
    if (lane.part == 0) counter.reinitialized += chain.reinitialized;

    fp32::run_sampler<kKind>(tile, a.n);

    if (chain.exists) {
      for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
        const ChainBlock block = tile.get(kX, 0, b);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int d = 4 * b + i;
          if (d >= dim) continue;
          if (a.chains.x != nullptr) a.chains.x[chain.row * dim + d] = block.v[i];
          if (a.chains.batch != nullptr) a.chains.batch[(a.chains.n + index) * dim + d] = block.v[i];
        }
      }
      if (lane.part == 0 && a.chains.steps != nullptr) {
        a.chains.steps[chain.row] = chain.step + static_cast<std::uint64_t>(a.n * a.step.evaluations);
      }
    }
    __syncthreads();
    add_counts(counter, a.counts);
  }
}

template <SamplerKind kKind, int Tile, bool WeightsShared, bool StateShared>
__global__ void __launch_bounds__(Lane<Tile>::kThreads) chains_kernel(const __grid_constant__ ChainArguments a) {
  if (a.chains.stopped != nullptr && *a.chains.stopped != 0) return;
  const BlockMemory memory = open_block<Tile, WeightsShared, StateShared>(a.net, a.layout, a.slab);
  run_tiles<kKind, Tile>(a, make_evaluator<Tile>(a.net, a.layout, memory));
}

// launch_chains() of chains with fixed coordinates (fixed_chains.cu).
cudaError_t launch_fixed_chains(const TilePlan& plan, const ChainArguments& arguments, cudaStream_t stream);

// A kernel of its own for tiles of 2 chains of some networks (pairs.cu); null for the others.
using ChainsKernel = void (*)(ChainArguments);
ChainsKernel pairs_kernel(SamplerKind kind, const NetworkView& net);

}  // namespace ebm
