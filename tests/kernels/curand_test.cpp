// The Contract says that the library's words are what cuRAND returns. cuRAND's own device header, compiled for the
// host, is the oracle.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#define QUALIFIERS static inline  // cuRAND's own hook for compiling its device functions elsewhere
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <curand_kernel.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include <random>

#include "kernels/math/philox.hpp"
#include "reference/random.hpp"

namespace {

curandStatePhilox4_32_10_t curand_state(std::uint64_t seed, const ebm::PhiloxCounter& c) {
  curandStatePhilox4_32_10_t state;
  const auto wide = [](std::uint32_t low, std::uint32_t high) {
    return static_cast<unsigned long long>(low) | static_cast<unsigned long long>(high) << 32;
  };
  // An offset counts words and is taken modulo 2^64, so counters whose upper two bits are set can't be named by one.
  curand_init(seed, wide(c.c2, c.c3), 4 * wide(c.c0, c.c1), &state);
  return state;
}

// The offset names c0 and c1 below 2^62: steps whose low word is below 2^30, which is what this draws.
TEST(Curand, CurandInitAndCurand4ReturnTheLibrarysWords) {
  std::mt19937_64 bits(3);
  for (int i = 0; i < 200000; ++i) {
    const std::uint64_t seed = bits(), chain = bits() >> 8;
    const std::uint64_t step = (bits() >> 34) | (bits() >> 48) << 32;
    const auto block = static_cast<std::uint32_t>(bits() >> 48);
    const auto purpose = static_cast<ebm::Purpose>(bits() % 13);
    const ebm::PhiloxCounter c = ebm::philox_counter(purpose, chain, step, block);
    curandStatePhilox4_32_10_t state = curand_state(seed, c);
    const uint4 expected = curand4(&state);
    const ebm::PhiloxWords w = ebm::philox(c, ebm::philox_key(seed));
    ASSERT_TRUE(w.r0 == expected.x && w.r1 == expected.y && w.r2 == expected.z && w.r3 == expected.w) << i;
  }
}

// Which word goes into which normal, and sine before cosine. cuRAND computes in single precision, and its uniform loses
// relative precision near 1, where the radius is small: 3e-4 covers that.
TEST(Curand, NormalsComeInTheOrderOfCurandNormal4) {
  for (std::uint64_t chain = 0; chain < 20000; ++chain) {
    curandStatePhilox4_32_10_t state =
        curand_state(17, ebm::philox_counter(ebm::Purpose::langevin_noise, chain, chain % 97, 0));
    const float4 n = curand_normal4(&state);
    const std::vector<double> expected = ref::normals(17, chain, chain % 97, 4);
    ASSERT_NEAR(static_cast<double>(n.x), expected[0], 3e-4) << chain;
    ASSERT_NEAR(static_cast<double>(n.y), expected[1], 3e-4) << chain;
    ASSERT_NEAR(static_cast<double>(n.z), expected[2], 3e-4) << chain;
    ASSERT_NEAR(static_cast<double>(n.w), expected[3], 3e-4) << chain;
  }
}

}  // namespace
