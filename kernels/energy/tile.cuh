// Products of a weight matrix with a tile of chains: the arithmetic under every kernel here.
//
// A tile is an array [rows][Tile], chains along the fast axis, worked on by one block. Each thread of a product makes a
// few units for a few chains; a unit's sum runs over its inputs in order, so its bits depend on the chain's column and
// the weights only, whatever the tile.
//
//   Tile  threads
//    32     256    many chains: 4 units x 4 chains a thread
//     8      64    the same where 32 do not fit
//     2     256    few chains: 1 unit x 2 chains a thread, so that a step takes little time
#pragma once

#include <climits>

#include "kernels/energy/network.hpp"

namespace ebm {

constexpr int kParts = 8;  // shares of a chain's elements in elementwise work and sums, a thread each

// Values of one row for N chains side by side.
template <int N>
struct Values {
  float v[N];
};

// Where a thread stands: chain and part for elementwise work, a group of chains and a unit for products.
template <int Tile>
struct Lane {
  static constexpr int kThreads = kParts * Tile;
  static constexpr int kUnits = 4, kChains = 4;  // of a thread, in products
  static constexpr int kInputs = 4;              // in transposed ones, for kUnits
  static constexpr int kStride = 32;             // threads along the units
  int chain, part;
  int first;  // of the thread's chains
  int unit;
  // Neighbouring lanes differ in the unit (Tile 32) or in the chains (8): either way pairs of lanes share an address,
  // and a load of 128 bits takes two wavefronts where it would take four.
  __device__ Lane()
      : chain(threadIdx.x % Tile),
        part(threadIdx.x / Tile),
        first(4 * (Tile == 32 ? threadIdx.x / 2 % 8 : threadIdx.x % 2)),
        unit(Tile == 32 ? threadIdx.x % 2 + threadIdx.x / 16 * 2 : threadIdx.x / 2) {
    static_assert(Tile == 32 || Tile == 8);
  }
  __device__ bool has_part() const { return true; }
  __device__ int energy_part() const { return part; }
};

// Two chains, as many threads as there is work for. Elementwise work needs 16 of them; the others have no part of it:
// their loops over a part's elements end before they begin.
template <>
struct Lane<2> {
  static constexpr int kThreads = 256;
  static constexpr int kUnits = 1, kInputs = 1, kChains = 2;
  static constexpr int kStride = kThreads;
  // The second half of the block: idle in products of up to 128 units.
  static constexpr int kHelpers = 128;
  int chain, part;
  int unit;
  static constexpr int first = 0;
  __device__ Lane()
      : chain(threadIdx.x % 2), part(threadIdx.x < 2 * kParts ? threadIdx.x / 2 : INT_MAX / 2), unit(threadIdx.x) {}
  __device__ bool has_part() const { return part < kParts; }
  // Of E: the last threads of the first half, which wait while the second goes back through the network.
  __device__ int energy_part() const {
    constexpr int kEnd = kThreads - kHelpers, kFirst = kEnd - 2 * kParts;
    return threadIdx.x < kFirst || threadIdx.x >= kEnd ? INT_MAX / 2 : (static_cast<int>(threadIdx.x) - kFirst) / 2;
  }
  // In products whose weights are held in registers: the unit of a first-half thread, the input of a second-half one.
  __device__ int held_unit() const { return static_cast<int>(threadIdx.x); }
  __device__ int held_input() const { return static_cast<int>(threadIdx.x) - (kThreads - kHelpers); }
};

__device__ inline float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
__device__ inline void store4(float* p, float4 v) { *reinterpret_cast<float4*>(p) = v; }

template <int N>
__device__ __forceinline__ Values<N> load(const float* p) {
  if constexpr (N == 4) {
    const float4 v = load4(p);
    return {{v.x, v.y, v.z, v.w}};
  } else if constexpr (N == 1) {
    return {{*p}};
  } else {
    const float2 v = *reinterpret_cast<const float2*>(p);
    return {{v.x, v.y}};
  }
}
__device__ __forceinline__ void store(float* p, const Values<4>& v) {
  store4(p, make_float4(v.v[0], v.v[1], v.v[2], v.v[3]));
}
__device__ __forceinline__ void store(float* p, const Values<2>& v) {
  *reinterpret_cast<float2*>(p) = make_float2(v.v[0], v.v[1]);
}

template <int N>
__device__ __forceinline__ void multiply_add(float w, const Values<N>& a, Values<N>& sum) {
#pragma unroll
  for (int c = 0; c < N; ++c) sum.v[c] = fmaf(w, a.v[c], sum.v[c]);
}

// Four rows of a tile from `p` on, of the thread's chains.
template <int Tile, int N>
__device__ __forceinline__ void load_rows(const float* p, Values<N> (&rows)[4]) {
  if constexpr (Tile == 2) {
    const float4 low = load4(p), high = load4(p + 4);
    rows[0] = {{low.x, low.y}};
    rows[1] = {{low.z, low.w}};
    rows[2] = {{high.x, high.y}};
    rows[3] = {{high.z, high.w}};
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) rows[i] = load<N>(p + i * Tile);
  }
}

// add(slice) for k = 0, 4, .. end - 4, with load(slice, k) two turns ahead of it: loads are under way while sums are
// made. Four turns a round and slices that take turns, so that nothing is copied; what is loaded beyond the end is the
// beginning.
template <class Slice, class Load, class Add>
__device__ __forceinline__ void pipelined(int end, const Load& load, const Add& add) {
  const auto within = [end](int k) { return k < end ? k : 0; };
  Slice a, b, c, d;
  load(a, 0);
  load(b, within(4));
  int k = 0;
#pragma unroll 1
  for (; k + 16 <= end; k += 16) {
    load(c, k + 8);
    add(a);
    load(d, k + 12);
    add(b);
    load(a, within(k + 16));
    add(c);
    load(b, within(k + 20));
    add(d);
  }
  if (k < end) add(a);
  if (k + 4 < end) add(b);
  if (k + 8 < end) {
    load(c, k + 8);
    add(c);
  }
}

// For every unit u of 0 .. out_pad-1: epilogue(u, bias[u] + sum_k w[u, k] input[k, the thread's chains]).
template <int Tile, class Epilogue>
__device__ __forceinline__ void multiply(const Lane<Tile>& lane, const LayerView& layer, const float* w,
                                         const float* bias, const float* input, Epilogue&& epilogue) {
  constexpr int kUnits = Lane<Tile>::kUnits, kChains = Lane<Tile>::kChains;
  struct Slice {
    float4 w[kUnits];
    Values<kChains> a[4];
  };
  const int units = layer.out_pad / kUnits;  // a thread's units are this far apart: neighbours read neighbouring rows
  for (int u = lane.unit; u < units; u += Lane<Tile>::kStride) {
    Values<kChains> sum[kUnits];
#pragma unroll
    for (int i = 0; i < kUnits; ++i) {
      const float b = bias[u + i * units];
#pragma unroll
      for (int c = 0; c < kChains; ++c) sum[i].v[c] = b;
    }
    const float* const row = w + static_cast<std::size_t>(u) * layer.pitch;
    const std::size_t stride = static_cast<std::size_t>(units) * layer.pitch;
    const float* const column = input + lane.first;
    pipelined<Slice>(
        layer.in_pad,
        [&](Slice& s, int k) {
#pragma unroll
          for (int i = 0; i < kUnits; ++i) s.w[i] = load4(row + i * stride + k);
          load_rows<Tile>(column + static_cast<std::size_t>(k) * Tile, s.a);
        },
        [&](const Slice& s) {
#pragma unroll
          for (int i = 0; i < kUnits; ++i) {
            multiply_add(s.w[i].x, s.a[0], sum[i]);
            multiply_add(s.w[i].y, s.a[1], sum[i]);
            multiply_add(s.w[i].z, s.a[2], sum[i]);
            multiply_add(s.w[i].w, s.a[3], sum[i]);
          }
        });
#pragma unroll
    for (int i = 0; i < kUnits; ++i) epilogue(u + i * units, sum[i]);
  }
}

// For every input k of 0 .. in_pad-1: epilogue(k, sum_u w[u, k] delta[u, the thread's chains]).
template <int Tile, class Epilogue>
__device__ __forceinline__ void multiply_transposed(const Lane<Tile>& lane, const LayerView& layer, const float* w,
                                                    const float* delta, Epilogue&& epilogue) {
  constexpr int kInputs = Lane<Tile>::kInputs, kChains = Lane<Tile>::kChains;
  struct Slice {
    Values<kInputs> w[4];
    Values<kChains> d[4];
  };
  for (int k = kInputs * lane.unit; k < layer.in_pad; k += kInputs * Lane<Tile>::kStride) {
    Values<kChains> sum[kInputs] = {};
    pipelined<Slice>(
        layer.out_pad,
        [&](Slice& s, int u) {
          const float* row = w + static_cast<std::size_t>(u) * layer.pitch + k;
#pragma unroll
          for (int i = 0; i < 4; ++i, row += layer.pitch) s.w[i] = load<kInputs>(row);
          load_rows<Tile>(delta + static_cast<std::size_t>(u) * Tile + lane.first, s.d);
        },
        [&](const Slice& s) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int j = 0; j < kInputs; ++j) multiply_add(s.w[i].v[j], s.d[i], sum[j]);
          }
        });
#pragma unroll
    for (int j = 0; j < kInputs; ++j) epilogue(k + j, sum[j]);
  }
}

// One layer's weights in the registers of a tile of 2 chains: a thread of the first half of the block has a unit's row,
// one of the second half an input's column. Reading them takes half of the time of a step otherwise. The sums are those
// of multiply() and multiply_transposed(), in the same order.
template <int Tile>
struct HeldWeights {
  __device__ static void load(const Lane<Tile>&, const NetworkView&, const float*) {}
  __device__ static constexpr bool has(int) { return false; }
};
template <>
struct HeldWeights<2> {
  static constexpr int kMost = 128;
  int layer = -1;
  float w[kMost];

  // Loops over registers are unrolled, so there are two lengths of them.
  __device__ static constexpr bool holds(int width) { return width == kMost || width == kMost / 2; }
  __device__ bool has(int l) const { return l == layer; }

  // Picks the layer that is the most work.
  __device__ void load(const Lane<2>& lane, const NetworkView& net, const float* image) {
    int most = 0;
    for (int l = 0; l + 1 < net.layers; ++l) {
      const int in = net.layer[l].in_pad, out = net.layer[l].out_pad;
      if (!holds(in) || !holds(out) || in * out < most) continue;
      most = in * out;
      layer = l;
    }
    if (layer >= 0) load(lane, net.layer[layer], image);
  }
  __device__ __forceinline__ void load(const Lane<2>& lane, const LayerView& own, const float* image) {
    const float* const from = image + own.weight;
    const int u = lane.held_unit(), k = lane.held_input();
    if (k < 0 && u < own.out_pad) {
      load_half<0>(from + u * own.pitch, 1);
      if (own.in_pad == kMost) load_half<kMost / 2>(from + u * own.pitch, 1);
    } else if (k >= 0 && k < own.in_pad) {
      load_half<0>(from + k, own.pitch);
      if (own.out_pad == kMost) load_half<kMost / 2>(from + k, own.pitch);
    }
  }

  // sum + w . rows[0 .. Terms-1]
  template <int Terms>
  __device__ __forceinline__ Values<2> sum(const float* rows, Values<2> sum) const {
    static_assert(holds(Terms));
    add_half<0>(rows, sum);
    if constexpr (Terms == kMost) add_half<kMost / 2>(rows, sum);
    return sum;
  }

  template <class Epilogue>
  __device__ __forceinline__ void multiply(const Lane<2>& lane, const LayerView& own, const float* bias,
                                           const float* input, Epilogue&& epilogue) const {
    const int u = lane.held_unit();
    if (u >= own.out_pad) return;
    const float b = bias[u];
    epilogue(u, add(own.in_pad, input, {{b, b}}));
  }
  template <class Epilogue>
  __device__ __forceinline__ void multiply_transposed(const Lane<2>& lane, const LayerView& own, const float* delta,
                                                      Epilogue&& epilogue) const {
    const int k = lane.held_input();
    if (k < 0 || k >= own.in_pad) return;
    epilogue(k, add(own.out_pad, delta, {}));
  }

 private:
  template <int kFirst>
  __device__ __forceinline__ void load_half(const float* from, int apart) {
#pragma unroll
    for (int i = kFirst; i < kFirst + kMost / 2; ++i) w[i] = from[i * apart];
  }
  __device__ __forceinline__ Values<2> add(int terms, const float* rows, Values<2> sum) const {
    add_half<0>(rows, sum);
    if (terms == kMost) add_half<kMost / 2>(rows, sum);
    return sum;
  }
  template <int kFirst>
  __device__ __forceinline__ void add_half(const float* rows, Values<2>& sum) const {
#pragma unroll
    for (int i = kFirst; i < kFirst + kMost / 2; i += 4) {
      Values<2> a[4];
      load_rows<2>(rows + 2 * i, a);
#pragma unroll
      for (int j = 0; j < 4; ++j) multiply_add(w[i + j], a[j], sum);
    }
  }
};

// Adds the kParts partial sums of a chain in one fixed order. `parts` is [kParts][Tile].
template <int Tile>
__device__ float sum_parts(const float* parts, int chain) {
  const float* p = parts + chain;
  return ((p[0] + p[Tile]) + (p[2 * Tile] + p[3 * Tile])) + ((p[4 * Tile] + p[5 * Tile]) + (p[6 * Tile] + p[7 * Tile]));
}
// The same sum, in the same order, in every thread that has a part; the parts of two chains are in one warp.
__device__ __forceinline__ float sum_parts_of_two(float part) {
#pragma unroll
  for (int apart = 2; apart < 2 * kParts; apart *= 2) part += __shfl_xor_sync(0xFFFFFFFFu, part, apart);
  return part;
}

}  // namespace ebm
