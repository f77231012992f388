// Activations of the tensor-core kernels, in the scaled units of mma_shape.hpp: takes s z, gives s a and act'(z).
#pragma once

#include "kernels/energy/mma.cuh"

namespace ebm {

__device__ __forceinline__ float exp2_approx(float v) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
  return r;
}
__device__ __forceinline__ float log2_approx(float v) {
  float r;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
  return r;
}
__device__ __forceinline__ float reciprocal_approx(float v) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
  return r;
}

// Single-precision grade: the error of activate().
template <ActivationKind Kind>
__device__ __forceinline__ Activated scaled_activate(float z) {
  constexpr float kScale = mma_scale(Kind);
  if constexpr (kScale == 1.0f) return activate(Kind, z);
  const Activated r = activate(Kind, z * (1.0f / kScale));
  return {kScale * r.value, r.derivative};
}

// The same of two units, for half precision: from the hardware's ex2, lg2 and reciprocal, rounded to halves.
template <ActivationKind Kind>
__device__ __forceinline__ Activated approximate_activate(float z) {
  constexpr float kLog2E = 1.4426950408889634f;
  if constexpr (Kind == ActivationKind::softplus) {
    const float e = exp2_approx(-fabsf(z));
    const float larger = reciprocal_approx(1.0f + e);  // sigmoid of |z|
    return {fmaxf(z, 0.0f) + log2_approx(1.0f + e), z > 0.0f ? larger : e * larger};
  } else if constexpr (Kind == ActivationKind::tanh) {
    const float t = fmaf(-2.0f, reciprocal_approx(1.0f + exp2_approx(2.0f * kLog2E * z)), 1.0f);
    return {t, fmaf(-t, t, 1.0f)};
  } else if constexpr (Kind == ActivationKind::gelu) {
    constexpr float kTwiceRoot = 1.5957691216057308f;  // 2 sqrt(2 / pi); see activate()
    const float c = fminf(fmaxf(z, -16.0f), 16.0f);
    const float square = c * c;
    const float sigmoid =
        reciprocal_approx(1.0f + exp2_approx(-kLog2E * kTwiceRoot * c * fmaf(0.044715f, square, 1.0f)));
    const float slope = kTwiceRoot * fmaf(3.0f * 0.044715f, square, 1.0f);
    return {z * sigmoid, fmaf(c * sigmoid * (1.0f - sigmoid), slope, sigmoid)};
  } else if constexpr (Kind == ActivationKind::elu) {
    const float e = exp2_approx(kLog2E * z);
    return {z > 0.0f ? z : e - 1.0f, z > 0.0f ? 1.0f : e};
  } else {
    return activate(Kind, z);
  }
}

struct ActivatedHalves {
  Halves value, slope;
};
template <ActivationKind Kind>
__device__ __forceinline__ ActivatedHalves scaled_activate_halves(float z0, float z1) {
  if constexpr (Kind == ActivationKind::silu) {
    // sigma + sigma' z in halves: three more roundings than in floats, half the instructions.
    const float s0 = reciprocal_approx(1.0f + exp2_approx(-z0)), s1 = reciprocal_approx(1.0f + exp2_approx(-z1));
    const Halves value = pack_halves(z0 * s0, z1 * s1), sigmoid = pack_halves(s0, s1);
    const Halves ln2{0x398C398Cu}, minus_ln2{0xB98CB98Cu};  // 0.69336, nearest in half
    return {value, multiply_add(value, multiply_add(minus_ln2, sigmoid, ln2), sigmoid)};
  } else {
    const Activated p = approximate_activate<Kind>(z0), q = approximate_activate<Kind>(z1);
    return {pack_halves(p.value, q.value), pack_halves(p.derivative, q.derivative)};
  }
}

}  // namespace ebm
