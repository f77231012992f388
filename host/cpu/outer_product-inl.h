// Sums of products over the rows of a chunk, which finish a parameter gradient: a small matrix product per layer whose
// inner dimension is the rows. Compiled once per instruction set.
//
// Strips have rows along the lanes, and summing over lanes would make the order depend on the vector's width. So a
// chunk is transposed to rows of units on the way, one side runs along the lanes and the other is broadcast: every lane
// is one element of the product and sums its rows one by one.

#if defined(EBMCUDA_CPU_OUTER_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_OUTER_PRODUCT_INL_H_
#undef EBMCUDA_CPU_OUTER_PRODUCT_INL_H_
#else
#define EBMCUDA_CPU_OUTER_PRODUCT_INL_H_
#endif

#include "host/cpu/kernels.hpp"
#include "host/cpu/packed_network.hpp"
#include "host/cpu/strip_layout-inl.h"
#include "kernels/math/ordered_sum.hpp"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

static_assert(kChunkRows % kStrip == 0, "a strip lies in one chunk");

// 4 x 3 accumulators, 3 vectors and a broadcast: 16 registers.
constexpr int kBroadcastPanel = 4;
constexpr int kAcrossVectors = 3;

int PackedUnits(Packing packing, int units) {
  const int step = packing == Packing::broadcast ? kBroadcastPanel : static_cast<int>(kLanes);
  return (units + step - 1) / step * step;
}

// Units of the panel that begins with `left` padded units to go: as even as whole vectors allow.
HWY_INLINE int panel_width(Packing packing, int left) {
  if (packing == Packing::broadcast) return kBroadcastPanel;
  return panel_rows(left / static_cast<int>(kLanes), kAcrossVectors) * static_cast<int>(kLanes);
}

PackedPlace PackedPlaceOf(Packing packing, int units, int u) {
  const int padded = PackedUnits(packing, units);
  for (int first = 0;;) {
    const int width = panel_width(packing, padded - first);
    if (u < first + width) {
      return {static_cast<std::size_t>(first) * kChunkRows + static_cast<std::size_t>(u - first),
              static_cast<std::size_t>(width)};
    }
    first += width;
  }
}

void PackStrip(Packing packing, const float* strip, int units, int all_units, std::size_t first_row, float* packed) {
  const F d;
  const int padded = PackedUnits(packing, all_units);
  for (int first = 0; first < units;) {
    const int width = panel_width(packing, padded - first);
    const auto stride = static_cast<std::size_t>(width);
    float* const panel = packed + static_cast<std::size_t>(first) * kChunkRows + first_row * stride;
    const int last = HWY_MIN(first + width, units);
    int u = first;
    for (; kLanes >= kQuad && u + static_cast<int>(kQuad) <= last; u += static_cast<int>(kQuad)) {
      for (std::size_t lane = 0; lane < kStrip; lane += kLanes) {
        const float* in = strip + static_cast<std::size_t>(u) * kStrip + lane;
        VF v0 = hn::Load(d, in), v1 = hn::Load(d, in + kStrip);
        VF v2 = hn::Load(d, in + 2 * kStrip), v3 = hn::Load(d, in + 3 * kStrip);
        transpose_quads(v0, v1, v2, v3);
        float* const out = panel + (u - first) + lane * stride;
        store_quads(d, v0, out, kQuad * stride);
        store_quads(d, v1, out + stride, kQuad * stride);
        store_quads(d, v2, out + 2 * stride, kQuad * stride);
        store_quads(d, v3, out + 3 * stride, kQuad * stride);
      }
    }
    for (; u < last; ++u) {
      const float* in = strip + static_cast<std::size_t>(u) * kStrip;
      for (std::size_t lane = 0; lane < kStrip; ++lane) panel[(u - first) + lane * stride] = in[lane];
    }
    first += width;
  }
}

template <int kRows, int kVectors>
HWY_INLINE void outer_product_tile(const float* HWY_RESTRICT left, const float* HWY_RESTRICT right, int rows,
                                   std::size_t columns, float* HWY_RESTRICT products) {
  const F d;
  VF sums[kRows][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) sums[i][v] = hn::Zero(d);
  }
  for (int r = 0; r < rows; ++r) {
    VF across[kVectors];
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) across[v] = hn::Load(d, right + static_cast<std::size_t>(v) * kLanes);
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      const VF factor = constant(left[i]);
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) sums[i][v] = hn::MulAdd(factor, across[v], sums[i][v]);
    }
    left += kBroadcastPanel;
    right += static_cast<std::size_t>(kVectors) * kLanes;
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      hn::Store(sums[i][v], d, products + static_cast<std::size_t>(i) * columns + static_cast<std::size_t>(v) * kLanes);
    }
  }
}

template <int kVectors>
HWY_INLINE void outer_product_panel(const float* left, const float* right, int rows, int first, int last,
                                    std::size_t columns, float* products) {
  for (int i = first; i < last; i += kBroadcastPanel, products += kBroadcastPanel * columns) {
    const float* const panel = left + static_cast<std::size_t>(i) * kChunkRows;
    switch (last - i) {
      case 1:
        outer_product_tile<1, kVectors>(panel, right, rows, columns, products);
        break;
      case 2:
        outer_product_tile<2, kVectors>(panel, right, rows, columns, products);
        break;
      case 3:
        outer_product_tile<3, kVectors>(panel, right, rows, columns, products);
        break;
      default:
        outer_product_tile<4, kVectors>(panel, right, rows, columns, products);
    }
  }
}

// A panel of `right` stays in the nearest cache while those of `left` pass by.
void OuterProduct(const float* left, const float* right, int rows, int first, int last, int right_units,
                  float* products) {
  const int padded = PackedUnits(Packing::across, right_units);
  const auto columns = static_cast<std::size_t>(padded);
  for (int column = 0; column < padded;) {
    const int width = panel_width(Packing::across, padded - column);
    const float* const panel = right + static_cast<std::size_t>(column) * kChunkRows;
    switch (width / static_cast<int>(kLanes)) {
      case 1:
        outer_product_panel<1>(left, panel, rows, first, last, columns, products + column);
        break;
      case 2:
        outer_product_panel<2>(left, panel, rows, first, last, columns, products + column);
        break;
      default:
        outer_product_panel<3>(left, panel, rows, first, last, columns, products + column);
    }
    column += width;
  }
}

void AddArrays(float* HWY_RESTRICT to, const float* HWY_RESTRICT from, std::size_t n) {
  const F d;
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, from + i)), d, to + i);
  for (; i < n; ++i) to[i] += from[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
