// See shared_batch.hpp. A warp serves a row of the batch; its lanes go through what is kept of it.
#include "kernels/launch.hpp"
#include "kernels/training/batch_rows.hpp"
#include "kernels/training/shared_batch.hpp"

namespace ebm {
namespace {

constexpr int kLanes = 32, kRowsPerBlock = 4, kThreads = kLanes * kRowsPerBlock;

template <class T>
__device__ T* at(const SharedBatchView& v, int rank, std::int64_t byte) {
  return reinterpret_cast<T*>(v.blocks + rank * v.stride + byte);
}

__device__ std::int64_t row_of_warp() {
  return static_cast<std::int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x / kLanes;
}

__device__ std::uint64_t slot_of(const SharedBatchView& v, std::int64_t row) {
  return slot_draw(v.seed, v.device->clock.iteration, v.capacity)(static_cast<std::uint64_t>(row));
}

__device__ int rank_of(const SharedBatchView& v, std::int64_t row) {
  int rank = 0;
  while (row >= v.first_rows[rank + 1]) ++rank;
  return rank;
}

__global__ void __launch_bounds__(kThreads) pack_kernel(const __grid_constant__ SharedBatchView v) {
  if (v.device->clock.stopped != 0) return;
  if (blockIdx.x == 0 && threadIdx.x == 0) *at<ChainCounts>(v, v.rank, 0) = v.device->counts;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const std::int64_t first = v.first_rows[v.rank], rows = v.first_rows[v.rank + 1] - first, i = row_of_warp();
  if (i >= rows) return;
  if (v.energies && lane == 0) {
    float* const energies = at<float>(v, v.rank, v.block.energies);
    energies[i] = v.own_energy[i];
    energies[v.block.rows + i] = v.own_energy[rows + i];
    if (v.own_cross_entropy != nullptr) energies[2 * v.block.rows + i] = v.own_cross_entropy[i];
  }
  if (v.kept == 0) return;
  const std::uint64_t slot = slot_of(v, first + i);
  const float* const from = v.buffer_x + slot * static_cast<std::uint64_t>(v.kept);
  float* const to = at<float>(v, v.rank, v.block.kept) + i * v.kept;
  for (std::int64_t k = lane; k < v.kept; k += kLanes) to[k] = from[k];
  if (lane == 0) at<std::uint64_t>(v, v.rank, v.block.steps)[i] = v.buffer_steps[slot];
}

// Counts of all ranks; whole numbers, whose order is free.
__device__ void add_all_counts(const SharedBatchView& v) {
  ChainCounts sum = *at<ChainCounts>(v, 0, 0);
  for (int r = 1; r < v.ranks; ++r) {
    const ChainCounts& part = *at<ChainCounts>(v, r, 0);
    sum.restarts += part.restarts;
    sum.reinitialized += part.reinitialized;
    for (int m = 0; m < kMoves; ++m) {
      sum.proposed[m] += part.proposed[m];
      sum.accepted[m] += part.accepted[m];
    }
    for (int k = 0; k < 2; ++k) sum.swaps[k] += part.swaps[k];
  }
  v.device->counts = sum;
}

__global__ void __launch_bounds__(kThreads) unpack_kernel(const __grid_constant__ SharedBatchView v) {
  if (v.device->clock.stopped != 0) return;
  if (blockIdx.x == 0 && threadIdx.x == 0) add_all_counts(v);
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const std::int64_t row = row_of_warp();
  if (row >= v.batch) return;
  const int rank = rank_of(v, row);
  const std::int64_t i = row - v.first_rows[rank];
  if (v.energies && lane == 0) {
    const float* const energies = at<float>(v, rank, v.block.energies);
    v.energy[row] = energies[i];
    v.energy[v.batch + row] = energies[v.block.rows + i];
    if (v.cross_entropy != nullptr) v.cross_entropy[row] = energies[2 * v.block.rows + i];
  }
  if (v.kept == 0 || rank == v.rank) return;
  const std::uint64_t slot = slot_of(v, row);
  const float* const from = at<float>(v, rank, v.block.kept) + i * v.kept;
  float* const to = v.buffer_x + slot * static_cast<std::uint64_t>(v.kept);
  for (std::int64_t k = lane; k < v.kept; k += kLanes) to[k] = from[k];
  if (lane == 0) v.buffer_steps[slot] = at<std::uint64_t>(v, rank, v.block.steps)[i];
}

// A thread a parameter.
__global__ void sum_nodes_kernel(const __grid_constant__ NodeTree tree, float* blocks, std::uint64_t parameters,
                                 float* gradient, const int* stopped) {
  if (*stopped != 0) return;
  const std::uint64_t p = static_cast<std::uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (p >= parameters) return;
  float all = 0.0f;
  for (int part = 0; part < 2; ++part) {
    float* const own = blocks + part * tree.part + p;
    for (int i = 0; i < tree.additions; ++i) {
      const int2 pair = tree.pairs[i];
      own[tree.places[pair.x]] += own[tree.places[pair.y]];
    }
    const float one = own[tree.places[0]];
    all = part == 0 ? one : all + one;
  }
  gradient[p] = all;
}

unsigned blocks_for(std::int64_t rows) { return static_cast<unsigned>((rows + kRowsPerBlock - 1) / kRowsPerBlock); }

}  // namespace

cudaError_t launch_pack_share(const SharedBatchView& view, cudaStream_t stream) {
  return launch(pack_kernel, blocks_for(view.block.rows), kThreads, 0, stream, view);
}

cudaError_t launch_unpack_shares(const SharedBatchView& view, cudaStream_t stream) {
  return launch(unpack_kernel, blocks_for(view.batch), kThreads, 0, stream, view);
}

cudaError_t launch_sum_nodes(const NodeTree& tree, float* blocks, std::uint64_t parameters, float* gradient,
                             const int* stopped, cudaStream_t stream) {
  return launch(sum_nodes_kernel, static_cast<unsigned>((parameters + 255) / 256), 256, 0, stream, tree, blocks,
                parameters, gradient, stopped);
}

}  // namespace ebm
