#include "kernels/chains/batch_replicas.hpp"

#include "kernels/chains/chain_source.cuh"
#include "kernels/chains/replica_swap.hpp"
#include "kernels/launch.hpp"
#include "kernels/training/batch_rows.hpp"

namespace ebm {
namespace {

constexpr int kThreads = 128;

// Which replica, and which four of its dimensions, a thread serves.
struct Part {
  std::int64_t chain, replica, row;
  int block;
};

__device__ Part part_of(const BatchReplicas& v) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int blocks = padded(v.dim) / 4;
  const std::int64_t row = thread / blocks;
  return {row / v.replicas, row % v.replicas, row, static_cast<int>(thread % blocks)};
}

__global__ void __launch_bounds__(kThreads)
    open_replicas_kernel(const __grid_constant__ BatchReplicas v, const __grid_constant__ StepView step,
                         ChainCounts* counts) {
  if (*v.chains.stopped != 0) return;
  const Part part = part_of(v);
  if (part.chain >= v.chains.n) return;
  const Chain chain = open_chain(v.chains, part.chain);
  const std::uint64_t id = replica_id(chain.id, static_cast<std::uint64_t>(part.replica));
  const float* from = v.chains.batch + chain.row * v.dim;
  if (v.chains.source == ChainSource::persistent) {
    from = v.chains.x + static_cast<std::int64_t>(slot_row(chain.row, v.replicas, part.replica)) * v.dim;
  }
  const PhiloxWords w =
      philox(v.chains.seed, Purpose::initial_position, id, chain.step, static_cast<std::uint32_t>(part.block));
  const std::uint32_t words[4] = {w.r0, w.r1, w.r2, w.r3};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int d = 4 * part.block + k;
    if (d < v.dim) v.x[part.row * v.dim + d] = chain.fresh ? start_position(step, d, words[k]) : from[d];
  }
  if (part.block != 0) return;
  v.ids[part.row] = id;
  v.steps[part.row] = chain.step;
  if (part.replica != 0) return;
  v.places[part.chain] = chain.row;
  if (chain.reinitialized) atomicAdd(&counts->reinitialized, 1ull);  // whole numbers: the order is free
}

__global__ void __launch_bounds__(kThreads) close_replicas_kernel(const __grid_constant__ BatchReplicas v) {
  if (*v.chains.stopped != 0) return;
  const Part part = part_of(v);
  if (part.chain >= v.chains.n) return;
  const bool kept = v.chains.source == ChainSource::persistent;
  const std::int64_t slot = v.places[part.chain];
  const std::int64_t home = static_cast<std::int64_t>(slot_row(slot, v.replicas, part.replica));
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int d = 4 * part.block + k;
    if (d >= v.dim) continue;
    const float x = v.x[part.row * v.dim + d];
    if (kept) v.chains.x[home * v.dim + d] = x;
    if (part.replica == 0) v.chains.batch[(v.chains.n + part.chain) * v.dim + d] = x;
  }
  if (kept && part.block == 0 && part.replica == 0) v.chains.steps[slot] = v.steps[part.row];
}

unsigned blocks_for(const BatchReplicas& view) {
  const std::int64_t threads = view.chains.n * view.replicas * (padded(view.dim) / 4);
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

}  // namespace

cudaError_t launch_open_replicas(const BatchReplicas& view, const StepView& step, ChainCounts* counts,
                                 cudaStream_t stream) {
  return launch(open_replicas_kernel, blocks_for(view), kThreads, 0, stream, view, step, counts);
}

cudaError_t launch_close_replicas(const BatchReplicas& view, cudaStream_t stream) {
  return launch(close_replicas_kernel, blocks_for(view), kThreads, 0, stream, view);
}

}  // namespace ebm
