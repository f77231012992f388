#include "kernels/energy/layered.hpp"

#include "kernels/energy/warp_row.cuh"
#include "kernels/launch.hpp"

namespace ebm {
namespace {

constexpr int kThreads = 256, kRowsPerBlock = kThreads / kLanes;

// The thread's place in a matrix walked four numbers at a time.
struct Quad {
  std::int64_t row;
  int column;
};
__device__ Quad quad_of(int quads) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  return {thread / quads, 4 * static_cast<int>(thread % quads)};
}
__device__ std::int64_t row_of_warp() {
  return static_cast<std::int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x / kLanes;
}

__global__ void __launch_bounds__(kThreads)
    copy_rows_kernel(const float* from, int from_pitch, float* to, int to_pitch, const LayeredRows size) {
  const Quad at = quad_of(padded(size.width) / 4);
  if (at.row >= size.rows) return;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int d = at.column + i;
    if (d < size.width) to[at.row * to_pitch + d] = from[at.row * from_pitch + d];
  }
}

template <ActivationKind kKind>
__global__ void __launch_bounds__(kThreads) activate_kernel(const float* z, float* a, const LayeredRows size) {
  const int pitch = padded(size.width);
  const Quad at = quad_of(pitch / 4);
  if (at.row >= size.rows) return;
  const std::int64_t first = at.row * pitch + at.column;
  const float4 own = *reinterpret_cast<const float4*>(z + first);
  *reinterpret_cast<float4*>(a + first) = make_float4(activate(kKind, own.x).value, activate(kKind, own.y).value,
                                                      activate(kKind, own.z).value, activate(kKind, own.w).value);
}

template <ActivationKind kKind>
__global__ void __launch_bounds__(kThreads) slope_kernel(const float* g, float* z, const LayeredRows size) {
  const int pitch = padded(size.width);
  const Quad at = quad_of(pitch / 4);
  if (at.row >= size.rows) return;
  const std::int64_t first = at.row * pitch + at.column;
  const float4 above = *reinterpret_cast<const float4*>(g + first);
  const float4 own = *reinterpret_cast<const float4*>(z + first);
  *reinterpret_cast<float4*>(z + first) =
      make_float4(above.x * activate(kKind, own.x).derivative, above.y * activate(kKind, own.y).derivative,
                  above.z * activate(kKind, own.z).derivative, above.w * activate(kKind, own.w).derivative);
}

// (kappa / 2) |x|^2
__device__ float confinement(const LayeredHead& head, std::int64_t row) {
  if (head.half_confinement == 0.0f) return 0.0f;
  return head.half_confinement * square_over_warp(head.x + row * padded(head.dim), head.dim);
}

template <ActivationKind kKind>
__global__ void __launch_bounds__(kThreads)
    scalar_head_kernel(const __grid_constant__ LayeredHead head, float* __restrict__ z) {
  const std::int64_t row = row_of_warp();
  if (row >= head.size.rows) return;
  const int pitch = padded(head.size.width);
  float* const own = z + row * pitch;
  float sum = 0.0f;
  // w_out is padded with zeros, and act(0) is finite.
  for (int b = lane_of_warp(); b < pitch / 4; b += kLanes) {
    float values[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const Activated a = activate(kKind, own[4 * b + i]);
      const float w = head.weight[4 * b + i];
      sum = fmaf(w, a.value, sum);
      values[i] = w * a.derivative;
    }
    if (head.slopes) *reinterpret_cast<float4*>(own + 4 * b) = make_float4(values[0], values[1], values[2], values[3]);
  }
  const float energy = (sum_over_warp(sum) + confinement(head, row)) + *head.bias;
  if (lane_of_warp() == 0) head.energy[row] = energy;
}

__global__ void __launch_bounds__(kThreads)
    logits_head_kernel(const __grid_constant__ LayeredHead head, float* __restrict__ f) {
  const std::int64_t row = row_of_warp();
  if (row >= head.size.rows) return;
  const int width = head.size.width, pitch = padded(width);
  float* const own = f + row * pitch;
  float high = -INFINITY;
  for (int y = lane_of_warp(); y < width; y += kLanes) high = fmaxf(high, own[y]);
  high = most_over_warp(high);
  float part = 0.0f;
  for (int y = lane_of_warp(); y < width; y += kLanes) part += expf(own[y] - high);
  const float total = sum_over_warp(part);
  const float energy = confinement(head, row) - (high + logf(total));
  if (lane_of_warp() == 0) head.energy[row] = energy;
  if (!head.slopes) return;
  for (int y = lane_of_warp(); y < pitch; y += kLanes) own[y] = y < width ? -expf(own[y] - high) / total : 0.0f;
}

__global__ void __launch_bounds__(kThreads)
    difference_kernel(const float* x, const float* mean, float* difference, const LayeredRows size) {
  const int pitch = padded(size.width);
  const Quad at = quad_of(pitch / 4);
  if (at.row >= size.rows) return;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int d = at.column + i;
    difference[at.row * pitch + d] = d < size.width ? x[at.row * pitch + d] - mean[d] : 0.0f;
  }
}

__global__ void __launch_bounds__(kThreads) half_square_kernel(const float* r, float* energy, const LayeredRows size) {
  const std::int64_t row = row_of_warp();
  if (row >= size.rows) return;
  const float square = square_over_warp(r + row * padded(size.width), size.width);
  if (lane_of_warp() == 0) energy[row] = 0.5f * square;
}

unsigned blocks_of(std::int64_t work, std::int64_t per_block) {
  return static_cast<unsigned>((work + per_block - 1) / per_block);
}
unsigned quad_blocks(LayeredRows size) { return blocks_of(size.rows * (padded(size.width) / 4), kThreads); }
unsigned row_blocks(LayeredRows size) { return blocks_of(size.rows, kRowsPerBlock); }

template <ActivationKind kKind>
struct KindOf {
  static constexpr ActivationKind kValue = kKind;
};
// task(KindOf<kind>{})
template <class Task>
cudaError_t with_kind(ActivationKind kind, const Task& task) {
  switch (kind) {
    case ActivationKind::silu:
      return task(KindOf<ActivationKind::silu>{});
    case ActivationKind::softplus:
      return task(KindOf<ActivationKind::softplus>{});
    case ActivationKind::tanh:
      return task(KindOf<ActivationKind::tanh>{});
    case ActivationKind::gelu:
      return task(KindOf<ActivationKind::gelu>{});
    case ActivationKind::elu:
      return task(KindOf<ActivationKind::elu>{});
    case ActivationKind::relu:
      return task(KindOf<ActivationKind::relu>{});
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t launch_copy_rows(const float* from, int from_pitch, float* to, int to_pitch, LayeredRows size,
                             cudaStream_t stream) {
  return launch(copy_rows_kernel, quad_blocks(size), kThreads, 0, stream, from, from_pitch, to, to_pitch, size);
}

cudaError_t launch_activate(ActivationKind kind, const float* z, float* a, LayeredRows size, cudaStream_t stream) {
  return with_kind(kind, [&](auto k) {
    return launch(activate_kernel<decltype(k)::kValue>, quad_blocks(size), kThreads, 0, stream, z, a, size);
  });
}

cudaError_t launch_slope(ActivationKind kind, const float* g, float* z, LayeredRows size, cudaStream_t stream) {
  return with_kind(kind, [&](auto k) {
    return launch(slope_kernel<decltype(k)::kValue>, quad_blocks(size), kThreads, 0, stream, g, z, size);
  });
}

cudaError_t launch_scalar_head(ActivationKind kind, const LayeredHead& head, float* z, cudaStream_t stream) {
  return with_kind(kind, [&](auto k) {
    return launch(scalar_head_kernel<decltype(k)::kValue>, row_blocks(head.size), kThreads, 0, stream, head, z);
  });
}

cudaError_t launch_logits_head(const LayeredHead& head, float* f, cudaStream_t stream) {
  return launch(logits_head_kernel, row_blocks(head.size), kThreads, 0, stream, head, f);
}

cudaError_t launch_difference(const float* x, const float* mean, float* difference, LayeredRows size,
                              cudaStream_t stream) {
  return launch(difference_kernel, quad_blocks(size), kThreads, 0, stream, x, mean, difference, size);
}

cudaError_t launch_half_square(const float* r, float* energy, LayeredRows size, cudaStream_t stream) {
  return launch(half_square_kernel, row_blocks(size), kThreads, 0, stream, r, energy, size);
}

}  // namespace ebm
