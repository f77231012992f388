// Energy and gradient of 16 chains on tensor cores, register-chained: one warp carries them through the whole network,
// activations never leave registers, and no barrier stands in the way.
//
// Lane 4 row + t owns dimensions 16 i + 4t .. + 3 of chains `row` and `row + 8`, for each group i of 16 dimensions: one
// Philox block each, no shuffles. For that the first W's columns are permuted within a group: column 8h + 2t + e of a
// group is dimension 4t + 2h + e. E is summed over a quad of lanes in a fixed order. A chain's arithmetic is that of
// its row of the products, which depends neither on the row nor on the other rows.
#pragma once

#include "kernels/energy/mma_activation.cuh"

namespace ebm {

template <bool Fast>
struct MmaPair {
  using Type = float2;
};
template <>
struct MmaPair<true> {
  using Type = Halves;
};

// `Instance` names a kernel: static constexpr MmaShape kShape; static constexpr MmaVariant kVariant.
template <class Instance>
struct MmaConfig {
  static constexpr MmaShape kShape = Instance::kShape;
  static constexpr MmaVariant kVariant = Instance::kVariant;
  static constexpr MmaState kState = MmaState::of(kShape, kVariant);
  static constexpr int kDim = kShape.dim, kLayers = kShape.layers, kGroups = kDim / 16;
  static constexpr int kForward = kVariant.forward(), kBackward = kVariant.backward();
  static constexpr bool kFast = kForward == 1;  // half grade throughout
  using Input = Operand<kDim, kForward>;
  using Pair = typename MmaPair<kFast>::Type;  // of activations
};

// This lane's share of the positions of 16 chains, or of their gradients: dimensions 16 i + 4 t .. + 3 in row half h.
// In registers, or in shared memory with the lanes side by side.
template <class C, bool Shared>
struct MmaPositions {
  float4 v[C::kGroups][2];
  __device__ explicit MmaPositions(float4*) {}
  __device__ __forceinline__ float4 get(int i, int h) const { return v[i][h]; }
  __device__ __forceinline__ void set(int i, int h, float4 x) { v[i][h] = x; }
};
template <class C>
struct MmaPositions<C, true> {
  static constexpr int kBlocks = 2 * C::kGroups;  // of 4 floats, per lane
  float4* lane;
  __device__ explicit MmaPositions(float4* own) : lane(own) {}
  __device__ __forceinline__ float4 get(int i, int h) const { return lane[(i * 2 + h) * 32]; }
  __device__ __forceinline__ void set(int i, int h, float4 x) const { lane[(i * 2 + h) * 32] = x; }
};

template <class Input>
__device__ __forceinline__ void put_positions(Input& input, int i, int h, float4 x) {
  input.put(2 * i, h, make_float2(x.x, x.y));
  input.put(2 * i + 1, h, make_float2(x.z, x.w));
}

// act' of one layer, kept from the forward to the backward pass.
template <class C, int l>
struct MmaSlopes {
  static constexpr bool kShared = C::kState.slopes_shared;
  static constexpr int kWords = C::kShape.width[l] / 4;
  Halves own[kShared ? 1 : kWords];
  float* lane;

  __device__ __forceinline__ void keep(int tile, int h, Halves slope) {
    if constexpr (kShared) {
      reinterpret_cast<Halves*>(lane)[(tile * 2 + h) * 32] = slope;
    } else {
      own[tile * 2 + h] = slope;
    }
  }
  __device__ __forceinline__ void keep(int tile, int h, float2 slope) {
    if constexpr (C::kBackward == 3) {
      reinterpret_cast<float2*>(lane)[(tile * 2 + h) * 32] = slope;
    } else {
      keep(tile, h, pack_halves(slope.x, slope.y));
    }
  }
  // Puts v times what was kept there.
  template <class Output>
  __device__ __forceinline__ void times(int tile, int h, float2 v, Output& out) const {
    if constexpr (C::kBackward == 3) {
      const float2 slope = reinterpret_cast<const float2*>(lane)[(tile * 2 + h) * 32];
      out.put(tile, h, make_float2(v.x * slope.x, v.y * slope.y));
    } else if constexpr (kShared) {
      out.put(tile, h, multiply(reinterpret_cast<const Halves*>(lane)[(tile * 2 + h) * 32], pack_halves(v.x, v.y)));
    } else {
      out.put(tile, h, multiply(own[tile * 2 + h], pack_halves(v.x, v.y)));
    }
  }
};

template <class C>
struct MmaNetworkPass {
  static constexpr int kLast = C::kLayers - 1;
  static constexpr int kTiles = 4;  // n-tiles of 8 units worked on at a time
  using Pair = typename C::Pair;

  std::uint32_t weights;  // shared address of the image
  std::uint32_t floats;   // shared address of its floats
  float* slopes;          // this warp's
  float half_confinement, out_bias;
  float unscale;  // of w_out's power of two
  int lane;

  // gradient(i, h, g): dE/dx of dimensions 16 i + 4 t .. + 3 in row half h, without the confinement's part and in units
  // of `unscale`. With `WantEnergy`, `partial` becomes this lane's share of w_out a of both rows, in the same units.
  template <bool WantEnergy, class Gradient>
  __device__ __forceinline__ void evaluate(const typename C::Input& input, float (&partial)[2],
                                           Gradient&& gradient) const {
    __syncwarp();  // ldmatrix and mma want the lanes together, which a branch of the sampler may have parted
    partial[0] = partial[1] = 0.0f;
    pass<0, WantEnergy>(input, partial, [&](int first, auto& sum) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        gradient(first / 2, h, make_float4(sum[0][2 * h], sum[0][2 * h + 1], sum[1][2 * h], sum[1][2 * h + 1]));
      }
    });
  }

  // Over the four lanes of a row: (0 + 1) + (2 + 3) in each of them.
  __device__ static float quad_sum(float v) {
    v += __shfl_xor_sync(0xFFFFFFFFu, v, 1);
    return v + __shfl_xor_sync(0xFFFFFFFFu, v, 2);
  }
  __device__ static bool quad_any(bool v, int lane) {
    return (__ballot_sync(0xFFFFFFFFu, v) >> (lane & ~3) & 0xFu) != 0;
  }

 private:
  // This lane's pair in n-tile `tile`: units 8 tile + 2t, + 1.
  __device__ __forceinline__ float2 float_pair(int offset, int tile) const {
    return load_pair(floats + 4 * (offset + 8 * tile) + 8 * (lane % 4));
  }
  // g = w_out act' of the last hidden layer.
  using LastGradient = Operand<C::kShape.width[kLast], C::kBackward>;
  __device__ __forceinline__ void last_gradient(LastGradient& g, int tile, const Halves (&slope)[2]) const {
    const Halves w = load_halves(floats + 4 * (C::kShape.half_offset() + 4 * tile) + 4 * (lane % 4));
#pragma unroll
    for (int h = 0; h < 2; ++h) g.put(tile, h, multiply(w, slope[h]));
  }
  __device__ __forceinline__ void last_gradient(LastGradient& g, int tile, const float2 (&slope)[2]) const {
    const float2 w = float_pair(C::kShape.bias_offset(C::kLayers), tile);
#pragma unroll
    for (int h = 0; h < 2; ++h) g.put(tile, h, make_float2(w.x * slope[h].x, w.y * slope[h].y));
  }

  // Layers l .. last forward, then back again. sink(first, sum): dE over the inputs of layer l, for n-tiles first .. .
  template <int l, bool WantEnergy, class Input, class Sink>
  __device__ __forceinline__ void pass(const Input& input, float (&partial)[2], Sink&& sink) const {
    constexpr int kIn = C::kShape.fan_in(l), kWidth = C::kShape.width[l];
    Operand<kWidth, C::kBackward> g;  // dE/dz
    if constexpr (l == kLast) {
      forward<l>(input, [&](int tile, const auto& a, const auto& slope) {
        last_gradient(g, tile, slope);
        if constexpr (WantEnergy) {
          const float2 w = float_pair(C::kShape.bias_offset(C::kLayers), tile);
#pragma unroll
          for (int h = 0; h < 2; ++h) partial[h] = fmaf(w.y, a[h].y, fmaf(w.x, a[h].x, partial[h]));
        }
      });
    } else {
      Operand<kWidth, C::kForward> output;
      MmaSlopes<C, l> kept;
      kept.lane = slopes + C::kState.slope_offset(l) * 32;
      if constexpr (C::kState.slopes_shared) kept.lane += lane * (C::kBackward == 3 ? 2 : 1);
      forward<l>(input, [&](int tile, const auto& a, const auto& slope) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          output.put(tile, h, a[h]);
          kept.keep(tile, h, slope[h]);
        }
      });
      pass<l + 1, WantEnergy>(output, partial, [&](int first, auto& sum) {
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int h = 0; h < 2; ++h) kept.times(first + j, h, make_float2(sum[j][2 * h], sum[j][2 * h + 1]), g);
        }
      });
    }
    constexpr int kBackTiles = l == 0 ? 2 : kTiles;
#pragma unroll
    for (int first = 0; first < kIn / 8; first += kBackTiles) {
      float sum[kBackTiles][4] = {};
      multiply_tiles<kWidth, C::kShape.pitch(l), kBackTiles, C::kBackward, true>(
          sum, g, weights + C::kShape.matrix_offset(l), C::kShape.matrices_bytes(), first, lane);
      sink(first, sum);
    }
  }

  // unit(tile, a, slope) for every n-tile of layer l: activation and act' of units 2t, 2t + 1 in both row halves, as
  // Halves or as float2.
  template <int l, class Input, class Unit>
  __device__ __forceinline__ void forward(const Input& input, Unit&& unit) const {
    constexpr ActivationKind kKind = C::kShape.activation;
#pragma unroll
    for (int first = 0; first < C::kShape.width[l] / 8; first += kTiles) {
      float z[kTiles][4];
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const float2 b = float_pair(C::kShape.bias_offset(l), first + j);
        z[j][0] = z[j][2] = b.x;
        z[j][1] = z[j][3] = b.y;
      }
      multiply_tiles<C::kShape.fan_in(l), C::kShape.pitch(l), kTiles, C::kForward, false>(
          z, input, weights + C::kShape.matrix_offset(l), C::kShape.matrices_bytes(), first, lane);
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        Pair a[2], slope[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          if constexpr (C::kFast) {
            const ActivatedHalves r = scaled_activate_halves<kKind>(z[j][2 * h], z[j][2 * h + 1]);
            a[h] = r.value;
            slope[h] = r.slope;
          } else {
            const Activated p = scaled_activate<kKind>(z[j][2 * h]), q = scaled_activate<kKind>(z[j][2 * h + 1]);
            a[h] = make_float2(p.value, q.value);
            slope[h] = make_float2(p.derivative, q.derivative);
          }
        }
        unit(first + j, a, slope);
      }
    }
  }
};

}  // namespace ebm
