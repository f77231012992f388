// Points from rows of memory to lanes of a strip and back: transposes 4 x 4 in registers. Compiled once per instruction
// set.

#if defined(EBMCUDA_CPU_STRIP_LAYOUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_STRIP_LAYOUT_INL_H_
#undef EBMCUDA_CPU_STRIP_LAYOUT_INL_H_
#else
#define EBMCUDA_CPU_STRIP_LAYOUT_INL_H_
#endif

#include <algorithm>

#include "host/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

constexpr std::size_t kQuad = 4;  // numbers in the 128-bit blocks that every instruction set's shuffles stay within

// Block b of the vector is the quad at `from` + b * stride; vectors narrower than a quad do not occur.
template <class D>
HWY_INLINE hn::Vec<D> load_quads(D d, const float* from, std::size_t stride) {
  if constexpr (hn::MaxLanes(D()) <= kQuad) {
    return hn::LoadU(d, from);
  } else {
    const hn::Half<D> half;
    const std::size_t upper = hn::MaxLanes(D()) / kQuad / 2 * stride;
    return hn::Combine(d, load_quads(half, from + upper, stride), load_quads(half, from, stride));
  }
}

template <class D>
HWY_INLINE void store_quads(D d, hn::Vec<D> v, float* to, std::size_t stride) {
  if constexpr (hn::MaxLanes(D()) <= kQuad) {
    hn::StoreU(v, d, to);
  } else {
    const hn::Half<D> half;
    store_quads(half, hn::LowerHalf(half, v), to, stride);
    store_quads(half, hn::UpperHalf(half, v), to + hn::MaxLanes(D()) / kQuad / 2 * stride, stride);
  }
}

// Every block of the four is a 4 x 4 matrix; it becomes its transpose.
HWY_INLINE void transpose_quads(VF& v0, VF& v1, VF& v2, VF& v3) {
  const F d;
  const hn::Repartition<std::uint64_t, F> pairs;
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, v0, v1));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, v2, v3));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, v0, v1));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, v2, v3));
  v0 = hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23));
  v1 = hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23));
  v2 = hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23));
  v3 = hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23));
}

// Whole vectors of points, four dimensions at a time; what is left over, one number at a time.
void LoadStrip(const float* x, std::size_t count, int dim, float* strip) {
  const F d;
  const auto n = static_cast<std::size_t>(dim);
  if (count < kStrip) std::fill(strip, strip + n * kStrip, 0.0f);
  std::size_t first = 0;
  for (; kLanes >= kQuad && first + kLanes <= count; first += kLanes) {
    const float* row = x + first * n;
    std::size_t k = 0;
    for (; k + kQuad <= n; k += kQuad) {
      VF v0 = load_quads(d, row + k, kQuad * n), v1 = load_quads(d, row + n + k, kQuad * n);
      VF v2 = load_quads(d, row + 2 * n + k, kQuad * n), v3 = load_quads(d, row + 3 * n + k, kQuad * n);
      transpose_quads(v0, v1, v2, v3);
      float* out = strip + k * kStrip + first;
      hn::Store(v0, d, out);
      hn::Store(v1, d, out + kStrip);
      hn::Store(v2, d, out + 2 * kStrip);
      hn::Store(v3, d, out + 3 * kStrip);
    }
    for (; k < n; ++k) {
      for (std::size_t i = 0; i < kLanes; ++i) strip[k * kStrip + first + i] = row[i * n + k];
    }
  }
  for (; first < count; ++first) {
    for (std::size_t k = 0; k < n; ++k) strip[k * kStrip + first] = x[first * n + k];
  }
}

void StoreStrip(const float* strip, std::size_t count, int dim, float* x) {
  const F d;
  const auto n = static_cast<std::size_t>(dim);
  std::size_t first = 0;
  for (; kLanes >= kQuad && first + kLanes <= count; first += kLanes) {
    float* row = x + first * n;
    std::size_t k = 0;
    for (; k + kQuad <= n; k += kQuad) {
      const float* in = strip + k * kStrip + first;
      VF v0 = hn::Load(d, in), v1 = hn::Load(d, in + kStrip);
      VF v2 = hn::Load(d, in + 2 * kStrip), v3 = hn::Load(d, in + 3 * kStrip);
      transpose_quads(v0, v1, v2, v3);
      store_quads(d, v0, row + k, kQuad * n);
      store_quads(d, v1, row + n + k, kQuad * n);
      store_quads(d, v2, row + 2 * n + k, kQuad * n);
      store_quads(d, v3, row + 3 * n + k, kQuad * n);
    }
    for (; k < n; ++k) {
      for (std::size_t i = 0; i < kLanes; ++i) row[i * n + k] = strip[k * kStrip + first + i];
    }
  }
  for (; first < count; ++first) {
    for (std::size_t k = 0; k < n; ++k) x[first * n + k] = strip[k * kStrip + first];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
