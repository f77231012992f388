// Products on tensor cores, chained through registers: one warp owns 16 chains, and the accumulators of one product
// are, lane for lane, the left operand of the next (mma.sync m16n8k16). One padded half-precision copy of each W in
// shared memory serves W a (ldmatrix) and W^T g (ldmatrix.trans) without bank conflicts. Lane = 4 row + t holds rows
// `row` and `row + 8`.
//
// `Terms` is 1: inputs rounded to half, sums in single precision. Or 3: inputs split in two halves, v = hi + lo 2^-11,
// and the three products that matter summed, the small ones in an accumulator of their own (Ootomo and Yokota 2022):
// single grade.
//
// No header of the toolkit is included: this compiles at run time too, on machines that have none.
#pragma once

#include "kernels/energy/mma_shape.hpp"

namespace ebm {

constexpr float kSplit = 2048.0f, kUnsplit = 1.0f / 2048.0f;

// Two halves in a word, as the tensor cores take them.
struct Halves {
  std::uint32_t word;
};
__device__ __forceinline__ Halves pack_halves(float low, float high) {
  Halves r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r.word) : "f"(high), "f"(low));
  return r;
}
__device__ __forceinline__ float2 unpack_halves(Halves v) {
  float2 r;
  asm("{ .reg .f16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high; }"
      : "=f"(r.x), "=f"(r.y)
      : "r"(v.word));
  return r;
}
__device__ __forceinline__ Halves multiply(Halves a, Halves b) {
  Halves r;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r.word) : "r"(a.word), "r"(b.word));
  return r;
}
__device__ __forceinline__ Halves multiply_add(Halves a, Halves b, Halves c) {
  Halves r;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r.word) : "r"(a.word), "r"(b.word), "r"(c.word));
  return r;
}

__device__ __forceinline__ void mma(float (&c)[4], const Halves (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0].word), "r"(a[1].word), "r"(a[2].word), "r"(a[3].word), "r"(b0), "r"(b1));
}
template <bool Transposed>
__device__ __forceinline__ void load_matrix(std::uint32_t (&r)[4], std::uint32_t address) {
  if constexpr (Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
  }
}
// Volatile, so that ptxas does not keep every bias in a register for all steps.
__device__ __forceinline__ float2 load_pair(std::uint32_t address) {
  float2 r;
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(r.x), "=f"(r.y) : "r"(address));
  return r;
}
__device__ __forceinline__ Halves load_halves(std::uint32_t address) {
  Halves r;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(r.word) : "r"(address));
  return r;
}

// The left operand of a product over K units: hi, and lo when Terms is 3.
template <int K, int Terms>
struct Operand {
  static constexpr int kParts = Terms == 3 ? 2 : 1;
  Halves v[kParts][K / 16][4];

  // Units 2t, 2t + 1 of the n-tile `tile` (8 units), in row half `h` (0: row, 1: row + 8).
  __device__ __forceinline__ void put(int tile, int h, float2 pair) {
    const Halves hi = pack_halves(pair.x, pair.y);
    put(tile, h, hi);
    if constexpr (Terms == 3) {
      const float2 rounded = unpack_halves(hi);
      v[1][tile / 2][2 * (tile % 2) + h] = pack_halves((pair.x - rounded.x) * kSplit, (pair.y - rounded.y) * kSplit);
    }
  }
  __device__ __forceinline__ void put(int tile, int h, Halves hi) { v[0][tile / 2][2 * (tile % 2) + h] = hi; }
};

// sum[j] += A W^T (Transposed false: A over W's columns, n-tiles of W's rows) or A W (true: A over W's rows, n-tiles of
// W's columns) for the n-tiles first .. first + Tiles - 1. W is [*, Pitch] halves at `weights`; its lo part, with Terms
// 3, `lo_offset` bytes behind.
template <int K, int Pitch, int Tiles, int Terms, bool Transposed>
__device__ __forceinline__ void multiply_tiles(float (&sum)[Tiles][4], const Operand<K, Terms>& a,
                                               std::uint32_t weights, std::uint32_t lo_offset, int first, int lane) {
  static_assert(Tiles % 2 == 0);
  const int row = Transposed ? lane & 15 : first * 8 + (lane & 7) + ((lane >> 4) << 3);
  const int column = Transposed ? first * 8 + ((lane >> 4) << 3) : ((lane >> 3) & 1) * 8;
  const std::uint32_t base = weights + static_cast<std::uint32_t>(row * Pitch + column) * 2;
  float small[Tiles][4];
  if constexpr (Terms == 3) {
#pragma unroll
    for (int j = 0; j < Tiles; ++j) small[j][0] = small[j][1] = small[j][2] = small[j][3] = 0.0f;
  }
#pragma unroll
  for (int k = 0; k < K / 16; ++k) {
#pragma unroll
    for (int j = 0; j < Tiles; j += 2) {
      const std::uint32_t at = base + (Transposed ? (k * 16 * Pitch + j * 8) : (j * 8 * Pitch + k * 16)) * 2;
      std::uint32_t b[4];
      load_matrix<Transposed>(b, at);
      mma(sum[j], a.v[0][k], b[0], b[1]);
      mma(sum[j + 1], a.v[0][k], b[2], b[3]);
      if constexpr (Terms == 3) {
        mma(small[j], a.v[1][k], b[0], b[1]);
        mma(small[j + 1], a.v[1][k], b[2], b[3]);
        load_matrix<Transposed>(b, at + lo_offset);
        mma(small[j], a.v[0][k], b[0], b[1]);
        mma(small[j + 1], a.v[0][k], b[2], b[3]);
      }
    }
  }
  if constexpr (Terms == 3) {
#pragma unroll
    for (int j = 0; j < Tiles; ++j) {
#pragma unroll
      for (int q = 0; q < 4; ++q) sum[j][q] = fmaf(kUnsplit, small[j][q], sum[j][q]);
    }
  }
}

}  // namespace ebm
