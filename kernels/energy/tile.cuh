// Products of a weight matrix with a tile of chains: the arithmetic under every kernel here.
//
// A tile is an array [rows][Tile], chains along the fast axis, worked on by a block of 8 Tile threads. Each thread
// makes 4 units for 4 chains; a unit's sum runs over its inputs in order, so its bits depend on the chain's column and
// the weights only. With Tile = 32 every shared-memory access of the inner loops is free of bank conflicts.
#pragma once

#include "kernels/energy/network.hpp"

namespace ebm {

constexpr int kParts = 8;  // threads that share a chain in elementwise work and sums

// Where a thread stands: chain and part for elementwise work, a quad of chains and a unit for products.
template <int Tile>
struct Lane {
  int chain, part;
  int quad;  // first of the thread's 4 chains
  int unit;  // 0 .. 31
  __device__ Lane()
      : chain(threadIdx.x % Tile),
        part(threadIdx.x / Tile),
        quad(4 * (threadIdx.x % (Tile / 4))),
        unit(threadIdx.x / (Tile / 4)) {}
};

__device__ inline float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
__device__ inline void store4(float* p, float4 v) { *reinterpret_cast<float4*>(p) = v; }

__device__ inline void multiply_add(float w, const float4& a, float4& sum) {
  sum.x = fmaf(w, a.x, sum.x);
  sum.y = fmaf(w, a.y, sum.y);
  sum.z = fmaf(w, a.z, sum.z);
  sum.w = fmaf(w, a.w, sum.w);
}

// For every unit u of 0 .. out_pad-1: epilogue(u, bias[u] + sum_k w[u, k] input[k, quad .. quad+3]).
template <int Tile, class Epilogue>
__device__ void multiply(const Lane<Tile>& lane, const LayerView& layer, const float* w, const float* bias,
                         const float* input, Epilogue&& epilogue) {
  const int units = layer.out_pad / 4;  // a thread's 4 units are this far apart: neighbours read neighbouring rows
  for (int u = lane.unit; u < units; u += 32) {
    float4 sum[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float b = bias[u + i * units];
      sum[i] = make_float4(b, b, b, b);
    }
    const float* row = w + static_cast<std::size_t>(u) * layer.pitch;
    const std::size_t stride = static_cast<std::size_t>(units) * layer.pitch;
#pragma unroll 2
    for (int k = 0; k < layer.in_pad; k += 4) {
      const float* a = input + static_cast<std::size_t>(k) * Tile + lane.quad;
      const float4 a0 = load4(a), a1 = load4(a + Tile), a2 = load4(a + 2 * Tile), a3 = load4(a + 3 * Tile);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float4 v = load4(row + i * stride + k);
        multiply_add(v.x, a0, sum[i]);
        multiply_add(v.y, a1, sum[i]);
        multiply_add(v.z, a2, sum[i]);
        multiply_add(v.w, a3, sum[i]);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) epilogue(u + i * units, sum[i]);
  }
}

// For every input k of 0 .. in_pad-1: epilogue(k, sum_u w[u, k] delta[u, quad .. quad+3]).
template <int Tile, class Epilogue>
__device__ void multiply_transposed(const Lane<Tile>& lane, const LayerView& layer, const float* w, const float* delta,
                                    Epilogue&& epilogue) {
  for (int k = 4 * lane.unit; k < layer.in_pad; k += 4 * 32) {
    float4 sum[4] = {};
#pragma unroll 4
    for (int u = 0; u < layer.out_pad; ++u) {
      const float4 v = load4(w + static_cast<std::size_t>(u) * layer.pitch + k);
      const float4 d = load4(delta + static_cast<std::size_t>(u) * Tile + lane.quad);
      multiply_add(v.x, d, sum[0]);
      multiply_add(v.y, d, sum[1]);
      multiply_add(v.z, d, sum[2]);
      multiply_add(v.w, d, sum[3]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) epilogue(k + i, sum[i]);
  }
}

// Adds the kParts partial sums of a chain in one fixed order. `parts` is [kParts][Tile].
template <int Tile>
__device__ float sum_parts(const float* parts, int chain) {
  const float* p = parts + chain;
  return ((p[0] + p[Tile]) + (p[2 * Tile] + p[3 * Tile])) + ((p[4 * Tile] + p[5 * Tile]) + (p[6 * Tile] + p[7 * Tile]));
}

}  // namespace ebm
