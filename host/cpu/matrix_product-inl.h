// Products of a weight matrix with a strip: the register tile that all speed comes from. Compiled once per instruction
// set.

#if defined(EBMCUDA_CPU_MATRIX_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_MATRIX_PRODUCT_INL_H_
#undef EBMCUDA_CPU_MATRIX_PRODUCT_INL_H_
#else
#define EBMCUDA_CPU_MATRIX_PRODUCT_INL_H_
#endif

#include "host/cpu/packed_network.hpp"
#include "host/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

// Rows x 2 vectors of accumulators, 2 vectors of input and 1 broadcast weight: 15 of 16 registers, or 27 of 32. The
// taller panel reads its input half as often.
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
constexpr int kPanelHeight = 12;
#else
constexpr int kPanelHeight = 6;
#endif

// What happens to a finished sum. Each is given the address that it goes to.
struct StoreSum {
  HWY_INLINE void operator()(float* out, VF sum) const { hn::Store(sum, F(), out); }
};
struct MultiplySum {  // out *= sum: act'(z) becomes dE/dz
  HWY_INLINE void operator()(float* out, VF sum) const { hn::Store(hn::Mul(sum, hn::Load(F(), out)), F(), out); }
};

// out[r][.] = start[r] + sum_k panel[k][r] in[k][.] for the kRows rows of a panel, k ascending: one chain's sum is the
// same whatever its lane and whatever the height of the panel.
template <int kRows, class Epilogue>
HWY_INLINE void multiply_panel(const float* HWY_RESTRICT panel, const float* HWY_RESTRICT start, int cols,
                               const float* HWY_RESTRICT in, float* HWY_RESTRICT out, const Epilogue& epilogue) {
  const F d;
  VF low[kRows], high[kRows];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) low[r] = high[r] = start != nullptr ? constant(start[r]) : hn::Zero(d);
  for (int k = 0; k < cols; ++k) {
    const VF in_low = hn::Load(d, in);
    const VF in_high = hn::Load(d, in + kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const VF weight = constant(panel[r]);
      low[r] = hn::MulAdd(weight, in_low, low[r]);
      high[r] = hn::MulAdd(weight, in_high, high[r]);
    }
    in += kStrip;
    panel += kRows;
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    epilogue(out + static_cast<std::size_t>(r) * kStrip, low[r]);
    epilogue(out + static_cast<std::size_t>(r) * kStrip + kLanes, high[r]);
  }
}

template <int kRows, class Epilogue>
HWY_INLINE void multiply_rows(int rows, const float* panel, const float* start, int cols, const float* in, float* out,
                              const Epilogue& epilogue) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return multiply_rows<kRows - 1>(rows, panel, start, cols, in, out, epilogue);
  }
  multiply_panel<kRows>(panel, start, cols, in, out, epilogue);
}

// Rows after which after_rows is called: few enough to be in the nearest cache still, and enough that what it has to
// wait for at its beginning and end does not count.
constexpr int kGroupRows = 24;

// out = start + matrix * in; `after_rows(first_row, rows)` follows when those are done.
template <class Epilogue, class AfterRows>
HWY_INLINE void multiply(const PackedMatrix& matrix, const float* start, const float* in, float* out,
                         const Epilogue& epilogue, const AfterRows& after_rows) {
  const float* panel = matrix.panels.data();
  for (int group = 0, first = 0; first < matrix.rows;) {
    const int rows = panel_rows(matrix.rows - first, kPanelHeight);
    multiply_rows<kPanelHeight>(rows, panel, start != nullptr ? start + first : nullptr, matrix.cols, in,
                                out + static_cast<std::size_t>(first) * kStrip, epilogue);
    panel += static_cast<std::size_t>(rows) * static_cast<std::size_t>(matrix.cols);
    first += rows;
    if (first - group >= kGroupRows || first == matrix.rows) {
      after_rows(group, first - group);
      group = first;
    }
  }
}

struct NothingAfterRows {
  HWY_INLINE void operator()(int, int) const {}
};

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
