// Forward and backward pass of a strip for its parameter gradient. Compiled once per instruction set.

#if defined(EBMCUDA_CPU_GRADIENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_GRADIENT_INL_H_
#undef EBMCUDA_CPU_GRADIENT_INL_H_
#else
#define EBMCUDA_CPU_GRADIENT_INL_H_
#endif

#include "host/cpu/kernels.hpp"
#include "host/cpu/network-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

void ParameterGradientStrip(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers,
                            const GradientWeights& weights, float* energy, float* cross_entropy) {
  const F d;
  const MlpShape& shape = network.shape;
  const float* a = forward_hidden(network, x, buffers);
  const StripVectors well = confinement(shape, x);
  const VF energy_weight = constant(weights.energy_weight), label_weight = constant(weights.label_weight);
  if (shape.head == Head::scalar) {
    const StripVectors head = scalar_head(network.layers.back(), a);
    const VF low = hn::Add(head.low, well.low), high = hn::Add(head.high, well.high);
    hn::Store(low, d, energy);
    hn::Store(high, d, energy + kLanes);
    const VF w_low = hn::Load(d, weights.weight), w_high = hn::Load(d, weights.weight + kLanes);
    const StripVectors c{hn::MulAdd(energy_weight, low, w_low), hn::MulAdd(energy_weight, high, w_high)};
    hn::Store(c.low, d, buffers.logits);  // dE/df = 1
    hn::Store(c.high, d, buffers.logits + kLanes);
    scalar_head_delta(network.layers.back(), &c, buffers.delta[network.hidden_layers() - 1]);
  } else {
    logits_forward(network, a, buffers.logits);
    if (weights.labels != nullptr) {  // cross-entropy = logsumexp f - f_label, completed below
      for (std::size_t i = 0; i < kStrip; ++i) {
        cross_entropy[i] = -buffers.logits[static_cast<std::size_t>(weights.labels[i]) * kStrip + i];
      }
    }
    for (std::size_t v = 0; v < kStrip; v += kLanes) {
      const VF lse = log_sum_exp(shape.outputs, buffers.logits + v);
      const VF e = hn::Sub(v == 0 ? well.low : well.high, lse);
      hn::Store(e, d, energy + v);
      const VF weight = hn::Load(d, weights.weight + v);
      VF c = hn::Neg(hn::MulAdd(energy_weight, e, weight));
      if (weights.labels != nullptr) {
        hn::Store(hn::Add(hn::Load(d, cross_entropy + v), lse), d, cross_entropy + v);
        c = hn::Add(c, label_weight);
      }
      for (int y = 0; y < shape.outputs; ++y) {
        float* out = buffers.logits + static_cast<std::size_t>(y) * kStrip + v;
        hn::Store(hn::Mul(c, hn::Load(d, out)), d, out);
      }
    }
    if (weights.labels != nullptr) {
      for (std::size_t i = 0; i < kStrip; ++i) {
        buffers.logits[static_cast<std::size_t>(weights.labels[i]) * kStrip + i] -= weights.label_weight;
      }
    }
    logits_backward(network, buffers);
  }
  backward_hidden(network, buffers);
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
