// The library's random bits: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC11), stateless, with the counter layout of
// docs/reproducibility.md. On a GPU the rounds are cuRAND's own device function, which gives the same bits; the host
// has them below, and the CPU engine's vector form is tested against those.
#pragma once

#include "kernels/math/portable.hpp"

#if defined(__CUDACC__)
#include <curand_philox4x32_x.h>
#endif

namespace ebm {

// What a random number is for: bits 24..31 of counter word 3. Append only; a number's meaning never changes.
enum class Purpose : unsigned {
  langevin_noise = 0,
  initial_position = 1,
  reinitialization = 2,
  replay_slot = 3,
  accept = 4,
  momentum = 5,
  parameters = 6,
  data_order = 7,
  data_noise = 8,
  move = 9,
  difference = 10,
  density_draw = 11,       // `ebm data`
  evaluation = 12,         // AIS base draws, baselines
  data_split = 13,         // shuffled_order
  dequantization = 14,     // dequantized
  second_half_noise = 15,  // malt: the O part that ends a step
  replica_swap = 16,       // tempering
  data_smoothing = 17,     // TrainerOptions::data_noise
};

struct PhiloxCounter {
  std::uint32_t c0, c1, c2, c3;
};
struct PhiloxKey {
  std::uint32_t k0, k1;
};
struct PhiloxWords {
  std::uint32_t r0, r1, r2, r3;
};

constexpr std::uint32_t kPhiloxM0 = 0xD2511F53u, kPhiloxM1 = 0xCD9E8D57u;
constexpr std::uint32_t kPhiloxW0 = 0x9E3779B9u, kPhiloxW1 = 0xBB67AE85u;
constexpr int kPhiloxRounds = 10;

EBM_HD constexpr PhiloxKey philox_key(std::uint64_t seed) {
  return {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
}

// chain < 2^56, step < 2^48, block < 2^16.
EBM_HD constexpr PhiloxCounter philox_counter(Purpose purpose, std::uint64_t chain, std::uint64_t step,
                                              std::uint32_t block) {
  return {block | static_cast<std::uint32_t>(step >> 32) << 16, static_cast<std::uint32_t>(step),
          static_cast<std::uint32_t>(chain),
          (static_cast<std::uint32_t>(chain >> 32) & 0xFFFFFFu) | static_cast<std::uint32_t>(purpose) << 24};
}

EBM_HD constexpr PhiloxWords philox(PhiloxCounter c, PhiloxKey k) {
#if defined(__CUDA_ARCH__)
  const uint4 r = curand_Philox4x32_10(uint4{c.c0, c.c1, c.c2, c.c3}, uint2{k.k0, k.k1});
  return {r.x, r.y, r.z, r.w};
#else
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t p0 = static_cast<std::uint64_t>(kPhiloxM0) * c.c0;
    const std::uint64_t p1 = static_cast<std::uint64_t>(kPhiloxM1) * c.c2;
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c.c1 ^ k.k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c.c3 ^ k.k1, static_cast<std::uint32_t>(p0)};
    k.k0 += kPhiloxW0;
    k.k1 += kPhiloxW1;
  }
  return {c.c0, c.c1, c.c2, c.c3};
#endif
}

EBM_HD constexpr PhiloxWords philox(std::uint64_t seed, Purpose purpose, std::uint64_t chain, std::uint64_t step,
                                    std::uint32_t block) {
  return philox(philox_counter(purpose, chain, step, block), philox_key(seed));
}

// u = (r + 0.5) 2^-32, rounded to float: in (0, 1], never 0. (1 only by rounding, for r >= 2^32 - 128.)
EBM_HD constexpr float unit_float(std::uint32_t r) {
#if defined(__CUDA_ARCH__)
  return fmaf(static_cast<float>(r), 0x1p-32f, 0x1p-33f);  // the product is exact: the same number
#else
  return static_cast<float>(r) * 0x1p-32f + 0x1p-33f;
#endif
}
// The same number exactly, in (0, 1).
EBM_HD constexpr double unit_double(std::uint32_t r) { return (static_cast<double>(r) + 0.5) * 0x1p-32; }

// A whole number in 0 .. n-1 from one word, n <= 2^32 (bias below n / 2^32).
EBM_HD constexpr std::uint32_t index_below(std::uint32_t r, std::uint64_t n) {
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(r) * n) >> 32);
}

}  // namespace ebm
