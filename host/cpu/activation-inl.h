// Vector forms of the activations and their derivatives. Compiled once per instruction set.
// The error bounds are what tests/cpu/cpu_math_test.cpp and tests/engine/activation_test.cpp check.

#if defined(EBMCUDA_CPU_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_ACTIVATION_INL_H_
#undef EBMCUDA_CPU_ACTIVATION_INL_H_
#else
#define EBMCUDA_CPU_ACTIVATION_INL_H_
#endif

#include "ebmcuda/mlp.hpp"
#include "host/cpu/simd_math-inl.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

// Functions of kTogether vectors at once, written step by step: every step is kTogether independent instructions, which
// a core starts while the step before is under way. Written vector by vector, the dependent instructions of a few
// vectors fill its queues and the rest waits.
constexpr int kTogether = 4;
using Vectors = VF[kTogether];

struct ActivatedVectors {
  Vectors value, derivative;
};

// e^-z for |z| <= 87, with none of the checks of Highway's exp, which cost as much as the function. Max error: 2 ulp
// for z <= 86; where the result is the smallest, 1.2e-38.
HWY_INLINE void exp_of_negative(const Vectors& z, Vectors& result) {
  const F d;
  const I i;
  const VF shifter = constant(0x1.8p23f);
  Vectors shifted, r, p;
  // -z = n ln 2 - r, |r| <= ln(2) / 2. Adding 1.5 * 2^23 rounds to an integer and leaves it in the lowest bits.
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) shifted[j] = hn::NegMulAdd(z[j], constant(1.44269504f), shifter);
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) p[j] = hn::Sub(shifted[j], shifter);
    // ln 2 in two parts, the first of 9 bits: its product with n is exact.
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) r[j] = hn::MulAdd(p[j], constant(0.693359375f), z[j]);
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) r[j] = hn::MulAdd(p[j], constant(-2.12194440e-4f), r[j]);
    // e^-r = 1 - r + r^2 q(r); q minimax for the relative error of the whole, 3.1e-9.
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) p[j] = hn::NegMulAdd(constant(1.38145406e-3f), r[j], constant(8.36874545e-3f));
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) p[j] = hn::NegMulAdd(p[j], r[j], constant(4.16683890e-2f));
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) p[j] = hn::NegMulAdd(p[j], r[j], constant(1.66665211e-1f));
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) p[j] = hn::NegMulAdd(p[j], r[j], constant(4.99999940e-1f));
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) p[j] = hn::NegMulAdd(p[j], r[j], constant(1.0f));
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) p[j] = hn::NegMulAdd(p[j], r[j], constant(1.0f));
    // Times 2^n: the shift leaves nothing of the shifter's own bits.
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) {
    result[j] = hn::BitCast(d, hn::Add(hn::BitCast(i, p[j]), hn::ShiftLeft<23>(hn::BitCast(i, shifted[j]))));
  }
}

// 1 / (1 + e^-z). Max error: 3 ulp for z >= -87; below, 1.7e-38, which is what is left there.
HWY_INLINE void logistic(const Vectors& z, Vectors& s) {
  Vectors near;
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) near[j] = hn::Min(hn::Max(z[j], constant(-87.0f)), constant(87.0f));
  exp_of_negative(near, s);
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) s[j] = hn::Add(s[j], constant(1.0f));
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) s[j] = hn::Div(constant(1.0f), s[j]);
}

struct Silu {
  static HWY_INLINE ActivatedVectors apply(const Vectors& z) {
    ActivatedVectors a;
    Vectors s;
    logistic(z, s);
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j) a.value[j] = hn::Mul(z[j], s[j]);
      // s + a (1 - s)
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j) {
      a.derivative[j] = hn::MulAdd(a.value[j], hn::Sub(constant(1.0f), s[j]), s[j]);
    }
    return a;
  }
};

struct Softplus {
  static HWY_INLINE ActivatedVectors apply(const Vectors& z) {
    const F d;
    ActivatedVectors a;
    Vectors e;
    // Beyond 86 it is next to nothing beside max(z, 0), which is 0 or at least 86.
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j) e[j] = hn::Min(hn::Abs(z[j]), constant(86.0f));
    exp_of_negative(e, e);
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j) {
      const VF value = hn::Add(hn::Max(z[j], hn::Zero(d)), hn::Log1p(d, e[j]));
      const VF numerator = hn::IfThenElse(hn::Lt(z[j], hn::Zero(d)), e[j], constant(1.0f));
      // Max and Lt drop a NaN; adding 0 * z brings it back.
      a.value[j] = hn::MulAdd(z[j], hn::Zero(d), value);
      a.derivative[j] = hn::Div(numerator, hn::Add(constant(1.0f), e[j]));
    }
    return a;
  }
};

// A function of one vector, applied to each. One::one(z, value, derivative).
template <class One>
struct VectorByVector {
  static HWY_INLINE ActivatedVectors apply(const Vectors& z) {
    ActivatedVectors a;
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j) One::one(z[j], a.value[j], a.derivative[j]);
    return a;
  }
};

struct Tanh : VectorByVector<Tanh> {
  static HWY_INLINE void one(VF z, VF& value, VF& derivative) {
    value = hn::Tanh(F(), z);
    derivative = hn::NegMulAdd(value, value, constant(1.0f));
  }
};

struct Gelu {
  static HWY_INLINE ActivatedVectors apply(const Vectors& z) {
    constexpr float kScale = 0.7978845608028654f;  // sqrt(2 / pi)
    constexpr float kCubic = 0.044715f;
    constexpr float kFlat = 20.0f;  // beyond, s is 0 or 1 to the last bit and the derivative with it
    ActivatedVectors a;
    Vectors s;
    // 0.5 (1 + tanh(v)) = logistic(2 v)
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j) {
      const VF inner =
          hn::Mul(constant(kScale), hn::MulAdd(hn::Mul(constant(kCubic), hn::Mul(z[j], z[j])), z[j], z[j]));
      s[j] = hn::Add(inner, inner);
    }
    logistic(s, s);
#pragma GCC unroll 4
    for (int j = 0; j < kTogether; ++j) {
      const VF value = hn::Mul(z[j], s[j]);
      const VF near = hn::Min(hn::Max(z[j], constant(-kFlat)), constant(kFlat));
      const VF slope = hn::MulAdd(hn::Mul(constant(6.0f * kScale * kCubic), near), near, constant(2.0f * kScale));
      const VF derivative = hn::MulAdd(hn::Mul(hn::Mul(near, s[j]), slope), hn::Sub(constant(1.0f), s[j]), s[j]);
      // Min and Max drop a NaN; adding 0 * value brings it back.
      a.value[j] = value;
      a.derivative[j] = hn::MulAdd(value, hn::Zero(F()), derivative);
    }
    return a;
  }
};

struct Elu : VectorByVector<Elu> {
  static HWY_INLINE void one(VF z, VF& value, VF& derivative) {
    const F d;
    const VF below = hn::Expm1(d, hn::Min(z, hn::Zero(d)));
    const auto positive = hn::Gt(z, hn::Zero(d));
    value = hn::MulAdd(z, hn::Zero(d), hn::IfThenElse(positive, z, below));
    derivative = hn::IfThenElse(positive, constant(1.0f), hn::Add(below, constant(1.0f)));
  }
};

struct Relu : VectorByVector<Relu> {
  static HWY_INLINE void one(VF z, VF& value, VF& derivative) {
    const F d;
    const auto positive = hn::Gt(z, hn::Zero(d));
    value = hn::MulAdd(z, hn::Zero(d), hn::IfThenElseZero(positive, z));
    derivative = hn::IfThenElseZero(positive, constant(1.0f));
  }
};

// The vectors at z + first, first + kLanes, ... at once. `n` numbers follow, an even number of vectors; where fewer
// than kTogether are left, the last ones are done twice.
template <class Function>
HWY_INLINE void activate_some(float* HWY_RESTRICT z, float* HWY_RESTRICT derivative, std::size_t n) {
  static_assert(kTogether == 2 * kStripVectors);
  const F d;
  const std::size_t second = n > kStrip ? kStrip : 0;
  const std::size_t at[kTogether] = {0, kLanes, second, second + kLanes};
  Vectors in;
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) in[j] = hn::Load(d, z + at[j]);
  const ActivatedVectors out = Function::apply(in);
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) hn::Store(out.value[j], d, z + at[j]);
#pragma GCC unroll 4
  for (int j = 0; j < kTogether; ++j) hn::Store(out.derivative[j], d, derivative + at[j]);
}

template <class Function>
HWY_INLINE void activate_with(float* HWY_RESTRICT z, float* HWY_RESTRICT derivative, std::size_t n) {
  for (std::size_t i = 0; i < n; i += 2 * kStrip) activate_some<Function>(z + i, derivative + i, n - i);
}

// z -> act(z) in place, and act'(z). n numbers, a multiple of kStrip.
HWY_NOINLINE void activate(Activation activation, float* z, float* derivative, std::size_t n) {
  switch (activation) {
    case Activation::silu:
      return activate_with<Silu>(z, derivative, n);
    case Activation::softplus:
      return activate_with<Softplus>(z, derivative, n);
    case Activation::tanh:
      return activate_with<Tanh>(z, derivative, n);
    case Activation::gelu:
      return activate_with<Gelu>(z, derivative, n);
    case Activation::elu:
      return activate_with<Elu>(z, derivative, n);
    case Activation::relu:
      return activate_with<Relu>(z, derivative, n);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
