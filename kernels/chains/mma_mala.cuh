// Metropolis-adjusted chains of the 16 chains of a warp: the same decisions as ChainTile of chains.cu.
#pragma once

#include "kernels/chains/mma_tile.cuh"

namespace ebm {

template <class C>
struct MmaMala {
  using Tile = MmaTile<C>;
  using Pass = MmaNetworkPass<C>;
  static constexpr bool kShared = C::kState.positions_shared;
  using Positions = MmaPositions<C, kShared>;
  using Kept = MmaPositions<C, true>;

  Tile& tile;
  Positions& y;  // the proposal
  Positions gradient;
  Kept x, g;  // of the current state, g clipped
  float noise_scale;
  float energy[2] = {0.0f, 0.0f};
  float proposed[2];
  bool jump[2], difference[2];

  __device__ MmaMala(Tile& owner, Positions& positions)
      : tile(owner),
        y(positions),
        gradient(owner.own + (kShared ? 1 : 0) * 32 * Kept::kBlocks),
        x(owner.own + (kShared ? 2 : 0) * 32 * Kept::kBlocks),
        g(owner.own + (kShared ? 3 : 1) * 32 * Kept::kBlocks),
        noise_scale(sqrtf(2.0f * owner.step_size)) {}

  // From and to `y`.
  __device__ __forceinline__ void run() {
    Tile::each([&](int i, int h) { x.set(i, h, y.get(i, h)); });
    // Steps -2 and -1 evaluate where the chains stand (the second only after a restart); one body serves all.
#pragma unroll 1
    for (std::int64_t s = -2; s < tile.a.n_steps; ++s) {
      const std::uint64_t offset = s < 0 ? 0 : static_cast<std::uint64_t>(s);
      jump[0] = jump[1] = difference[0] = difference[1] = false;
      if (s >= 0) propose(offset);
      evaluate();
      if (s >= 0) {
        decide(offset);
      } else if (!enter(s == -1)) {
        s = -1;
      }
    }
    Tile::each([&](int i, int h) { y.set(i, h, x.get(i, h)); });
  }

 private:
  // E of y and its gradient.
  __device__ __forceinline__ void evaluate() {
    typename C::Input input;
    Tile::each([&](int i, int h) { put_positions(input, i, h, y.get(i, h)); });
    float partial[2];
    const float kappa = 2.0f * tile.network.half_confinement, unscale = tile.network.unscale;
    tile.network.template evaluate<true>(input, partial, [&](int i, int h, float4 sum) {
      const float4 at = y.get(i, h);
      gradient.set(i, h,
                   {fmaf(kappa, at.x, unscale * sum.x), fmaf(kappa, at.y, unscale * sum.y),
                    fmaf(kappa, at.z, unscale * sum.z), fmaf(kappa, at.w, unscale * sum.w)});
    });
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float square = 0.0f;
#pragma unroll
      for (int i = 0; i < C::kGroups; ++i) {
        const float4 v = y.get(i, h);
        square = fmaf(v.w, v.w, fmaf(v.z, v.z, fmaf(v.y, v.y, fmaf(v.x, v.x, square))));
      }
      const float part = fmaf(tile.network.half_confinement, square, unscale * partial[h]);
      proposed[h] = Pass::quad_sum(part) + tile.network.out_bias;
    }
  }

  // 0, or NaN when an element is not finite.
  __device__ __forceinline__ static float trouble_of(float4 v) {
    return fmaf(0.0f, v.x, fmaf(0.0f, v.y, fmaf(0.0f, v.z, 0.0f * v.w)));
  }

  // A chain that does not stand on finite ground is restarted, once; if that is no better it gets infinite energy and
  // no drift, so that its first finite proposal is taken. False when no chain needs the second look.
  __device__ bool enter(bool last) {
    bool bad[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float trouble = 0.0f * proposed[h];
#pragma unroll
      for (int i = 0; i < C::kGroups; ++i) trouble += trouble_of(y.get(i, h)) + trouble_of(gradient.get(i, h));
      bad[h] = Pass::quad_any(trouble != 0.0f, tile.lane);
      energy[h] = bad[h] ? __int_as_float(0x7f800000) : proposed[h];
      if (bad[h] && !last) tile.restart(y, h, tile.chain[h].step);
    }
    Tile::each([&](int i, int h) {
      x.set(i, h, y.get(i, h));
      g.set(i, h, bad[h] ? make_float4(0.0f, 0.0f, 0.0f, 0.0f) : tile.clip(gradient.get(i, h)));
    });
    return __any_sync(0xFFFFFFFFu, bad[0] || bad[1]);
  }

  __device__ __forceinline__ void propose(std::uint64_t offset) {
    const StepView& p = tile.a.step;
    const int dim = tile.a.net.dim;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const std::uint64_t step = tile.chain[h].step + offset;
      if (p.jump_prob > 0.0f || p.difference_prob > 0.0f) {
        const PhiloxWords w = tile.words(Purpose::move, h, step, 0);
        jump[h] = unit_float(w.r0) < p.jump_prob;
        difference[h] = !jump[h] && unit_float(w.r1) < p.difference_prob;
      }
      if (jump[h]) {
        tile.start_uniform(y, h, step);
        continue;
      }
      if (difference[h]) {
        const PhiloxWords w = tile.words(Purpose::difference, h, step, 0);
        const float* a = p.data + static_cast<std::size_t>(index_below(w.r0, p.n_data)) * dim;
        const float* b = p.data + static_cast<std::size_t>(index_below(w.r1, p.n_data)) * dim;
        const auto between = [&](int d) { return d < dim ? a[d] - b[d] : 0.0f; };
#pragma unroll
        for (int i = 0; i < C::kGroups; ++i) {
          const float4 from = x.get(i, h);
          const int d = tile.dimension(i, 0);
          y.set(i, h, {from.x + between(d), from.y + between(d + 1), from.z + between(d + 2), from.w + between(d + 3)});
        }
        continue;
      }
#pragma unroll
      for (int i = 0; i < C::kGroups; ++i) {
        if (!tile.group_real(i)) continue;
        const NormalBlock n = tile.noise(h, step, i);
        const float4 from = x.get(i, h), slope = g.get(i, h);
        const auto moved = [&](float at, float downhill, float noise) {
          return fmaf(noise_scale, noise, fmaf(-tile.step_size, downhill, at));
        };
        y.set(i, h,
              tile.masked(i, {moved(from.x, slope.x, n.n[0]), moved(from.y, slope.y, n.n[1]),
                              moved(from.z, slope.z, n.n[2]), moved(from.w, slope.w, n.n[3])}));
      }
    }
  }

  // One dimension's share of the log of the ratio of proposal densities, the difference of squares multiplied out; see
  // chains.cu.
  __device__ __forceinline__ float log_q(float from, float to, float g_x, float g_y) const {
    return fmaf(0.25f * tile.step_size, g_x - g_y, 0.5f * (to - from)) * (g_x + g_y);
  }
  // Whether the block from x to y breaks a limit.
  __device__ __forceinline__ bool outside(int i, float4 from, float4 to, bool jumps) const {
    const StepView& p = tile.a.step;
    bool out = jumps && fmaxf(fmaxf(fabsf(from.x), fabsf(from.y)), fmaxf(fabsf(from.z), fabsf(from.w))) > kStartRadius;
    if (p.clamp_lo != nullptr) {
      const float v[4] = {to.x, to.y, to.z, to.w};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int d = tile.dimension(i, e);
        out = out || (tile.real(i, e) && (v[e] < p.clamp_lo[d] || v[e] > p.clamp_hi[d]));
      }
    }
    return out;
  }

  __device__ __forceinline__ void decide(std::uint64_t offset) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float log_ratio = 0.0f, trouble = 0.0f * proposed[h];
      bool refused = false;
#pragma unroll
      for (int i = 0; i < C::kGroups; ++i) {
        const float4 from = x.get(i, h), to = y.get(i, h), raw = gradient.get(i, h);
        const float4 g_x = g.get(i, h), g_y = tile.clip(raw);
        trouble += trouble_of(raw) + trouble_of(to);
        refused = refused || outside(i, from, to, jump[h]);
        log_ratio += (log_q(from.x, to.x, g_x.x, g_y.x) + log_q(from.y, to.y, g_x.y, g_y.y)) +
                     (log_q(from.z, to.z, g_x.z, g_y.z) + log_q(from.w, to.w, g_x.w, g_y.w));
      }
      refused = Pass::quad_any(refused || trouble != 0.0f, tile.lane);
      const bool local = !jump[h] && !difference[h];
      log_ratio = Pass::quad_sum(log_ratio);
      const float log_a = (energy[h] - proposed[h]) + (local ? log_ratio : 0.0f);
      const float log_u = log_unit(tile.words(Purpose::accept, h, tile.chain[h].step + offset, 0).r0);
      const bool accepted = !refused && log_u < log_a;
      if (accepted) {
        energy[h] = proposed[h];
#pragma unroll
        for (int i = 0; i < C::kGroups; ++i) {
          x.set(i, h, y.get(i, h));
          g.set(i, h, tile.clip(gradient.get(i, h)));
        }
      }
      if (tile.t == 0 && tile.chain[h].exists) {
        tile.counter.count(Move::local, local, accepted);
        tile.counter.count(Move::jump, jump[h], accepted);
        tile.counter.count(Move::difference, difference[h], accepted);
      }
    }
  }
};

}  // namespace ebm
