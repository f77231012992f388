// The CPU engine's vector formulas against double precision, with the bounds that host/cpu/simd_math-inl.h states.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

#include "host/cpu/kernels.hpp"

namespace {

// Both ends, the middle, every power of two and its neighbours, and a stride over all words.
std::vector<std::uint32_t> words() {
  std::vector<std::uint32_t> result;
  for (int bit = 0; bit < 32; ++bit) {
    for (int offset = -2; offset <= 2; ++offset) {
      const std::uint32_t word = (1u << bit) + static_cast<std::uint32_t>(offset);
      result.insert(result.end(), {word, ~word});
    }
  }
  for (std::uint64_t word = 0; word < (1ull << 32); word += 65521 / 16) {
    result.push_back(static_cast<std::uint32_t>(word));
  }
  return result;
}

double unit(std::uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; }

double ulp(double value) {
  const float v = std::abs(static_cast<float>(value));
  return static_cast<double>(std::nextafter(v, std::numeric_limits<float>::infinity()) - v);
}

TEST(CpuMath, LogOfUnitsIsWithinFourUlpAlsoNextToOne) {
  const std::vector<std::uint32_t> in = words();
  std::vector<float> out(in.size());
  ebm::cpu::log_units(in.data(), in.size(), out.data());
  double worst = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    // log1p of the exact 1 - u where u is next to 1.
    const double rest = (static_cast<double>(~in[i]) + 0.5) * 0x1p-32;
    const double expected = in[i] >> 31 ? std::log1p(-rest) : std::log(unit(in[i]));
    worst = std::max(worst, std::abs(static_cast<double>(out[i]) - expected) / ulp(expected));
  }
  EXPECT_LE(worst, 4.0);
}

TEST(CpuMath, NormalPairsAreWithinTheirBound) {
  const std::vector<std::uint32_t> a = words();
  const std::vector<std::uint32_t> b(a.rbegin(), a.rend());
  std::vector<float> n_a(a.size()), n_b(a.size());
  ebm::cpu::normal_pairs(a.data(), b.data(), a.size(), n_a.data(), n_b.data());
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double rest = (static_cast<double>(~a[i]) + 0.5) * 0x1p-32;
    const double rho = std::sqrt(-2 * (a[i] >> 31 ? std::log1p(-rest) : std::log(unit(a[i]))));
    const double phi = 2 * std::numbers::pi * unit(b[i]);
    worst = std::max({worst, std::abs(static_cast<double>(n_a[i]) - rho * std::sin(phi)),
                      std::abs(static_cast<double>(n_b[i]) - rho * std::cos(phi))});
    largest = std::max({largest, std::abs(static_cast<double>(n_a[i])), std::abs(static_cast<double>(n_b[i]))});
  }
  EXPECT_LE(worst, 1e-6);
  EXPECT_LE(largest, 6.77);
}

// The logistic's 3 ulp and the rounding of its product with z, wherever z sigmoid(z) is a normal number with z >= -87.
TEST(CpuMath, SiluIsWithinFourUlp) {
  std::vector<float> z;
  for (int i = -87 * 4096; i <= 87 * 4096; ++i) z.push_back(static_cast<float>(i) / 4096);
  std::vector<float> value(z.size()), derivative(z.size());
  ebm::cpu::activation_values(ebm::Activation::silu, z.data(), z.size(), value.data(), derivative.data());
  double worst = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double x = static_cast<double>(z[i]);
    const double expected = x / (1 + std::exp(-x));
    worst = std::max(worst, std::abs(static_cast<double>(value[i]) - expected) / ulp(expected));
  }
  EXPECT_LE(worst, 4.0);
}

TEST(CpuMath, SiluStaysFiniteFarOut) {
  const float z[] = {-1e30f, -200.0f, -87.0f, 0.0f, 87.0f, 200.0f, 1e30f};
  float value[7], derivative[7];
  ebm::cpu::activation_values(ebm::Activation::silu, z, 7, value, derivative);
  for (int i = 0; i < 7; ++i) {
    const double x = static_cast<double>(z[i]);
    const double s = x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
    EXPECT_NEAR(static_cast<double>(value[i]), x * s, 1e-6 * std::abs(x * s) + std::abs(x) * 1.8e-38) << x;
    EXPECT_TRUE(std::isfinite(derivative[i])) << x;
  }
}

}  // namespace
