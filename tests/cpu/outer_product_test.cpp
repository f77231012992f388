// Products summed over the rows of a chunk, on whichever instruction set the program runs on: every sum is taken row by
// row, so its bits are those of a plain loop whatever the width of a vector.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "host/cpu/aligned.hpp"
#include "host/cpu/kernels.hpp"
#include "kernels/math/ordered_sum.hpp"

namespace {

using ebm::cpu::Packing;

constexpr auto kRows = static_cast<std::size_t>(ebm::kChunkRows);

// Numbers of many sizes, whose sums depend on their order: [kRows][units].
std::vector<float> matrix(int units, unsigned seed) {
  std::vector<float> values(kRows * static_cast<std::size_t>(units));
  unsigned state = seed;
  for (float& v : values) {
    state = state * 1664525u + 1013904223u;
    v = std::ldexp(static_cast<float>(state >> 8) / 16777216.0f - 0.5f, static_cast<int>(state >> 4 & 7));
  }
  return values;
}

// Through strips, as a batch is.
ebm::cpu::AlignedVector<float> packed(Packing packing, const std::vector<float>& rows, int units, int all_units) {
  const std::size_t width = ebm::cpu::strip_width();
  ebm::cpu::AlignedVector<float> to(kRows * static_cast<std::size_t>(ebm::cpu::packed_units(packing, all_units)));
  ebm::cpu::AlignedVector<float> strip(static_cast<std::size_t>(units) * width);
  for (std::size_t first = 0; first < kRows; first += width) {
    ebm::cpu::load_strip(rows.data() + first * static_cast<std::size_t>(units), width, units, strip.data());
    ebm::cpu::pack_strip(packing, strip.data(), units, all_units, first, to.data());
  }
  return to;
}

TEST(OuterProduct, PackingPutsEveryNumberInItsPlaceAndTouchesNoOther) {
  for (const Packing packing : {Packing::broadcast, Packing::across}) {
    for (const int units : {1, 2, 3, 4, 5, 15, 16, 17, 31, 49, 128}) {
      const std::vector<float> rows = matrix(units, 1);
      const auto to = packed(packing, rows, units, units + 1);
      std::vector<float> left(to.begin(), to.end());
      for (int u = 0; u < units; ++u) {
        const auto place = ebm::cpu::packed_place(packing, units + 1, u);
        for (std::size_t r = 0; r < kRows; ++r) {
          const std::size_t at = place.at + r * place.row_stride;
          ASSERT_EQ(to[at], rows[r * static_cast<std::size_t>(units) + static_cast<std::size_t>(u)])
              << units << " " << u << " " << r;
          left[at] = 0.0f;
        }
      }
      EXPECT_EQ(left, std::vector<float>(left.size(), 0.0f)) << units;
    }
  }
}

// Rejects sums over lanes, pairs or blocks of rows, and rows that are dropped or read beyond the end of a short chunk.
TEST(OuterProduct, EveryElementIsSummedRowByRow) {
  const bool fused = [] {  // whether this instruction set multiplies and adds with one rounding
    const std::string set = ebm::cpu::instruction_set();
    return set.find("SSE") == std::string::npos && set.find("SSSE") == std::string::npos;
  }();
  for (const int left_units : {1, 2, 3, 4, 6, 17, 33}) {
    for (const int right_units : {1, 3, 16, 17, 47, 129}) {
      const std::vector<float> a = matrix(left_units, 2), b = matrix(right_units, 3);
      const auto left = packed(Packing::broadcast, a, left_units, left_units);
      const auto right = packed(Packing::across, b, right_units, right_units);
      const auto columns = static_cast<std::size_t>(ebm::cpu::packed_units(Packing::across, right_units));
      for (const int rows : {1, 5, 127, 128}) {
        ebm::cpu::AlignedVector<float> products(static_cast<std::size_t>(left_units) * columns, -1.0f);
        const int half = left_units / 8 * 4;  // in two calls where a whole panel of four can be first
        if (half > 0) ebm::cpu::outer_product(left.data(), right.data(), rows, 0, half, right_units, products.data());
        ebm::cpu::outer_product(left.data(), right.data(), rows, half, left_units, right_units,
                                products.data() + static_cast<std::size_t>(half) * columns);
        for (int i = 0; i < left_units; ++i) {
          for (int j = 0; j < right_units; ++j) {
            volatile float sum = 0.0f;
            for (int r = 0; r < rows; ++r) {
              const float u = a[static_cast<std::size_t>(r * left_units + i)];
              const float v = b[static_cast<std::size_t>(r * right_units + j)];
              const volatile float rounded = u * v;
              sum = fused ? std::fma(u, v, sum) : rounded + sum;
            }
            ASSERT_EQ(products[static_cast<std::size_t>(i) * columns + static_cast<std::size_t>(j)], sum)
                << left_units << " x " << right_units << ", " << rows << " rows: " << i << ", " << j;
          }
        }
      }
    }
  }
}

}  // namespace
