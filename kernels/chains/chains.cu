// All transitions of a tile of chains in one launch: a kernel for every sampler (include/ebmcuda/samplers) and policy.
//
// A block of 8 Tile threads takes tiles of chains in turn. Positions, gradients and activations of a tile stay in the
// block's working memory for all transitions; global memory is touched at the start and the end of the launch only (and
// for weights that don't fit in shared memory).
#include "kernels/chains/chain_tile.cuh"
#include "kernels/energy/block.cuh"

namespace ebm {
namespace {

struct ChainArguments {
  NetworkView net;
  TileLayout layout;
  ChainsView chains;
  StepView step;
  std::int64_t n;  // transitions
  ChainCounts* counts;
  float* slab;
};

template <SamplerKind kKind, int Tile, bool WeightsShared, bool StateShared>
__global__ void __launch_bounds__(kParts* Tile) chains_kernel(const __grid_constant__ ChainArguments a) {
  if (a.chains.stopped != nullptr && *a.chains.stopped != 0) return;
  const BlockMemory memory = open_block<Tile, WeightsShared, StateShared>(a.net, a.layout, a.slab);
  const Evaluator<Tile> evaluator{a.net, a.layout, memory.image, memory.rows, {}};
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
    fp32::ChainTile<Tile> tile(evaluator, a.chains, a.step, chain, step_size, counter);
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

// A thread per Philox block of a chain.
__global__ void uniform_start_kernel(const __grid_constant__ ChainsView chains, const __grid_constant__ StepView step,
                                     int dim, int blocks_per_chain) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t row = i / blocks_per_chain;
  if (row >= chains.n) return;
  const int block = static_cast<int>(i % blocks_per_chain);
  const PhiloxWords w = philox(chains.seed, Purpose::initial_position, chains.ids[row], chains.steps[row],
                               static_cast<std::uint32_t>(block));
  const std::uint32_t words[4] = {w.r0, w.r1, w.r2, w.r3};
  for (int k = 0; k < 4 && 4 * block + k < dim; ++k) {
    const int d = 4 * block + k;
    chains.x[row * dim + d] = start_position(step, d, words[k]);
  }
}

template <SamplerKind kKind>
cudaError_t launch_sampler(const TilePlan& plan, const ChainArguments& arguments, cudaStream_t stream) {
  return launch_tiles(plan, arguments.chains.n, stream, [&](auto tile, auto weights_shared, auto state_shared) {
    return TileKernel{chains_kernel<kKind, tile(), weights_shared(), state_shared()>, arguments};
  });
}

}  // namespace

cudaError_t launch_uniform_start(const ChainsView& chains, const StepView& step, int dim, cudaStream_t stream) {
  const int blocks_per_chain = padded(dim) / 4;
  const std::int64_t threads = chains.n * blocks_per_chain;
  return launch(uniform_start_kernel, static_cast<unsigned>((threads + 255) / 256), 256, 0, stream, chains, step, dim,
                blocks_per_chain);
}

cudaError_t launch_chains(const TilePlan& plan, const NetworkView& net, const ChainsView& chains, const StepView& step,
                          std::int64_t n, ChainCounts* counts, cudaStream_t stream) {
  const ChainArguments arguments{net, plan.layout, chains, step, n, counts, plan.slab};
  switch (step.kind) {
#define EBM_LAUNCH(name, type) \
  case SamplerKind::name:      \
    return launch_sampler<SamplerKind::name>(plan, arguments, stream);
    EBM_SAMPLERS(EBM_LAUNCH)
#undef EBM_LAUNCH
  }
  return cudaErrorInvalidValue;
}

}  // namespace ebm
