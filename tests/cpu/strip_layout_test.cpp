// Rows of memory to lanes of a strip and back, for whole strips, parts of them and every remainder of the dimension.
#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "host/cpu/aligned.hpp"
#include "host/cpu/kernels.hpp"

namespace {

constexpr float kUntouched = -1.0f;

std::vector<float> numbered(std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i + 1);
  return x;
}

TEST(StripLayout, LoadPutsChainsOnLanesAndZerosBeyond) {
  const std::size_t width = ebm::cpu::strip_width();
  for (const int dim : {1, 2, 3, 4, 5, 7, 8, 31, 64}) {
    const auto n = static_cast<std::size_t>(dim);
    for (std::size_t count = 1; count <= width; ++count) {
      const std::vector<float> x = numbered(count * n);
      ebm::cpu::AlignedVector<float> strip(n * width, kUntouched);
      ebm::cpu::load_strip(x.data(), count, dim, strip.data());
      for (std::size_t k = 0; k < n; ++k) {
        for (std::size_t i = 0; i < width; ++i) {
          ASSERT_EQ(strip[k * width + i], i < count ? x[i * n + k] : 0.0f)
              << dim << " " << count << " " << k << " " << i;
        }
      }
    }
  }
}

TEST(StripLayout, StoreWritesTheChainsThatAreAskedForAndNothingElse) {
  const std::size_t width = ebm::cpu::strip_width();
  for (const int dim : {1, 2, 3, 4, 5, 7, 8, 31, 64}) {
    const auto n = static_cast<std::size_t>(dim);
    const std::vector<float> values = numbered(n * width);
    const ebm::cpu::AlignedVector<float> strip(values.begin(), values.end());
    for (std::size_t count = 1; count <= width; ++count) {
      std::vector<float> x((count + 1) * n, kUntouched);
      ebm::cpu::store_strip(strip.data(), count, dim, x.data());
      for (std::size_t i = 0; i <= count; ++i) {
        for (std::size_t k = 0; k < n; ++k) {
          ASSERT_EQ(x[i * n + k], i < count ? strip[k * width + i] : kUntouched)
              << dim << " " << count << " " << k << " " << i;
        }
      }
    }
  }
}

}  // namespace
