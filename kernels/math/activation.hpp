// Activations and their derivatives, fp32 grade. Host and device share the formulas; only exp, tanh and the quotient
// differ.
//
// Max error against the exact value, both of `value` and `derivative`: kActivationError * max(1, |z|), all finite z.
#pragma once

#include "kernels/math/portable.hpp"

#if !defined(__CUDACC_RTC__)
#include <cmath>
#endif

namespace ebm {

constexpr float kActivationError = 1e-6f;

// In the order of ebm::Activation (include/ebmcuda/mlp.hpp), which NVRTC cannot include.
enum class ActivationKind : int { silu, softplus, tanh, gelu, elu, relu };

struct Activated {
  float value, derivative;
};

// 1 / (1 + e^-z).
EBM_HD inline float sigmoid(float z) {
#if defined(__CUDA_ARCH__)
  return __fdividef(1.0f, 1.0f + expf(-z));  // 2 ulp; the IEEE quotient would cost more than all the rest
#else
  return 1.0f / (1.0f + std::exp(-z));
#endif
}

EBM_HD inline Activated activate(ActivationKind kind, float z) {
  switch (kind) {
    case ActivationKind::silu: {
      const float s = sigmoid(z);
      const float a = z * s;
      return {a, fmaf(a, 1.0f - s, s)};
    }
    case ActivationKind::softplus:
      return {fmaxf(z, 0.0f) + log1pf(expf(-fabsf(z))), sigmoid(z)};
    case ActivationKind::tanh: {
      const float t = tanhf(z);
      return {t, fmaf(-t, t, 1.0f)};
    }
    case ActivationKind::gelu: {
      // (1 + tanh u) / 2 = sigmoid(2u). Beyond |z| = 16 the sigmoid is 0 or 1 to the last bit; the limit keeps z^3
      // finite.
      constexpr float kTwiceRoot = 1.5957691216057308f;  // 2 sqrt(2 / pi)
      const float c = fminf(fmaxf(z, -16.0f), 16.0f);
      const float square = c * c;
      const float s = sigmoid(kTwiceRoot * c * fmaf(0.044715f, square, 1.0f));
      const float slope = kTwiceRoot * fmaf(3.0f * 0.044715f, square, 1.0f);
      return {z * s, fmaf(c * s * (1.0f - s), slope, s)};
    }
    case ActivationKind::elu: {
      const float e = expm1f(z > 0.0f ? 0.0f : z);  // NaN stays NaN, which fminf would lose
      return {z > 0.0f ? z : e, z > 0.0f ? 1.0f : e + 1.0f};
    }
    // NaN stays NaN, which fmaxf would lose.
    case ActivationKind::relu:
      return {z <= 0.0f ? 0.0f : z, z > 0.0f ? 1.0f : 0.0f};
  }
  return {z, 1.0f};
}

}  // namespace ebm
