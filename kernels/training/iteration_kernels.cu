// See iteration_kernels.hpp.
#include "kernels/training/iteration_kernels.hpp"

#include "kernels/energy/image.hpp"
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
  const std::uint64_t position = batch_position(v.clock->iteration, v.batch, static_cast<std::uint64_t>(i));
  const std::uint64_t row = DataOrder(v.seed, static_cast<std::uint64_t>(v.n_data)).row(position);
  PhiloxWords w{};
  if (v.width != nullptr) w = dequantization_words(v.seed, position, static_cast<std::uint32_t>(block));
  const std::uint32_t words[4] = {w.r0, w.r1, w.r2, w.r3};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int d = 4 * block + k;
    if (d >= v.dim) break;
    float x = v.data[row * v.dim + d];
    if (v.width != nullptr) x = fmaf(v.width[d], unit_float(words[k]), x);
    v.batch_x[i * v.dim + d] = x;
  }
  if (block == 0 && v.labels != nullptr) v.batch_labels[i] = v.labels[row];
}

constexpr int kSumThreads = 512;

// The sum of f(i) over 0 .. n-1 in thread 0: strided over threads, then halved, always in the same order.
template <class Term>
__device__ double sum_over_block(double* shared, std::int64_t n, Term&& f) {
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < n; i += kSumThreads) sum += f(i);
  shared[threadIdx.x] = sum;
  __syncthreads();
  for (int half = kSumThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  const double total = shared[0];
  __syncthreads();
  return total;
}

// ordered_sum() of values[0 .. rows-1] in thread 0. A thread takes a chunk; runs of kSumThreads chunks, a power of
// two, are nodes of the tree.
__device__ double ordered_sum_over_block(double* shared, std::int64_t rows, const float* values) {
  const std::int64_t chunks = chunks_of(rows);
  const int own = static_cast<int>(threadIdx.x);
  OrderedSum<double> tree;
  for (std::int64_t first = 0; first < chunks; first += kSumThreads) {
    const int n = static_cast<int>(chunks - first < kSumThreads ? chunks - first : kSumThreads);
    if (own < n) {
      const float* const mine = values + (first + own) * kChunkRows;
      double sum = 0.0;
      for (int i = 0; i < rows_of_chunk(first + own, rows); ++i) sum += static_cast<double>(mine[i]);
      shared[own] = sum;
    }
    __syncthreads();
    for (int apart = 1; apart < n; apart *= 2) {
      if (own % (2 * apart) == 0 && own + apart < n) shared[own] += shared[own + apart];
      __syncthreads();
    }
    tree.add(shared[0]);
    __syncthreads();
  }
  return tree.total();
}

__global__ void __launch_bounds__(kSumThreads) conclude_kernel(const __grid_constant__ ConcludeView v) {
  __shared__ double shared[kSumThreads];
  TrainingClock& clock = v.device->clock;
  if (clock.stopped != 0) return;
  BatchSums sums;
  if (v.rules.learns) {
    sums.gradient_square = sum_over_block(shared, static_cast<std::int64_t>(v.parameters), [&](std::int64_t p) {
      const auto g = static_cast<double>(v.gradient[p]);
      return g * g;
    });
    sums.energy_data = ordered_sum_over_block(shared, v.batch, v.energy);
    sums.energy_samples = ordered_sum_over_block(shared, v.batch, v.energy + v.batch);
    if (v.cross_entropy != nullptr) sums.cross_entropy = ordered_sum_over_block(shared, v.batch, v.cross_entropy);
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
  gather_kernel<<<static_cast<unsigned>((threads + 127) / 128), 128, 0, stream>>>(view, blocks_per_point);
  return cudaGetLastError();
}

cudaError_t launch_conclude(const ConcludeView& view, cudaStream_t stream) {
  conclude_kernel<<<1, kSumThreads, 0, stream>>>(view);
  return cudaGetLastError();
}

cudaError_t launch_update(const UpdateView& view, cudaStream_t stream) {
  update_kernel<<<static_cast<unsigned>((view.net.parameters + 255) / 256), 256, 0, stream>>>(view);
  return cudaGetLastError();
}

}  // namespace ebm
