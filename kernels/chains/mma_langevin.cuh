// Langevin dynamics of the 16 chains of a warp.
#pragma once

#include "kernels/chains/mma_tile.cuh"

namespace ebm {

template <class C>
struct MmaLangevin {
  using Positions = MmaPositions<C, C::kState.positions_shared>;

  MmaTile<C>& tile;
  Positions& x;
  // x - step_size (kappa x + unscale g) in two roundings.
  float toward_origin, downhill;

  __device__ MmaLangevin(MmaTile<C>& owner, Positions& positions)
      : tile(owner),
        x(positions),
        toward_origin(-2.0f * owner.network.half_confinement * owner.step_size),
        downhill(-owner.network.unscale * owner.step_size) {}

  // The inner loop does nothing but steps: a chain in trouble ends it, is restarted outside, and the loop goes on. That
  // keeps the rare work out of the registers and the instruction cache of the common one.
  __device__ __forceinline__ void run() {
    typename C::Input input;
    std::int64_t s = 0;
    while (s < tile.a.n_steps) {
      MmaTile<C>::each([&](int i, int h) { put_positions(input, i, h, x.get(i, h)); });
      float trouble[2];  // 0 while everything is finite, else NaN
      do {
        step(s, input, trouble);
        ++s;
        // NaN is unequal to everything.
      } while (!__any_sync(0xFFFFFFFFu, trouble[0] != 0.0f || trouble[1] != 0.0f) && s < tile.a.n_steps);
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        if (MmaNetworkPass<C>::quad_any(trouble[h] != 0.0f, tile.lane)) {
          tile.restart(x, h, tile.chain[h].step + static_cast<std::uint64_t>(s - 1));
        }
      }
    }
  }

 private:
  __device__ __forceinline__ void step(std::int64_t s, typename C::Input& input, float (&trouble)[2]) {
    // Not a constant of the loop to the compiler, which would keep the rounds of Philox that depend on it in registers.
    asm volatile("" : "+l"(tile.chain[0].id), "+l"(tile.chain[1].id));
    trouble[0] = trouble[1] = 0.0f;
    float unused[2];
    tile.network.template evaluate<false>(input, unused, [&](int i, int h, float4 g) {
      if (!tile.group_real(i)) return;
      const NormalBlock n = tile.noise(h, tile.chain[h].step + static_cast<std::uint64_t>(s), i);
      const float4 from = x.get(i, h);
      const float4 next = tile.masked(i, {moved(from.x, g.x, n.n[0], i, 0, trouble[h]),  //
                                          moved(from.y, g.y, n.n[1], i, 1, trouble[h]),  //
                                          moved(from.z, g.z, n.n[2], i, 2, trouble[h]),  //
                                          moved(from.w, g.w, n.n[3], i, 3, trouble[h])});
      x.set(i, h, next);
      put_positions(input, i, h, next);
    });
  }

  __device__ __forceinline__ float moved(float from, float g, float n, int i, int e, float& trouble) const {
    const StepView& p = tile.a.step;
    if constexpr (C::kVariant.limited) {
      const float whole = fmaf(2.0f * tile.network.half_confinement, from, tile.network.unscale * g);
      float next = fmaf(p.noise_scale, n, fmaf(-tile.step_size, tile.clip(whole), from));
      // A clipped gradient or a clamped position may look sound.
      trouble = fmaf(0.0f, next, fmaf(0.0f, whole, trouble));
      if (p.clamp_lo != nullptr && tile.real(i, e)) {
        next = fminf(fmaxf(next, p.clamp_lo[tile.dimension(i, e)]), p.clamp_hi[tile.dimension(i, e)]);
      }
      return next;
    } else {
      const float next = fmaf(p.noise_scale, n, fmaf(downhill, g, fmaf(toward_origin, from, from)));
      trouble = fmaf(0.0f, next, trouble);
      return next;
    }
  }
};

}  // namespace ebm
