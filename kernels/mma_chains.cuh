// Chains on tensor cores, register-chained: one warp owns 16 chains for all K steps, activations never leave registers,
// weights are copied to shared memory once per block, and no barrier stands in the step loop.
//
// Lane 4 row + t owns dimensions 16 i + 4t .. + 3 of chains `row` and `row + 8`, for each group i of 16 dimensions: one
// Philox block each, no shuffles. For that the first W's columns are permuted within a group: column 8h + 2t + e of a
// group is dimension 4t + 2h + e. E is summed over a quad of lanes in a fixed order. A chain's arithmetic is that of
// its row of the products, which depends neither on the row nor on the other rows.
//
// Metropolis-adjusted chains need E at single-precision grade: their forward pass is always split (Terms 3), so that
// fp16 there means a half-precision gradient, which costs acceptance but no exactness.
#pragma once

#include "kernels/chain_source.cuh"
#include "kernels/mma.cuh"
#include "kernels/mma_chains.hpp"

namespace ebm {

constexpr int kRows = 16;  // chains per warp
constexpr int kTiles = 4;  // n-tiles of 8 units worked on at a time

// (dim, width, hidden layers, terms of the forward and of the backward products, transition)
template <int D, int H, int L, int Forward, int Backward, bool Mala>
struct MmaConfig {
  static constexpr int kDim = D, kWidth = H, kLayers = L, kForward = Forward, kBackward = Backward;
  static constexpr bool kMala = Mala;
  static constexpr ActivationKind kActivation = kMmaActivation;
  static constexpr bool kFast = Forward == 1;         // half grade throughout
  static constexpr bool kWideSlopes = Backward == 3;  // act' in single precision, in shared memory
  static constexpr int kPitch0 = D + kMmaPad, kPitch = H + kMmaPad;
  static constexpr int kMatrix0 = H * kPitch0 * 2, kMatrix = H * kPitch * 2;  // bytes
  static constexpr int kHidden = kMatrix0 + (L - 1) * kMatrix;
  // Shared words per lane: act' of all but the last layer; x and g of the current state.
  static constexpr int kSlopeWords = kWideSlopes ? (L - 1) * H / 2 : 0;
  static constexpr int kStateWords = Mala ? D : 0;
  static constexpr int kWarpBytes = (kSlopeWords + kStateWords) * 32 * 4;
  static constexpr int kMostWarps = mma_most_warps(Backward == 3, Mala);
};

template <class C>
__device__ __forceinline__ void activate_tile(float (&z)[kTiles][4], float (&slope)[kTiles][4]) {
#pragma unroll
  for (int j = 0; j < kTiles; ++j) {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const Activated r = C::kFast ? fast_activate(C::kActivation, z[j][q]) : activate(C::kActivation, z[j][q]);
      z[j][q] = r.value;
      slope[j][q] = r.derivative;
    }
  }
}

template <class C>
struct MmaEvaluator {
  static constexpr int D = C::kDim, H = C::kWidth, L = C::kLayers;
  using Positions = float[D / 8][4];  // n-tile pairs: see the head of the file

  std::uint32_t weights, floats;  // shared addresses: W; this lane's pair of the first bias
  std::uint32_t lo_offset;
  float* slopes;  // this lane's, 32 apart
  float half_confinement, out_bias, unscale;
  int lane;

  __device__ __forceinline__ std::uint32_t matrix(int l) const {
    return weights + (l == 0 ? 0 : C::kMatrix0 + (l - 1) * C::kMatrix);
  }
  __device__ __forceinline__ float2 bias(int l, int tile) const { return load_pair(floats + (l * H + tile * 8) * 4); }

  // E of both rows when `WantEnergy`; emit(i, h, g0, g1, g2, g3): gradient of dimensions 16 i + 4 t .. of row half h.
  template <bool WantEnergy, class Emit>
  __device__ __forceinline__ void evaluate(const Positions& x, float (&energy)[2], Emit&& emit) const {
    std::uint32_t narrow[C::kWideSlopes ? 1 : L - 1][H / 16][4];  // act' of all layers but the last, in halves
    Operand<H, C::kForward> a;
    Operand<H, C::kBackward> g;
    float partial[2] = {0.0f, 0.0f};
    {
      Operand<D, C::kForward> input;
#pragma unroll
      for (int j = 0; j < D / 8; ++j) {
        input.put(j, 0, x[j][0], x[j][1]);
        input.put(j, 1, x[j][2], x[j][3]);
      }
      hidden<D, C::kPitch0, 0, WantEnergy>(input, a, g, narrow, partial);
    }
    if constexpr (L > 2) {
      Operand<H, C::kForward> next;
      hidden<H, C::kPitch, 1, WantEnergy>(a, next, g, narrow, partial);
      hidden<H, C::kPitch, 2, WantEnergy>(next, a, g, narrow, partial);
    } else {
      hidden<H, C::kPitch, 1, WantEnergy>(a, a, g, narrow, partial);
    }
    if constexpr (WantEnergy) {
      finish_energy(x, partial, energy);
    }
#pragma unroll
    for (int l = L - 1; l >= 1; --l) {
      Operand<H, C::kBackward> below;
#pragma unroll
      for (int first = 0; first < H / 8; first += kTiles) {
        float sum[kTiles][4] = {};
        multiply_tiles<H, C::kPitch, kTiles, C::kBackward, true>(sum, g, matrix(l), lo_offset, first, lane);
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int h = 0; h < 2; ++h) times_slope(l - 1, first + j, h, sum[j][2 * h], sum[j][2 * h + 1], narrow, below);
        }
      }
      g = below;
    }
#pragma unroll
    for (int first = 0; first < D / 8; first += 2) {
      float sum[2][4] = {};
      multiply_tiles<H, C::kPitch0, 2, C::kBackward, true>(sum, g, matrix(0), lo_offset, first, lane);
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float v[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          v[e] = fmaf(2.0f * half_confinement, x[first + e / 2][2 * h + e % 2], unscale * sum[e / 2][2 * h + e % 2]);
        }
        emit(first / 2, h, v[0], v[1], v[2], v[3]);
      }
    }
  }

 private:
  // Layer l: the next operand and act', or from the last layer g = w_out act' and this lane's part of w_out a.
  template <int K, int Pitch, int l, bool WantEnergy, class Narrow>
  __device__ __forceinline__ void hidden(const Operand<K, C::kForward>& input, Operand<H, C::kForward>& output,
                                         Operand<H, C::kBackward>& g, Narrow& narrow, float (&partial)[2]) const {
#pragma unroll
    for (int first = 0; first < H / 8; first += kTiles) {
      float z[kTiles][4], slope[kTiles][4];
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const float2 b = bias(l, first + j);
        z[j][0] = z[j][2] = b.x;
        z[j][1] = z[j][3] = b.y;
      }
      multiply_tiles<K, Pitch, kTiles, C::kForward, false>(z, input, matrix(l), lo_offset, first, lane);
      activate_tile<C>(z, slope);
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        if constexpr (l == L - 1) {
          const float2 w = bias(L, first + j);
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            g.put(first + j, h, w.x * slope[j][2 * h], w.y * slope[j][2 * h + 1]);
            if constexpr (WantEnergy) {
              partial[h] = fmaf(w.y, z[j][2 * h + 1], fmaf(w.x, z[j][2 * h], partial[h]));
            }
          }
        } else {
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            output.put(first + j, h, z[j][2 * h], z[j][2 * h + 1]);
            keep_slope(l, first + j, h, slope[j][2 * h], slope[j][2 * h + 1], narrow);
          }
        }
      }
    }
  }

  template <class Narrow>
  __device__ __forceinline__ void keep_slope(int l, int tile, int h, float a, float b, Narrow& narrow) const {
    if constexpr (C::kWideSlopes) {
      float* to = slopes + ((l * (H / 8) + tile) * 4 + 2 * h) * 32;
      to[0] = a;
      to[32] = b;
    } else {
      narrow[l][tile / 2][2 * (tile % 2) + h] = pack_halves(a, b);
    }
  }
  template <class Narrow>
  __device__ __forceinline__ void times_slope(int l, int tile, int h, float a, float b, const Narrow& narrow,
                                              Operand<H, C::kBackward>& out) const {
    if constexpr (C::kWideSlopes) {
      const float* from = slopes + ((l * (H / 8) + tile) * 4 + 2 * h) * 32;
      out.put(tile, h, a * from[0], b * from[32]);
    } else {
      const __half2 slope = as_half2(narrow[l][tile / 2][2 * (tile % 2) + h]);
      out.put_word(tile, h, as_word(__hmul2(slope, as_half2(pack_halves(a, b)))));
    }
  }

  __device__ __forceinline__ void finish_energy(const Positions& x, const float (&partial)[2],
                                                float (&energy)[2]) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float square = 0.0f;
#pragma unroll
      for (int j = 0; j < D / 8; ++j)
        square = fmaf(x[j][2 * h], x[j][2 * h], fmaf(x[j][2 * h + 1], x[j][2 * h + 1], square));
      energy[h] = quad_sum(fmaf(half_confinement, square, unscale * partial[h])) + out_bias;
    }
  }

 public:
  // Over the four lanes of a row: (0 + 1) + (2 + 3) in each of them.
  __device__ static float quad_sum(float v) {
    v += __shfl_xor_sync(0xFFFFFFFFu, v, 1);
    return v + __shfl_xor_sync(0xFFFFFFFFu, v, 2);
  }
  __device__ static bool quad_any(bool v, int lane) {
    return (__ballot_sync(0xFFFFFFFFu, v) >> (lane & ~3) & 0xFu) != 0;
  }
};

// The 16 chains of a warp.
template <class C>
struct MmaTile {
  static constexpr int D = C::kDim;
  using Positions = typename MmaEvaluator<C>::Positions;

  const MmaArguments& a;
  const MmaEvaluator<C>& evaluator;
  Counter& counter;
  float step_size;
  float* state;  // this lane's x and g, 32 apart (Mala)
  int lane, t;
  Chain chain[2];

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
  __device__ __forceinline__ int dimension(int i, int e) const { return 16 * i + 4 * t + e; }
  __device__ __forceinline__ static float& at(Positions& x, int i, int h, int e) {
    return x[2 * i + e / 2][2 * h + e % 2];
  }
  __device__ __forceinline__ static float at(const Positions& x, int i, int h, int e) {
    return x[2 * i + e / 2][2 * h + e % 2];
  }
  __device__ __forceinline__ float clip(float g) const { return fminf(fmaxf(g, -a.step.grad_clip), a.step.grad_clip); }

  __device__ __forceinline__ void start_uniform(Positions& x, int h, std::uint64_t step) const {
#pragma unroll
    for (int i = 0; i < D / 16; ++i) {
      if (dimension(i, 0) >= a.net.dim) continue;
      const PhiloxWords w = words(Purpose::initial_position, h, step, 4 * i + t);
      const std::uint32_t r[4] = {w.r0, w.r1, w.r2, w.r3};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (dimension(i, e) < a.net.dim) at(x, i, h, e) = uniform_start(r[e]);
      }
    }
  }

  __device__ void load(Positions& x) const {
    const float* from = a.chains.source == ChainSource::data ? a.chains.batch : a.chains.x;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
#pragma unroll
      for (int i = 0; i < D / 16; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int d = dimension(i, e);
          at(x, i, h, e) =
              chain[h].exists && !chain[h].fresh && d < a.net.dim ? from[chain[h].row * a.net.dim + d] : 0.0f;
        }
      }
      if (chain[h].fresh) start_uniform(x, h, chain[h].step);
      if (t == 0) counter.reinitialized += chain[h].reinitialized;
    }
  }

  __device__ void store(const Positions& x, std::int64_t first) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (!chain[h].exists) continue;
      const std::int64_t index = first + lane / 4 + 8 * h;
#pragma unroll
      for (int i = 0; i < D / 16; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int d = dimension(i, e);
          if (d >= a.net.dim) continue;
          if (a.chains.x != nullptr) a.chains.x[chain[h].row * a.net.dim + d] = at(x, i, h, e);
          if (a.chains.batch != nullptr) a.chains.batch[(a.chains.n + index) * a.net.dim + d] = at(x, i, h, e);
        }
      }
      if (t == 0 && a.chains.steps != nullptr) {
        a.chains.steps[chain[h].row] = chain[h].step + static_cast<std::uint64_t>(a.n_steps);
      }
    }
  }

  __device__ void restart(Positions& x, int h, std::uint64_t step) const {
    start_uniform(x, h, step);
    if (t != 0 || !chain[h].exists) return;
    ++counter.restarts;
    if (a.chains.restarted != nullptr) a.chains.restarted[chain[h].row] = 1;
  }

  __device__ __forceinline__ void run_langevin(Positions& x) {
#pragma unroll 1
    for (std::int64_t s = 0; s < a.n_steps; ++s) {
      // Not a constant of the loop to the compiler, which would keep the rounds of Philox that depend on it in
      // registers.
      asm volatile("" : "+l"(chain[0].id), "+l"(chain[1].id));
      // 0 while everything is finite, NaN ever after.
      float trouble[2] = {0.0f, 0.0f};
      float energy[2];
      evaluator.template evaluate<false>(x, energy, [&](int i, int h, float g0, float g1, float g2, float g3) {
        if (dimension(i, 0) >= a.net.dim) return;
        const float g[4] = {g0, g1, g2, g3};
        const NormalBlock n = noise(h, chain[h].step + static_cast<std::uint64_t>(s), i);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          if (dimension(i, e) >= a.net.dim) break;
          float next = fmaf(-step_size, clip(g[e]), at(x, i, h, e));
          next = fmaf(a.step.noise_scale, n.n[e], next);
          trouble[h] = fmaf(0.0f, next, fmaf(0.0f, g[e], trouble[h]));
          if (a.step.clamp_lo != nullptr) {
            next = fminf(fmaxf(next, a.step.clamp_lo[dimension(i, e)]), a.step.clamp_hi[dimension(i, e)]);
          }
          at(x, i, h, e) = next;
        }
      });
      const bool bad[2] = {trouble[0] != 0.0f, trouble[1] != 0.0f};  // NaN is unequal to everything
      if (__any_sync(0xFFFFFFFFu, bad[0] || bad[1])) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          if (MmaEvaluator<C>::quad_any(bad[h], lane)) restart(x, h, chain[h].step + static_cast<std::uint64_t>(s));
        }
      }
    }
  }

  __device__ __forceinline__ float& kept_x(int i, int h, int e) const { return state[((i * 2 + h) * 4 + e) * 32]; }
  __device__ __forceinline__ float& kept_g(int i, int h, int e) const { return kept_x(D / 16 + i, h, e); }

  template <class Element>
  __device__ __forceinline__ void each(Element&& f) const {
#pragma unroll
    for (int i = 0; i < D / 16; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
#pragma unroll
        for (int e = 0; e < 4; ++e) f(i, h, e);
      }
    }
  }

  // As ChainTile::enter_mala in chains.cu. Leaves x and the clipped gradient in the kept state.
  __device__ __forceinline__ void run_mala(Positions& y) {
    each([&](int i, int h, int e) { kept_x(i, h, e) = at(y, i, h, e); });
    float energy[2] = {0.0f, 0.0f};
    const float noise_scale = sqrtf(2.0f * step_size);
    // Steps -2 and -1 evaluate where the chains stand (the second only after a restart); one body serves all.
#pragma unroll 1
    for (std::int64_t s = -2; s < a.n_steps; ++s) {
      const std::uint64_t offset = s < 0 ? 0 : static_cast<std::uint64_t>(s);
      bool jump[2] = {false, false}, difference[2] = {false, false};
      if (s >= 0) propose(y, offset, noise_scale, jump, difference);
      float proposed[2], g_y[D / 8][4];
      evaluator.template evaluate<true>(y, proposed, [&](int i, int h, float g0, float g1, float g2, float g3) {
        at(g_y, i, h, 0) = g0;
        at(g_y, i, h, 1) = g1;
        at(g_y, i, h, 2) = g2;
        at(g_y, i, h, 3) = g3;
      });
      if (s < 0) {
        if (!enter(y, g_y, proposed, energy, s == -1)) s = -1;
        continue;
      }
      decide(y, g_y, proposed, energy, offset, jump, difference);
    }
    each([&](int i, int h, int e) { at(y, i, h, e) = kept_x(i, h, e); });
  }

 private:
  // False when no chain needs the second look.
  __device__ bool enter(Positions& y, const Positions& g_y, const float (&proposed)[2], float (&energy)[2], bool last) {
    bool bad[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float trouble = 0.0f * proposed[h];
#pragma unroll
      for (int i = 0; i < D / 16; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) trouble = fmaf(0.0f, at(y, i, h, e), fmaf(0.0f, at(g_y, i, h, e), trouble));
      }
      bad[h] = MmaEvaluator<C>::quad_any(trouble != 0.0f, lane);
      energy[h] = bad[h] ? INFINITY : proposed[h];
      if (bad[h] && !last) restart(y, h, chain[h].step);
    }
    each([&](int i, int h, int e) {
      kept_x(i, h, e) = at(y, i, h, e);
      kept_g(i, h, e) = bad[h] ? 0.0f : clip(at(g_y, i, h, e));
    });
    return __any_sync(0xFFFFFFFFu, bad[0] || bad[1]);
  }

  __device__ __forceinline__ void propose(Positions& y, std::uint64_t offset, float noise_scale, bool (&jump)[2],
                                          bool (&difference)[2]) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const std::uint64_t step = chain[h].step + offset;
      if (a.step.jump_prob > 0.0f || a.step.difference_prob > 0.0f) {
        const PhiloxWords w = words(Purpose::move, h, step, 0);
        jump[h] = unit_float(w.r0) < a.step.jump_prob;
        difference[h] = !jump[h] && unit_float(w.r1) < a.step.difference_prob;
      }
      if (jump[h]) {
        start_uniform(y, h, step);
        continue;
      }
      const float *d_a = nullptr, *d_b = nullptr;
      if (difference[h]) {
        const PhiloxWords w = words(Purpose::difference, h, step, 0);
        d_a = a.step.data + static_cast<std::size_t>(index_below(w.r0, a.step.n_data)) * a.net.dim;
        d_b = a.step.data + static_cast<std::size_t>(index_below(w.r1, a.step.n_data)) * a.net.dim;
      }
#pragma unroll
      for (int i = 0; i < D / 16; ++i) {
        if (dimension(i, 0) >= a.net.dim) continue;
        NormalBlock n{};
        if (!difference[h]) n = noise(h, step, i);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int d = dimension(i, e);
          if (d >= a.net.dim) continue;
          at(y, i, h, e) = difference[h]
                               ? kept_x(i, h, e) + (d_a[d] - d_b[d])
                               : fmaf(noise_scale, n.n[e], fmaf(-step_size, kept_g(i, h, e), kept_x(i, h, e)));
        }
      }
    }
  }

  __device__ __forceinline__ void decide(const Positions& y, const Positions& g_y, const float (&proposed)[2],
                                         float (&energy)[2], std::uint64_t offset, const bool (&jump)[2],
                                         const bool (&difference)[2]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float log_q = 0.0f, trouble = 0.0f * proposed[h];
      bool refused = false;
#pragma unroll
      for (int i = 0; i < D / 16; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int d = dimension(i, e);
          if (d >= a.net.dim) continue;
          const float from = kept_x(i, h, e), to = at(y, i, h, e), raw = at(g_y, i, h, e);
          const float g_x = kept_g(i, h, e), g_to = clip(raw);
          trouble = fmaf(0.0f, raw, fmaf(0.0f, to, trouble));
          refused = refused || (jump[h] && fabsf(from) > kStartRadius);
          if (a.step.clamp_lo != nullptr) refused = refused || to < a.step.clamp_lo[d] || to > a.step.clamp_hi[d];
          log_q = fmaf(fmaf(0.25f * step_size, g_x - g_to, 0.5f * (to - from)), g_x + g_to, log_q);
        }
      }
      refused = MmaEvaluator<C>::quad_any(refused || trouble != 0.0f, lane);
      const bool local = !jump[h] && !difference[h];
      log_q = MmaEvaluator<C>::quad_sum(log_q);
      const float log_a = (energy[h] - proposed[h]) + (local ? log_q : 0.0f);
      const float log_u = log_unit(words(Purpose::accept, h, chain[h].step + offset, 0).r0);
      const bool accepted = !refused && log_u < log_a;
      if (accepted) {
        energy[h] = proposed[h];
#pragma unroll
        for (int i = 0; i < D / 16; ++i) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            kept_x(i, h, e) = at(y, i, h, e);
            kept_g(i, h, e) = clip(at(g_y, i, h, e));
          }
        }
      }
      if (t == 0 && chain[h].exists) {
        counter.proposed += local;
        counter.accepted += local && accepted;
        counter.jumps_proposed += jump[h];
        counter.jumps_accepted += jump[h] && accepted;
        counter.differences_proposed += difference[h];
        counter.differences_accepted += difference[h] && accepted;
      }
    }
  }
};

template <class C>
__global__ void __launch_bounds__(C::kMostWarps * 32, 1) mma_chains_kernel(const __grid_constant__ MmaArguments a) {
  extern __shared__ __align__(16) unsigned char shared[];
  if (a.chains.stopped != nullptr && *a.chains.stopped != 0) return;
  constexpr int kMatrices = (C::kForward == 3 || C::kBackward == 3 ? 2 : 1) * C::kHidden;
  constexpr int kFloats = (C::kLayers + 1) * C::kWidth * 4 + 16;
  for (int i = 16 * threadIdx.x; i < kMatrices + kFloats; i += 16 * blockDim.x) {
    const int from = i < kMatrices ? i : static_cast<int>(a.image.floats_offset) + (i - kMatrices);
    *reinterpret_cast<uint4*>(shared + i) = *reinterpret_cast<const uint4*>(a.image.data + from);
  }
  __syncthreads();

  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const float* tail = reinterpret_cast<const float*>(shared + kMatrices + kFloats - 16);
  float* const own = reinterpret_cast<float*>(shared + kMatrices + kFloats + warp * C::kWarpBytes) + lane;
  const auto base = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  const MmaEvaluator<C> evaluator{
      base, base + kMatrices + 8 * (lane % 4), C::kHidden, own, a.net.half_confinement, tail[0], tail[1], lane};
  Counter counter;
  for (std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) * warps + warp) * kRows; first < a.chains.n;
       first += static_cast<std::int64_t>(gridDim.x) * warps * kRows) {
    MmaTile<C> tile{a,
                    evaluator,
                    counter,
                    step_size_of(a.step),
                    own + C::kSlopeWords * 32,
                    lane,
                    lane % 4,
                    {open_chain(a.chains, first + lane / 4), open_chain(a.chains, first + lane / 4 + 8)}};
    typename MmaEvaluator<C>::Positions x;
    tile.load(x);
    if constexpr (C::kMala) {
      tile.run_mala(x);
    } else {
      tile.run_langevin(x);
    }
    tile.store(x, first);
  }
  add_counts(counter, a.counts);
}

template <int D, int H, int L>
MmaKernel mma_kernel(bool split, bool mala) {
  if (mala) {
    return split ? mma_chains_kernel<MmaConfig<D, H, L, 3, 3, true>>
                 : mma_chains_kernel<MmaConfig<D, H, L, 3, 1, true>>;
  }
  return split ? mma_chains_kernel<MmaConfig<D, H, L, 3, 3, false>>
               : mma_chains_kernel<MmaConfig<D, H, L, 1, 1, false>>;
}

}  // namespace ebm
