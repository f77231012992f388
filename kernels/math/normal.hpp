// Normal deviates from Philox words (Box and Muller 1958, in the order of cuRAND's curand_normal4): from two words,
//   rho = sqrt(-2 ln u(r_a)),  n_a = rho sin(2 pi u(r_b)),  n_b = rho cos(2 pi u(r_b)).
//
// Max error of a normal: kNormalError, absolute (|n| <= 6.77). Near u = 1 the float nearest u has no digits of -ln u
// left, so that half takes its logarithm from 1 - u, which is exact in the words.
#pragma once

#include "kernels/math/philox.hpp"

#if !defined(__CUDACC_RTC__)
#include <cmath>
#endif

namespace ebm {

constexpr float kNormalError = 3e-6f;
// The same of fast_normal_pair: reached once in 10^6 numbers, where u_a is within 2^-22 of 1; 1e-5 elsewhere.
constexpr float kFastNormalError = 7e-4f;

struct NormalPair {
  float a, b;
};
struct NormalBlock {
  float n[4];
};

// ln u(r), relative error below 4e-7.
EBM_HD inline float log_unit(std::uint32_t r) {
  return r < 0x80000000u ? logf(unit_float(r)) : log1pf(-unit_float(~r));
}

EBM_HD inline NormalPair normal_pair(std::uint32_t r_a, std::uint32_t r_b) {
  const float rho = sqrtf(-2.0f * log_unit(r_a));
  // The angle over pi, in (-1, 1): u or u - 1, twice. Reading the word as signed keeps digits near zero.
  const float turn = fmaf(static_cast<float>(static_cast<std::int32_t>(r_b)), 0x1p-31f, 0x1p-32f);
  float sine, cosine;
#if defined(__CUDA_ARCH__)
  sincospif(turn, &sine, &cosine);
#else
  const double angle = 3.14159265358979323846 * static_cast<double>(turn);
  sine = static_cast<float>(std::sin(angle));
  cosine = static_cast<float>(std::cos(angle));
#endif
  return {rho * sine, rho * cosine};
}

#if defined(__CUDA_ARCH__)
// The same with the hardware's approximations, for chains in half precision: a quarter of the instructions.
__device__ __forceinline__ NormalPair fast_normal_pair(std::uint32_t r_a, std::uint32_t r_b) {
  float log2_u, rho;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(log2_u) : "f"(unit_float(r_a)));
  // -2 ln u; near u = 1 the approximate logarithm may lie on the wrong side of 0, by 2^-22.
  asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(rho) : "f"(fabsf(log2_u * 1.3862943611198906f)));
  const float angle = static_cast<float>(static_cast<std::int32_t>(r_b)) * 1.4629180792671596e-9f;  // pi 2^-31
  return {rho * __sinf(angle), rho * __cosf(angle)};
}
__device__ __forceinline__ NormalBlock fast_normal_block(PhiloxWords w) {
  const NormalPair p = fast_normal_pair(w.r0, w.r1), q = fast_normal_pair(w.r2, w.r3);
  return {{p.a, p.b, q.a, q.b}};
}
#endif

// The numbers of dimensions 4 block .. 4 block + 3.
EBM_HD inline NormalBlock normal_block(PhiloxWords w) {
  const NormalPair p = normal_pair(w.r0, w.r1), q = normal_pair(w.r2, w.r3);
  return {{p.a, p.b, q.a, q.b}};
}

// The uniform start in model space, (2u - 1) 3.
constexpr float kStartRadius = 3.0f;
EBM_HD inline float uniform_start(std::uint32_t r) { return fmaf(2.0f * kStartRadius, unit_float(r), -kStartRadius); }

}  // namespace ebm
