// A row of numbers served by a warp: lane i has blocks i, i + 32, ... of four numbers.
#pragma once

#include "kernels/energy/network.hpp"

namespace ebm {

constexpr int kLanes = 32;

__device__ __forceinline__ int lane_of_warp() { return static_cast<int>(threadIdx.x) % kLanes; }

// In every lane, added in one order.
__device__ __forceinline__ float sum_over_warp(float part) {
#pragma unroll
  for (int apart = kLanes / 2; apart > 0; apart /= 2) part += __shfl_xor_sync(0xFFFFFFFFu, part, apart);
  return part;
}
__device__ __forceinline__ float most_over_warp(float part) {
#pragma unroll
  for (int apart = kLanes / 2; apart > 0; apart /= 2) part = fmaxf(part, __shfl_xor_sync(0xFFFFFFFFu, part, apart));
  return part;
}

// |row|^2 of `width` numbers, in every lane.
__device__ __forceinline__ float square_over_warp(const float* row, int width) {
  float sum = 0.0f;
  for (int b = lane_of_warp(); b < padded(width) / 4; b += kLanes) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (4 * b + i < width) sum = fmaf(row[4 * b + i], row[4 * b + i], sum);
    }
  }
  return sum_over_warp(sum);
}

}  // namespace ebm
