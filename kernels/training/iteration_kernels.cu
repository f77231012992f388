// See iteration_kernels.hpp.
#include "kernels/training/iteration_kernels.hpp"

#include <cub/block/block_reduce.cuh>

#include "kernels/energy/image.hpp"
#include "kernels/launch.hpp"
#include "kernels/math/normal.hpp"
#include "kernels/math/ordered_sum.hpp"
#include "kernels/training/batch_rows.hpp"

namespace ebm {
namespace {

// A thread per Philox block (4 dimensions) of a point.
__global__ void gather_kernel(const __grid_constant__ GatherView v, int blocks_per_point) {
  if (v.clock->stopped != 0) return;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t i = thread / blocks_per_point;
  if (i >= v.batch) return;
  const int block = static_cast<int>(thread % blocks_per_point);
  const std::uint64_t position =
      batch_position(v.clock->iteration, v.batch_rows, static_cast<std::uint64_t>(v.first + i));
  const std::uint64_t row = DataOrder(v.seed, static_cast<std::uint64_t>(v.n_data)).row(position);
  PhiloxWords w{};
  if (v.width != nullptr) w = dequantization_words(v.seed, position, static_cast<std::uint32_t>(block));
  const std::uint32_t words[4] = {w.r0, w.r1, w.r2, w.r3};
  NormalBlock noise{};
  if (v.data_noise > 0.0f) noise = normal_block(smoothing_words(v.seed, position, static_cast<std::uint32_t>(block)));
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int d = 4 * block + k;
    if (d >= v.dim) break;
    float x = v.data[row * v.dim + d];
    if (v.width != nullptr) x = fmaf(v.width[d], unit_float(words[k]), x);
    if (v.data_noise > 0.0f) x = fmaf(v.data_noise, noise.n[k], x);
    v.batch_x[i * v.dim + d] = x;
  }
  if (block == 0 && v.labels != nullptr) v.batch_labels[i] = v.labels[row];
}

// Sums within a block are CUB's. Their order is fixed by the number of threads and terms and no atomic operation takes
// part, so a sum has the same bits in every run and on every device that runs this code.
constexpr int kNormThreads = 256;
constexpr int kSumThreads = 512;
using NormReduce = cub::BlockReduce<double, kNormThreads>;
using SumReduce = cub::BlockReduce<double, kSumThreads>;

// A block per kNormTerms parameters: the sum of their gradient's squares.
__global__ void __launch_bounds__(kNormThreads)
    square_kernel(std::uint64_t parameters, const float* gradient, const TrainingClock* clock, double* squares) {
  __shared__ NormReduce::TempStorage shared;
  if (clock->stopped != 0) return;
  const std::uint64_t first = static_cast<std::uint64_t>(blockIdx.x) * kNormTerms + threadIdx.x;
  double sum = 0.0;
#pragma unroll
  for (int i = 0; i < kNormTerms; i += kNormThreads) {
    const double g = first + i < parameters ? static_cast<double>(gradient[first + i]) : 0.0;
    sum = fma(g, g, sum);
  }
  const double total = NormReduce(shared).Sum(sum);
  if (threadIdx.x == 0) squares[blockIdx.x] = total;
}

// Chunks of rows that are in shared memory at a time: a power of two, which makes them a node of the tree.
constexpr int kSlabChunks = 32;
struct Slab {
  float rows[kSlabChunks][kChunkRows + 1];  // one more: threads read a column
  double sums[kSlabChunks];
};

// ordered_sum() of values[0 .. rows-1] in thread 0; called by the whole block. All threads fetch, then a thread adds a
// chunk. (A reduction of CUB's would be in another order, and this one is the contract.)
__device__ double ordered_sum_over_block(Slab& slab, std::int64_t rows, const float* values) {
  const std::int64_t chunks = chunks_of(rows);
  const int own = static_cast<int>(threadIdx.x);
  OrderedSum<double> tree;
  for (std::int64_t first = 0; first < chunks; first += kSlabChunks) {
    const int n = static_cast<int>(chunks - first < kSlabChunks ? chunks - first : kSlabChunks);
    const std::int64_t begin = first * kChunkRows;
    for (int i = own; i < n * kChunkRows; i += kSumThreads) {
      if (begin + i < rows) slab.rows[i / kChunkRows][i % kChunkRows] = values[begin + i];
    }
    __syncthreads();
    if (own < n) {
      const int here = static_cast<int>(rows_of_chunk(first + own, rows));
      double sum = 0.0;
      for (int i = 0; i < here; ++i) sum += static_cast<double>(slab.rows[own][i]);
      slab.sums[own] = sum;
    }
    __syncthreads();
    for (int apart = 1; apart < n; apart *= 2) {
      if (own % (2 * apart) == 0 && own + apart < n) slab.sums[own] += slab.sums[own + apart];
      __syncthreads();
    }
    tree.add(slab.sums[0]);
    __syncthreads();
  }
  return tree.total();
}

__global__ void __launch_bounds__(kSumThreads) conclude_kernel(const __grid_constant__ ConcludeView v) {
  __shared__ union {
    SumReduce::TempStorage reduce;
    Slab slab;
  } shared;
  TrainingClock& clock = v.device->clock;
  if (clock.stopped != 0) return;
  BatchSums sums;
  if (v.rules.learns) {
    double square = 0.0;
    for (std::uint64_t i = threadIdx.x; i < norm_blocks(v.parameters); i += kSumThreads) square += v.squares[i];
    sums.gradient_square = SumReduce(shared.reduce).Sum(square);
    __syncthreads();
    sums.energy_data = ordered_sum_over_block(shared.slab, v.batch, v.energy);
    sums.energy_samples = ordered_sum_over_block(shared.slab, v.batch, v.energy + v.batch);
    if (v.cross_entropy != nullptr) sums.cross_entropy = ordered_sum_over_block(shared.slab, v.batch, v.cross_entropy);
  }
  if (threadIdx.x != 0) return;
  ChainCounts& counts = v.device->counts;
  constexpr int kOwn = static_cast<int>(Move::local);
  const IterationReport report = conclude(v.rules, sums, v.batch, counts.proposed[kOwn], counts.accepted[kOwn], clock);
  v.ring[report.iteration % v.ring_size] = {report, counts};
  if (clock.stopped == 0) counts = {};
}

__global__ void update_kernel(const __grid_constant__ UpdateView v) {
  if (v.clock->stopped != 0) return;
  const std::uint64_t p = static_cast<std::uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (p >= v.net.parameters) return;
  const ImagePlace place = image_place(v.net, p);
  const AdamStep step = v.clock->adam;
  float parameter = v.parameters[p], m = v.adam_m[p], second = v.adam_v[p];
  adam_update(step, place.weight, v.clock->gradient_scale * v.gradient[p], parameter, m, second);
  v.parameters[p] = parameter;
  v.adam_m[p] = m;
  v.adam_v[p] = second;
  if (v.ema != nullptr) ema_update(step, parameter, v.ema[p]);
  v.image[place.at] = parameter;
}

}  // namespace

cudaError_t launch_gather(const GatherView& view, cudaStream_t stream) {
  const int blocks_per_point = padded(view.dim) / 4;
  const std::int64_t threads = view.batch * blocks_per_point;
  return launch(gather_kernel, static_cast<unsigned>((threads + 127) / 128), 128, 0, stream, view, blocks_per_point);
}

cudaError_t launch_conclude(const ConcludeView& view, cudaStream_t stream) {
  if (view.rules.learns) {
    const auto blocks = static_cast<unsigned>(norm_blocks(view.parameters));
    const cudaError_t code = launch(square_kernel, blocks, kNormThreads, 0, stream, view.parameters, view.gradient,
                                    &view.device->clock, view.squares);
    if (code != cudaSuccess) return code;
  }
  return launch(conclude_kernel, 1, kSumThreads, 0, stream, view);
}

cudaError_t launch_update(const UpdateView& view, cudaStream_t stream) {
  return launch(update_kernel, static_cast<unsigned>((view.net.parameters + 255) / 256), 256, 0, stream, view);
}

}  // namespace ebm
