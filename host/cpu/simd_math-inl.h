// Vector forms of Philox and the uniform and normal maps. Compiled once per instruction set.
// The error bounds are what tests/cpu/cpu_math_test.cpp checks.

#if defined(EBMCUDA_CPU_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_SIMD_MATH_INL_H_
#undef EBMCUDA_CPU_SIMD_MATH_INL_H_
#else
#define EBMCUDA_CPU_SIMD_MATH_INL_H_
#endif

#include <hwy/highway.h>

#include "kernels/math/philox.hpp"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F = hn::ScalableTag<float>;
using I = hn::RebindToSigned<F>;
using U = hn::RebindToUnsigned<F>;
using VF = hn::Vec<F>;
using VI = hn::Vec<I>;
using VU = hn::Vec<U>;
using Mask = hn::Mask<F>;

constexpr std::size_t kLanes = HWY_LANES(float);
constexpr std::size_t kStripVectors = 2;
constexpr std::size_t kStrip = kStripVectors * kLanes;

HWY_INLINE VF constant(float value) { return hn::Set(F(), value); }

// ---------------------------------------------------------------------------------------------------- random bits

struct PhiloxVectors {
  VU r0, r1, r2, r3;
};

// The 64-bit products of even and of odd lanes are carried apart through all rounds; only the low half of each 64-bit
// lane means anything until they are merged at the end.
HWY_INLINE void philox_round(VU& c0, VU& c1, VU& c2, VU& c3, VU k0, VU k1) {
  const U u;
  const auto p0 = hn::MulEven(c0, hn::Set(u, kPhiloxM0));
  const auto p1 = hn::MulEven(c2, hn::Set(u, kPhiloxM1));
  const VU high0 = hn::BitCast(u, hn::ShiftRight<32>(p0));
  const VU high1 = hn::BitCast(u, hn::ShiftRight<32>(p1));
  c0 = hn::Xor(hn::Xor(high1, c1), k0);
  c1 = hn::BitCast(u, p1);
  c2 = hn::Xor(hn::Xor(high0, c3), k1);
  c3 = hn::BitCast(u, p0);
}

HWY_INLINE VU odd_to_even(VU v) {
  const hn::RepartitionToWide<U> wide;
  return hn::BitCast(U(), hn::ShiftRight<32>(hn::BitCast(wide, v)));
}
HWY_INLINE VU merge_even_odd(VU even, VU odd) {
  const hn::RepartitionToWide<U> wide;
  return hn::OddEven(hn::BitCast(U(), hn::ShiftLeft<32>(hn::BitCast(wide, odd))), even);
}

// Bit-equal to kernels/math/philox.hpp, lane by lane.
HWY_INLINE PhiloxVectors philox_vectors(std::uint64_t seed, VU c0, VU c1, VU c2, VU c3) {
  const U u;
  VU e0 = c0, e1 = c1, e2 = c2, e3 = c3;
  VU o0 = odd_to_even(c0), o1 = odd_to_even(c1), o2 = odd_to_even(c2), o3 = odd_to_even(c3);
  PhiloxKey key = philox_key(seed);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const VU k0 = hn::Set(u, key.k0), k1 = hn::Set(u, key.k1);
    philox_round(e0, e1, e2, e3, k0, k1);
    philox_round(o0, o1, o2, o3, k0, k1);
    key.k0 += kPhiloxW0;
    key.k1 += kPhiloxW1;
  }
  return {merge_even_odd(e0, o0), merge_even_odd(e1, o1), merge_even_odd(e2, o2), merge_even_odd(e3, o3)};
}

// One vector of chains at one step: the parts of their counters.
struct Counters {
  VU step_high;  // bits 32..47 of the step, already in place for c0
  VU step_low, id_low, id_high;

  HWY_INLINE PhiloxVectors words(std::uint64_t seed, Purpose purpose, std::uint32_t block) const {
    const U u;
    return philox_vectors(seed, hn::Or(step_high, hn::Set(u, block)), step_low, id_low,
                          hn::Or(id_high, hn::Set(u, static_cast<std::uint32_t>(purpose) << 24)));
  }
};

HWY_INLINE Counters load_counters(const std::uint64_t* ids, const std::uint64_t* steps, std::int64_t offset) {
  const U u;
  HWY_ALIGN std::uint32_t parts[4][kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) {
    const std::uint64_t step = steps[i] + static_cast<std::uint64_t>(offset);
    parts[0][i] = static_cast<std::uint32_t>(step >> 32) << 16;
    parts[1][i] = static_cast<std::uint32_t>(step);
    parts[2][i] = static_cast<std::uint32_t>(ids[i]);
    parts[3][i] = static_cast<std::uint32_t>(ids[i] >> 32) & 0xFFFFFFu;
  }
  return {hn::Load(u, parts[0]), hn::Load(u, parts[1]), hn::Load(u, parts[2]), hn::Load(u, parts[3])};
}

// Correctly rounded u32 -> float.
HWY_INLINE VF float_of(VU r) {
  const F d;
  const I i;
  const U u;
  const VF high = hn::ConvertTo(d, hn::BitCast(i, hn::ShiftRight<16>(r)));
  const VF low = hn::ConvertTo(d, hn::BitCast(i, hn::And(r, hn::Set(u, 0xFFFFu))));
  return hn::MulAdd(high, constant(65536.0f), low);
}

// (r + 0.5) 2^-32 as kernels/math/philox.hpp's unit_float rounds it.
HWY_INLINE VF unit_of(VU r) { return hn::Add(hn::Mul(float_of(r), constant(0x1p-32f)), constant(0x1p-33f)); }

// (2 u - 1) * 3, from the signed integer so that nothing cancels. Max error: 1 ulp.
HWY_INLINE VF start_of(VU r) {
  const F d;
  const I i;
  const VF centred = hn::ConvertTo(d, hn::BitCast(i, hn::Xor(r, hn::Set(U(), 0x80000000u))));
  return hn::MulAdd(centred, constant(3 * 0x1p-31f), constant(3 * 0x1p-32f));
}

// ln((r + 0.5) 2^-32), also where u is next to 1 and 1 - u is what carries the information.
// Max error: 4 ulp for every r.
HWY_INLINE VF log_unit(VU r) {
  const F d;
  const I i;
  const VI signed_r = hn::BitCast(i, r);
  // w = u below one half, 1 - u above.
  const VI folded = hn::Xor(signed_r, hn::ShiftRight<31>(signed_r));
  const VF w = hn::MulAdd(hn::ConvertTo(d, folded), constant(0x1p-32f), constant(0x1p-33f));
  const auto upper = hn::RebindMask(d, hn::Lt(signed_r, hn::Zero(i)));
  const VF x = hn::IfThenElse(upper, hn::Sub(constant(1.0f), w), w);
  // x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)).
  const VI bits = hn::BitCast(i, x);
  const VI k = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(i, 0x3F3504F3)));
  VF f = hn::Sub(hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(k))), constant(1.0f));
  f = hn::IfThenElse(hn::RebindMask(d, hn::Eq(k, hn::Zero(i))), hn::Neg(w), f);
  // Cephes logf: ln(1 + f) = f - f^2/2 + f^3 P(f).
  VF p = constant(7.0376836292e-2f);
  p = hn::MulAdd(p, f, constant(-1.1514610310e-1f));
  p = hn::MulAdd(p, f, constant(1.1676998740e-1f));
  p = hn::MulAdd(p, f, constant(-1.2420140846e-1f));
  p = hn::MulAdd(p, f, constant(1.4249322787e-1f));
  p = hn::MulAdd(p, f, constant(-1.6668057665e-1f));
  p = hn::MulAdd(p, f, constant(2.0000714765e-1f));
  p = hn::MulAdd(p, f, constant(-2.4999993993e-1f));
  p = hn::MulAdd(p, f, constant(3.3333331174e-1f));
  const VF f2 = hn::Mul(f, f);
  const VF kf = hn::ConvertTo(d, k);
  VF y = hn::Mul(hn::Mul(p, f2), f);
  y = hn::MulAdd(kf, constant(-2.12194440e-4f), y);  // ln 2 in two parts
  y = hn::NegMulAdd(constant(0.5f), f2, y);
  return hn::MulAdd(kf, constant(0.693359375f), hn::Add(f, y));
}

struct SineCosine {
  VF sine, cosine;
};

// Of 2 pi (r + 0.5) 2^-32: the quadrant is taken off in integers, exactly. Max error: 1.5e-7.
HWY_INLINE SineCosine sine_cosine_of(VU r) {
  const F d;
  const I i;
  const U u;
  const VU quadrant = hn::ShiftRight<30>(hn::Add(r, hn::Set(u, 0x20000000u)));
  const VI rest = hn::BitCast(i, hn::Sub(r, hn::ShiftLeft<30>(quadrant)));
  const VF t = hn::MulAdd(hn::ConvertTo(d, rest), constant(0x1.921fb6p-30f), constant(0x1.921fb6p-31f));
  const VF t2 = hn::Mul(t, t);
  // Cephes sinf, cosf on [-pi/4, pi/4].
  VF s = hn::MulAdd(constant(-1.9515295891e-4f), t2, constant(8.3321608736e-3f));
  s = hn::MulAdd(s, t2, constant(-1.6666654611e-1f));
  s = hn::MulAdd(hn::Mul(s, t2), t, t);
  VF c = hn::MulAdd(constant(2.443315711809948e-5f), t2, constant(-1.388731625493765e-3f));
  c = hn::MulAdd(c, t2, constant(4.166664568298827e-2f));
  c = hn::MulAdd(hn::Mul(c, t2), t2, hn::NegMulAdd(constant(0.5f), t2, constant(1.0f)));
  const auto swapped = hn::RebindMask(d, hn::Ne(hn::And(quadrant, hn::Set(u, 1u)), hn::Zero(u)));
  const VF sine = hn::IfThenElse(swapped, c, s);
  const VF cosine = hn::IfThenElse(swapped, s, c);
  const VU sine_sign = hn::ShiftLeft<31>(hn::ShiftRight<1>(quadrant));
  const VU cosine_sign = hn::ShiftLeft<31>(hn::ShiftRight<1>(hn::Add(quadrant, hn::Set(u, 1u))));
  return {hn::BitCast(d, hn::Xor(hn::BitCast(u, sine), sine_sign)),
          hn::BitCast(d, hn::Xor(hn::BitCast(u, cosine), cosine_sign))};
}

struct NormalPair {
  VF a, b;
};

// n_a = rho sin(phi), n_b = rho cos(phi), rho = sqrt(-2 ln u(r_a)), phi = 2 pi u(r_b). |n| <= 6.77.
// Max error: 1e-6 absolute, for every pair of words.
HWY_INLINE NormalPair normal_pair(VU r_a, VU r_b) {
  const VF rho = hn::Sqrt(hn::Mul(constant(-2.0f), log_unit(r_a)));
  const SineCosine angle = sine_cosine_of(r_b);
  return {hn::Mul(rho, angle.sine), hn::Mul(rho, angle.cosine)};
}

HWY_INLINE Mask is_finite(VF v) {
  // v - v is 0 for finite numbers and NaN for the others.
  return hn::Eq(hn::Sub(v, v), hn::Zero(F()));
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
