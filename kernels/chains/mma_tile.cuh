// The 16 chains of a warp: where they come from, their random numbers, where they go. What both transitions need.
#pragma once

#include "kernels/chains/chain_source.cuh"
#include "kernels/chains/mma_chains.hpp"
#include "kernels/energy/mma_network.cuh"

namespace ebm {

template <class C>
struct MmaTile {
  const MmaArguments& a;
  const MmaNetworkPass<C>& network;
  Counter& counter;
  float step_size;
  float4* own;  // this lane's blocks of 4 for positions, 32 apart
  int lane, t;
  Chain chain[2];

  // A lane's dimensions beyond D hold zeros; with an exact shape there are none.
  __device__ __forceinline__ int dimension(int i, int e) const { return 16 * i + 4 * t + e; }
  __device__ __forceinline__ bool real(int i, int e) const { return C::kShape.exact || dimension(i, e) < a.net.dim; }
  __device__ __forceinline__ bool group_real(int i) const { return C::kShape.exact || 16 * i < a.net.dim; }

  __device__ PhiloxWords words(Purpose purpose, int h, std::uint64_t step, int block) const {
    return philox(a.chains.seed, purpose, chain[h].id, step, static_cast<std::uint32_t>(block));
  }
  __device__ __forceinline__ NormalBlock noise(int h, std::uint64_t step, int i) const {
    const PhiloxWords w = words(Purpose::langevin_noise, h, step, 4 * i + t);
#if defined(__CUDA_ARCH__)
    if constexpr (C::kFast) return fast_normal_block(w);
#endif
    return normal_block(w);
  }
  __device__ __forceinline__ float clip(float g) const { return fminf(fmaxf(g, -a.step.grad_clip), a.step.grad_clip); }
  __device__ __forceinline__ float4 clip(float4 g) const { return {clip(g.x), clip(g.y), clip(g.z), clip(g.w)}; }
  // Zeros beyond D.
  __device__ __forceinline__ float4 masked(int i, float4 v) const {
    if constexpr (!C::kShape.exact) {
      v = {real(i, 0) ? v.x : 0.0f, real(i, 1) ? v.y : 0.0f, real(i, 2) ? v.z : 0.0f, real(i, 3) ? v.w : 0.0f};
    }
    return v;
  }

  // f(i, h) over this lane's blocks of 4.
  template <class Block>
  __device__ __forceinline__ static void each(Block&& f) {
#pragma unroll
    for (int i = 0; i < C::kGroups; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) f(i, h);
    }
  }

  template <class Positions>
  __device__ __forceinline__ void start_uniform(Positions& x, int h, std::uint64_t step) const {
#pragma unroll
    for (int i = 0; i < C::kGroups; ++i) {
      if (!group_real(i)) continue;
      const PhiloxWords w = words(Purpose::initial_position, h, step, 4 * i + t);
      x.set(i, h, masked(i, {uniform_start(w.r0), uniform_start(w.r1), uniform_start(w.r2), uniform_start(w.r3)}));
    }
  }

  template <class Positions>
  __device__ void load(Positions& x) const {
    const float* from = a.chains.source == ChainSource::data ? a.chains.batch : a.chains.x;
    each([&](int i, int h) {
      float v[4] = {};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (!chain[h].exists || chain[h].fresh || dimension(i, e) >= a.net.dim) continue;
        v[e] = from[chain[h].row * a.net.dim + dimension(i, e)];
      }
      x.set(i, h, make_float4(v[0], v[1], v[2], v[3]));
    });
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (chain[h].fresh) start_uniform(x, h, chain[h].step);
      if (t == 0) counter.reinitialized += chain[h].reinitialized;
    }
  }

  template <class Positions>
  __device__ void store(const Positions& x, std::int64_t first) const {
    each([&](int i, int h) {
      if (!chain[h].exists) return;
      const float4 block = x.get(i, h);
      const float v[4] = {block.x, block.y, block.z, block.w};
      const std::int64_t index = first + lane / 4 + 8 * h;
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int d = dimension(i, e);
        if (d >= a.net.dim) continue;
        if (a.chains.x != nullptr) a.chains.x[chain[h].row * a.net.dim + d] = v[e];
        if (a.chains.batch != nullptr) a.chains.batch[(a.chains.n + index) * a.net.dim + d] = v[e];
      }
    });
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (!chain[h].exists || t != 0 || a.chains.steps == nullptr) continue;
      a.chains.steps[chain[h].row] = chain[h].step + static_cast<std::uint64_t>(a.n_steps);
    }
  }

  template <class Positions>
  __device__ void restart(Positions& x, int h, std::uint64_t step) const {
    start_uniform(x, h, step);
    if (t != 0 || !chain[h].exists) return;
    ++counter.restarts;
    if (a.chains.restarted != nullptr) a.chains.restarted[chain[h].row] = 1;
  }
};

}  // namespace ebm
