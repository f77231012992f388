// Energy and input gradient of a strip of chains. Compiled once per instruction set.

#if defined(EBMCUDA_CPU_NETWORK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_NETWORK_INL_H_
#undef EBMCUDA_CPU_NETWORK_INL_H_
#else
#define EBMCUDA_CPU_NETWORK_INL_H_
#endif

#include "host/cpu/activation-inl.h"
#include "host/cpu/kernels.hpp"
#include "host/cpu/matrix_product-inl.h"
#include "host/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

struct ActivateRows {
  Activation activation;
  float* value;
  float* derivative;
  HWY_INLINE void operator()(int first, int rows) const {
    const std::size_t offset = static_cast<std::size_t>(first) * kStrip;
    activate(activation, value + offset, derivative + offset, static_cast<std::size_t>(rows) * kStrip);
  }
};

// ------------------------------------------------------------------------------------------------- forward, backward

struct StripVectors {
  VF low, high;
};

// a_l and act'(z_l) of every hidden layer; returns a_L, the input of the head.
HWY_INLINE const float* forward_hidden(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers) {
  const float* in = x;
  for (int l = 0; l < network.hidden_layers(); ++l) {
    const PackedLayer& layer = network.layers[static_cast<std::size_t>(l)];
    float* out = buffers.activation[l];
    multiply(layer.forward, layer.bias.data(), in, out, StoreSum(),
             ActivateRows{network.shape.activation, out, buffers.delta[l]});
    in = out;
  }
  return in;
}

// (kappa / 2) |x|^2
HWY_INLINE StripVectors confinement(const MlpShape& shape, const float* x) {
  const F d;
  VF low = hn::Zero(d), high = hn::Zero(d);
  for (int k = 0; k < shape.dim; ++k, x += kStrip) {
    const VF x_low = hn::Load(d, x), x_high = hn::Load(d, x + kLanes);
    low = hn::MulAdd(x_low, x_low, low);
    high = hn::MulAdd(x_high, x_high, high);
  }
  const VF half = constant(shape.confinement * 0.5f);
  return {hn::Mul(half, low), hn::Mul(half, high)};
}

// Head energy of a scalar network: w . a + b, four partial sums so that the additions overlap.
HWY_INLINE StripVectors scalar_head(const PackedLayer& head, const float* a) {
  const F d;
  const float* w = head.forward.panels.data();
  const int width = head.forward.cols;
  VF low[4], high[4];
  low[0] = high[0] = constant(head.bias[0]);
  low[1] = low[2] = low[3] = high[1] = high[2] = high[3] = hn::Zero(d);
  int j = 0;
  for (; j + 4 <= width; j += 4) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i, a += kStrip) {
      const VF weight = constant(w[j + i]);
      low[i] = hn::MulAdd(weight, hn::Load(d, a), low[i]);
      high[i] = hn::MulAdd(weight, hn::Load(d, a + kLanes), high[i]);
    }
  }
  for (; j < width; ++j, a += kStrip) {
    const VF weight = constant(w[j]);
    low[0] = hn::MulAdd(weight, hn::Load(d, a), low[0]);
    high[0] = hn::MulAdd(weight, hn::Load(d, a + kLanes), high[0]);
  }
  return {hn::Add(hn::Add(low[0], low[1]), hn::Add(low[2], low[3])),
          hn::Add(hn::Add(high[0], high[1]), hn::Add(high[2], high[3]))};
}

// logsumexp_y f_y of one vector of chains; f becomes softmax(f).
HWY_INLINE VF log_sum_exp(int outputs, float* f) {
  const F d;
  VF largest = hn::Load(d, f);
  for (int y = 1; y < outputs; ++y) largest = hn::Max(largest, hn::Load(d, f + static_cast<std::size_t>(y) * kStrip));
  VF sum = hn::Zero(d);
  for (int y = 0; y < outputs; ++y) {
    float* out = f + static_cast<std::size_t>(y) * kStrip;
    const VF e = hn::Exp(d, hn::Sub(hn::Load(d, out), largest));
    sum = hn::Add(sum, e);
    hn::Store(e, d, out);
  }
  const VF scale = hn::Div(constant(1.0f), sum);
  for (int y = 0; y < outputs; ++y) {
    float* out = f + static_cast<std::size_t>(y) * kStrip;
    hn::Store(hn::Mul(hn::Load(d, out), scale), d, out);
  }
  return hn::Add(largest, hn::Log(d, sum));
}

// Scales dE/dz_L by `factor` per lane on the way: delta_L = factor * w * act'(z_L).
HWY_INLINE void scalar_head_delta(const PackedLayer& head, const StripVectors* factor, float* delta) {
  const F d;
  const float* w = head.forward.panels.data();
  for (int j = 0; j < head.forward.cols; ++j, delta += kStrip) {
    VF low = constant(w[j]), high = low;
    if (factor != nullptr) {
      low = hn::Mul(low, factor->low);
      high = hn::Mul(high, factor->high);
    }
    hn::Store(hn::Mul(low, hn::Load(d, delta)), d, delta);
    hn::Store(hn::Mul(high, hn::Load(d, delta + kLanes)), d, delta + kLanes);
  }
}

// From dE/dz_L (in buffers.delta[L-1]) back to dE/dz_1.
HWY_INLINE void backward_hidden(const PackedNetwork& network, const EvaluationBuffers& buffers) {
  for (int l = network.hidden_layers() - 1; l > 0; --l) {
    multiply(network.layers[static_cast<std::size_t>(l)].backward, nullptr, buffers.delta[l], buffers.delta[l - 1],
             MultiplySum(), NothingAfterRows());
  }
}

HWY_INLINE void logits_forward(const PackedNetwork& network, const float* a, float* f) {
  const PackedLayer& head = network.layers.back();
  multiply(head.forward, head.bias.data(), a, f, StoreSum(), NothingAfterRows());
}

HWY_INLINE void logits_backward(const PackedNetwork& network, const EvaluationBuffers& buffers) {
  multiply(network.layers.back().backward, nullptr, buffers.logits, buffers.delta[network.hidden_layers() - 1],
           MultiplySum(), NothingAfterRows());
}

HWY_INLINE void negate(int rows, float* values) {
  const F d;
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows) * kStrip; i += kLanes) {
    hn::Store(hn::Neg(hn::Load(d, values + i)), d, values + i);
  }
}

void EvaluateStrip(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers, float* energy,
                   float* gradient) {
  const F d;
  const MlpShape& shape = network.shape;
  const float* a = forward_hidden(network, x, buffers);
  StripVectors head;
  if (shape.head == Head::scalar) {
    head = scalar_head(network.layers.back(), a);
  } else {
    logits_forward(network, a, buffers.logits);
    head = {hn::Neg(log_sum_exp(shape.outputs, buffers.logits)),
            hn::Neg(log_sum_exp(shape.outputs, buffers.logits + kLanes))};
  }
  const StripVectors well = confinement(shape, x);
  hn::Store(hn::Add(head.low, well.low), d, energy);
  hn::Store(hn::Add(head.high, well.high), d, energy + kLanes);
  if (gradient == nullptr) return;

  if (shape.head == Head::scalar) {
    scalar_head_delta(network.layers.back(), nullptr, buffers.delta[network.hidden_layers() - 1]);
  } else {
    negate(shape.outputs, buffers.logits);  // dE/df = -softmax(f)
    logits_backward(network, buffers);
  }
  backward_hidden(network, buffers);
  multiply(network.layers.front().backward, nullptr, buffers.delta[0], gradient, StoreSum(), NothingAfterRows());
  const VF kappa = constant(shape.confinement);
  for (std::size_t i = 0; i < static_cast<std::size_t>(shape.dim) * kStrip; i += kLanes) {
    hn::Store(hn::MulAdd(kappa, hn::Load(d, x + i), hn::Load(d, gradient + i)), d, gradient + i);
  }
}

void OutputsStrip(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers, float* outputs) {
  const F d;
  const float* a = forward_hidden(network, x, buffers);
  if (network.shape.head == Head::scalar) {
    const StripVectors head = scalar_head(network.layers.back(), a);
    hn::Store(head.low, d, outputs);
    hn::Store(head.high, d, outputs + kLanes);
  } else {
    logits_forward(network, a, outputs);
  }
}

void BaseEnergyStrip(const BaseView& base, int dim, const float* x, float* work, float* energy, float* gradient) {
  const F d;
  // x - mean goes through `work`; R (x - mean) comes back in `gradient`, which is read again below.
  for (int k = 0; k < dim; ++k) {
    const std::size_t offset = static_cast<std::size_t>(k) * kStrip;
    const VF mean = constant(base.mean[k]);
    hn::Store(hn::Sub(hn::Load(d, x + offset), mean), d, work + offset);
    hn::Store(hn::Sub(hn::Load(d, x + offset + kLanes), mean), d, work + offset + kLanes);
  }
  multiply(*base.root, nullptr, work, gradient, StoreSum(), NothingAfterRows());
  VF low = hn::Zero(d), high = hn::Zero(d);
  for (std::size_t i = 0; i < static_cast<std::size_t>(dim) * kStrip; i += kStrip) {
    const VF y_low = hn::Load(d, gradient + i), y_high = hn::Load(d, gradient + i + kLanes);
    low = hn::MulAdd(y_low, y_low, low);
    high = hn::MulAdd(y_high, y_high, high);
    hn::Store(y_low, d, work + i);
    hn::Store(y_high, d, work + i + kLanes);
  }
  hn::Store(hn::Mul(constant(0.5f), low), d, energy);
  hn::Store(hn::Mul(constant(0.5f), high), d, energy + kLanes);
  multiply(*base.root_transposed, nullptr, work, gradient, StoreSum(), NothingAfterRows());
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
