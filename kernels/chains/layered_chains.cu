#include "kernels/chains/layered_chains.hpp"

#include "kernels/chains/layered_tile.cuh"
#include "kernels/chains/with_sampler.hpp"
#include "kernels/energy/layered.hpp"
#include "kernels/launch.hpp"

namespace ebm {
namespace {

constexpr int kThreads = 256, kChainsPerBlock = kThreads / kLanes;

// The warps' counts, each of which is its first lane's, to *total.
__device__ void add_counts_of_block(const Counter& own, ChainCounts* total) {
  __shared__ __align__(alignof(Counter)) unsigned char storage[kChainsPerBlock * sizeof(Counter)];
  Counter* const counters = reinterpret_cast<Counter*>(storage);
  const int warp = static_cast<int>(threadIdx.x) / kLanes, lane = lane_of_warp();
  if (lane == 0) counters[warp] = own;
  __syncthreads();
  if (warp == 0) add_counts(lane < kChainsPerBlock ? counters[lane] : Counter{}, total);
}

template <SamplerKind kKind>
__global__ void __launch_bounds__(kThreads)
    stage_kernel(const __grid_constant__ LayeredChunk chunk, std::int64_t evaluation) {
  if (chunk.chains.stopped != nullptr && *chunk.chains.stopped != 0) return;
  constexpr bool kMetropolis = is_metropolis_kind(kKind);
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kChainsPerBlock + threadIdx.x / kLanes;
  Counter counter;
  if (i < chunk.count) {
    Chain chain = open_chain(chunk.chains, chunk.first + i);
    // A step of Langevin dynamics follows its evaluation: at stage e it is step e - 1.
    if (!kMetropolis) chain.step += static_cast<std::uint64_t>(evaluation - 1);
    layered::LayeredTile tile(chunk, chain, i, evaluation, counter);
    const std::int64_t n = kMetropolis ? chunk.transitions : 1;
#define EBM_RUN_TILE(name, type) \
  if constexpr (kKind == SamplerKind::name) layered::run_##name(tile, n);
    EBM_SAMPLERS(EBM_RUN_TILE)
#undef EBM_RUN_TILE
  }
  add_counts_of_block(counter, chunk.counts);
}

__global__ void __launch_bounds__(kThreads) advance_kernel(const __grid_constant__ LayeredChunk chunk) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= chunk.count || (chunk.chains.stopped != nullptr && *chunk.chains.stopped != 0)) return;
  chunk.chains.steps[chunk.first + i] += static_cast<std::uint64_t>(chunk.transitions * chunk.step.evaluations);
}

unsigned blocks_for(std::int64_t work, int per_block) {
  return static_cast<unsigned>((work + per_block - 1) / per_block);
}

}  // namespace

cudaError_t launch_open_chunk(const LayeredChunk& chunk, cudaStream_t stream) {
  return launch_copy_rows(chunk.chains.x + chunk.first * chunk.dim, chunk.dim, chunk.row(kX), padded(chunk.dim),
                          {chunk.count, chunk.dim}, stream);
}

cudaError_t launch_stage(const LayeredChunk& chunk, std::int64_t evaluation, cudaStream_t stream) {
  const unsigned blocks = blocks_for(chunk.count, kChainsPerBlock);
  return with_sampler(chunk.step.kind, cudaErrorInvalidValue, [&](auto kind) {
    return launch(stage_kernel<decltype(kind)::value>, blocks, kThreads, 0, stream, chunk, evaluation);
  });
}

cudaError_t launch_close_chunk(const LayeredChunk& chunk, cudaStream_t stream) {
  const cudaError_t code = launch_copy_rows(chunk.row(kX), padded(chunk.dim), chunk.chains.x + chunk.first * chunk.dim,
                                            chunk.dim, {chunk.count, chunk.dim}, stream);
  if (code != cudaSuccess) return code;
  return launch(advance_kernel, blocks_for(chunk.count, kThreads), kThreads, 0, stream, chunk);
}

}  // namespace ebm
