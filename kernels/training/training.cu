// See training.hpp.
#include "kernels/energy/image.hpp"
#include "kernels/math/learning_rate.hpp"
#include "kernels/math/ordered_sum.hpp"
#include "kernels/math/permutation.hpp"
#include "kernels/training/training.hpp"

namespace ebm {
namespace {

// A thread per Philox block (4 dimensions) of a point.
__global__ void gather_kernel(const __grid_constant__ GatherView v, int blocks_per_point) {
  if (v.clock->stopped != 0) return;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t i = thread / blocks_per_point;
  if (i >= v.batch) return;
  const int block = static_cast<int>(thread % blocks_per_point);
  const auto position = static_cast<std::uint64_t>(v.clock->iteration * v.batch + i);
  const auto n = static_cast<std::uint64_t>(v.n_data);
  const auto order = Permutation::make(v.seed, Purpose::data_order, position / n, n);
  const std::uint64_t row = order(position % n);
  PhiloxWords w{};
  if (v.width != nullptr) w = philox(v.seed, Purpose::data_noise, position, 0, static_cast<std::uint32_t>(block));
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

constexpr int kJudgeThreads = 512;

// The sum of f(i) over 0 .. n-1 in thread 0: strided over threads, then halved, always in the same order.
template <class Term>
__device__ double sum_over_block(double* shared, std::int64_t n, Term&& f) {
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < n; i += kJudgeThreads) sum += f(i);
  shared[threadIdx.x] = sum;
  __syncthreads();
  for (int half = kJudgeThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  const double total = shared[0];
  __syncthreads();
  return total;
}

// ordered_sum() of values[0 .. rows-1] in thread 0. A thread takes a chunk; runs of kJudgeThreads chunks, a power of
// two, are nodes of the tree.
__device__ double ordered_sum_over_block(double* shared, std::int64_t rows, const float* values) {
  const std::int64_t chunks = chunks_of(rows);
  const int own = static_cast<int>(threadIdx.x);
  OrderedSum<double> tree;
  for (std::int64_t first = 0; first < chunks; first += kJudgeThreads) {
    const int n = static_cast<int>(chunks - first < kJudgeThreads ? chunks - first : kJudgeThreads);
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

__device__ AdamStep adam_step(const JudgeView& v, std::int64_t iteration) {
  const double rate = learning_rate(static_cast<double>(v.learning_rate), v.warmup, v.decay, iteration, v.iterations);
  const auto t = static_cast<double>(iteration + 1);
  AdamStep step{};
  step.rate = static_cast<float>(rate);
  step.beta1 = v.beta1;
  step.beta2 = v.beta2;
  step.epsilon = v.epsilon;
  step.correction1 = static_cast<float>(1.0 / (1.0 - pow(static_cast<double>(v.beta1), t)));
  step.correction2 = static_cast<float>(1.0 / (1.0 - pow(static_cast<double>(v.beta2), t)));
  step.decay = static_cast<float>(rate * static_cast<double>(v.weight_decay));
  step.ema = static_cast<float>(ema_decay(static_cast<double>(v.ema), iteration));
  return step;
}

__device__ void adapt_step_size(const JudgeView& v) {
  const ChainCounts& counts = v.clock->counts;
  constexpr int kLocal = static_cast<int>(Move::local);
  if (v.target_acceptance < 0.0f || counts.proposed[kLocal] == 0) return;
  const double acceptance = static_cast<double>(counts.accepted[kLocal]) / static_cast<double>(counts.proposed[kLocal]);
  const double log_step = log(static_cast<double>(v.clock->step_size)) +
                          kStepSizeGain * (acceptance - static_cast<double>(v.target_acceptance));
  v.clock->step_size = static_cast<float>(fmin(fmax(exp(log_step), kSmallestStepSize), kLargestStepSize));
}

__global__ void __launch_bounds__(kJudgeThreads) judge_kernel(const __grid_constant__ JudgeView v) {
  __shared__ double shared[kJudgeThreads];
  TrainingClock& clock = *v.clock;
  if (clock.stopped != 0) return;
  const double square = sum_over_block(shared, static_cast<std::int64_t>(v.parameters), [&](std::int64_t p) {
    const auto g = static_cast<double>(v.gradient[p]);
    return g * g;
  });
  const double data = ordered_sum_over_block(shared, v.batch, v.energy);
  const double samples = ordered_sum_over_block(shared, v.batch, v.energy + v.batch);
  const double cross_entropy =
      v.cross_entropy == nullptr ? 0.0 : ordered_sum_over_block(shared, v.batch, v.cross_entropy);
  if (threadIdx.x != 0) return;

  const auto count = static_cast<double>(v.batch);
  double norm = sqrt(square);
  const bool finite = isfinite(norm + data + samples);
  if (!finite) norm = nan("");
  const std::int64_t iteration = clock.iteration;
  v.ring[iteration % v.ring_size] = {iteration,   data / count,          samples / count,
                                     norm,        cross_entropy / count, static_cast<double>(clock.step_size),
                                     clock.counts};
  if (!finite) {
    clock.stopped = 1;
    return;
  }
  clock.adam = adam_step(v, iteration);
  const auto limit = static_cast<double>(v.grad_norm_clip);
  clock.gradient_scale = limit > 0.0 && norm > limit ? static_cast<float>(limit / norm) : 1.0f;
  adapt_step_size(v);
  clock.counts = {};
  clock.iteration = iteration + 1;
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

cudaError_t launch_judge(const JudgeView& view, cudaStream_t stream) {
  judge_kernel<<<1, kJudgeThreads, 0, stream>>>(view);
  return cudaGetLastError();
}

cudaError_t launch_update(const UpdateView& view, cudaStream_t stream) {
  update_kernel<<<static_cast<unsigned>((view.net.parameters + 255) / 256), 256, 0, stream>>>(view);
  return cudaGetLastError();
}

}  // namespace ebm
