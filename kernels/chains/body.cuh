// The words that a sampler's body (include/ebmcuda/samplers/body.hpp) is written in, where a Real is a float and a Bool
// a bool: every Tile here. A Tile's file includes the bodies after this, inside a namespace of its own.
#pragma once

#include "kernels/chains/rows.hpp"
#include "kernels/math/normal.hpp"
#include "kernels/math/portable.hpp"

namespace ebm {

struct ChainBlock {
  float v[4];
};

#define EBM_WORD __device__ __forceinline__

EBM_WORD float mul_add(float a, float b, float c) { return fmaf(a, b, c); }
EBM_WORD float square_root(float a) { return sqrtf(a); }
EBM_WORD float scalar_root(float a) { return sqrtf(a); }
EBM_WORD float scalar_exp(float a) { return expf(a); }
EBM_WORD float absolute(float a) { return fabsf(a); }
EBM_WORD bool is_finite(float a) { return isfinite(a); }
EBM_WORD float select(bool where, float a, float b) { return where ? a : b; }

EBM_WORD ChainBlock mul_add(float a, const ChainBlock& b, const ChainBlock& c) {
  return {{fmaf(a, b.v[0], c.v[0]), fmaf(a, b.v[1], c.v[1]), fmaf(a, b.v[2], c.v[2]), fmaf(a, b.v[3], c.v[3])}};
}
EBM_WORD ChainBlock select(bool where, const ChainBlock& a, const ChainBlock& b) {
  return {{select(where, a.v[0], b.v[0]), select(where, a.v[1], b.v[1]), select(where, a.v[2], b.v[2]),
           select(where, a.v[3], b.v[3])}};
}

// 0 * v is 0 for finite numbers and NaN for the others.
EBM_WORD void watch(float& trouble, float v) { trouble = fmaf(0.0f, v, trouble); }
EBM_WORD void watch(float& trouble, const ChainBlock& b) {
  watch(trouble, b.v[0]);
  watch(trouble, b.v[1]);
  watch(trouble, b.v[2]);
  watch(trouble, b.v[3]);
}
// NaN is unequal to everything.
EBM_WORD bool in_trouble(float trouble) { return trouble != 0.0f; }

EBM_WORD std::uint32_t word_of(const PhiloxWords& w, int i) {
  return i == 0 ? w.r0 : i == 1 ? w.r1 : i == 2 ? w.r2 : w.r3;
}
EBM_WORD float uniform(const PhiloxWords& w, int i) { return unit_float(word_of(w, i)); }
EBM_WORD float log_uniform(const PhiloxWords& w, int i) { return log_unit(word_of(w, i)); }

// The block with the coordinates of the bits `fixed` taken from `instead`.
EBM_WORD ChainBlock hold(unsigned fixed, ChainBlock block, const ChainBlock& instead) {
#pragma unroll
  for (int i = 0; i < 4; ++i) block.v[i] = (fixed >> i & 1u) != 0 ? instead.v[i] : block.v[i];
  return block;
}

#undef EBM_WORD

}  // namespace ebm
