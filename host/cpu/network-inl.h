// Energy, input gradient and parameter gradient of a strip of chains. Compiled once per instruction set.

#if defined(EBMCUDA_CPU_NETWORK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_NETWORK_INL_H_
#undef EBMCUDA_CPU_NETWORK_INL_H_
#else
#define EBMCUDA_CPU_NETWORK_INL_H_
#endif

#include "host/cpu/kernels.hpp"
#include "host/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

// ------------------------------------------------------------------------------------------------- matrix products

// What happens to a finished sum. Each is given the address that it goes to.
struct StoreSum {
  HWY_INLINE void operator()(float* out, VF sum) const { hn::Store(sum, F(), out); }
};
struct MultiplySum {  // out *= sum: act'(z) becomes dE/dz
  HWY_INLINE void operator()(float* out, VF sum) const { hn::Store(hn::Mul(sum, hn::Load(F(), out)), F(), out); }
};

// out[r][.] = start[r] + sum_k panel[k][r] in[k][.] for the kRows rows of a panel, k ascending: one chain's sum is the
// same whatever its lane and whatever the height of the panel.
template <int kRows, class Epilogue>
HWY_INLINE void multiply_panel(const float* HWY_RESTRICT panel, const float* HWY_RESTRICT start, int cols,
                               const float* HWY_RESTRICT in, float* HWY_RESTRICT out, const Epilogue& epilogue) {
  const F d;
  VF low[kRows], high[kRows];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) low[r] = high[r] = start != nullptr ? constant(start[r]) : hn::Zero(d);
  for (int k = 0; k < cols; ++k) {
    const VF in_low = hn::Load(d, in);
    const VF in_high = hn::Load(d, in + kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const VF weight = constant(panel[r]);
      low[r] = hn::MulAdd(weight, in_low, low[r]);
      high[r] = hn::MulAdd(weight, in_high, high[r]);
    }
    in += kStrip;
    panel += kRows;
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    epilogue(out + static_cast<std::size_t>(r) * kStrip, low[r]);
    epilogue(out + static_cast<std::size_t>(r) * kStrip + kLanes, high[r]);
  }
}

template <class Epilogue>
HWY_INLINE void multiply_rows(int rows, const float* panel, const float* start, int cols, const float* in, float* out,
                              const Epilogue& epilogue) {
  static_assert(kPanelRows == 6);
  switch (rows) {
    case 6:
      return multiply_panel<6>(panel, start, cols, in, out, epilogue);
    case 5:
      return multiply_panel<5>(panel, start, cols, in, out, epilogue);
    case 4:
      return multiply_panel<4>(panel, start, cols, in, out, epilogue);
    case 3:
      return multiply_panel<3>(panel, start, cols, in, out, epilogue);
    case 2:
      return multiply_panel<2>(panel, start, cols, in, out, epilogue);
    default:
      return multiply_panel<1>(panel, start, cols, in, out, epilogue);
  }
}

// out = start + matrix * in; `after_panel(first_row, rows)` runs while those rows are still in the nearest cache.
template <class Epilogue, class AfterPanel>
HWY_INLINE void multiply(const PackedMatrix& matrix, const float* start, const float* in, float* out,
                         const Epilogue& epilogue, const AfterPanel& after_panel) {
  const float* panel = matrix.panels.data();
  for (int first = 0; first < matrix.rows; first += kPanelRows) {
    const int rows = HWY_MIN(kPanelRows, matrix.rows - first);
    multiply_rows(rows, panel, start != nullptr ? start + first : nullptr, matrix.cols, in,
                  out + static_cast<std::size_t>(first) * kStrip, epilogue);
    after_panel(first, rows);
    panel += static_cast<std::size_t>(rows) * static_cast<std::size_t>(matrix.cols);
  }
}

struct NothingAfterPanel {
  HWY_INLINE void operator()(int, int) const {}
};

// ----------------------------------------------------------------------------------------------------- activations

template <class Function>
HWY_INLINE void activate_with(float* HWY_RESTRICT z, float* HWY_RESTRICT derivative, std::size_t n) {
  const F d;
  for (std::size_t i = 0; i < n; i += kStrip) {
    const ValueAndDerivative low = Function::apply(hn::Load(d, z + i));
    const ValueAndDerivative high = Function::apply(hn::Load(d, z + i + kLanes));
    hn::Store(low.value, d, z + i);
    hn::Store(high.value, d, z + i + kLanes);
    hn::Store(low.derivative, d, derivative + i);
    hn::Store(high.derivative, d, derivative + i + kLanes);
  }
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

struct ActivatePanel {
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
             ActivatePanel{network.shape.activation, out, buffers.delta[l]});
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
             MultiplySum(), NothingAfterPanel());
  }
}

HWY_INLINE void logits_forward(const PackedNetwork& network, const float* a, float* f) {
  const PackedLayer& head = network.layers.back();
  multiply(head.forward, head.bias.data(), a, f, StoreSum(), NothingAfterPanel());
}

HWY_INLINE void logits_backward(const PackedNetwork& network, const EvaluationBuffers& buffers) {
  multiply(network.layers.back().backward, nullptr, buffers.logits, buffers.delta[network.hidden_layers() - 1],
           MultiplySum(), NothingAfterPanel());
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
  multiply(network.layers.front().backward, nullptr, buffers.delta[0], gradient, StoreSum(), NothingAfterPanel());
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
  multiply(*base.root, nullptr, work, gradient, StoreSum(), NothingAfterPanel());
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
  multiply(*base.root_transposed, nullptr, work, gradient, StoreSum(), NothingAfterPanel());
}

// ---------------------------------------------------------------------------------------------- parameter gradient

void ParameterGradientStrip(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers,
                            const GradientWeights& weights, float* energy, float* cross_entropy) {
  const F d;
  const MlpShape& shape = network.shape;
  const float* a = forward_hidden(network, x, buffers);
  const StripVectors well = confinement(shape, x);
  const VF factor = constant(weights.energy_factor);
  if (shape.head == Head::scalar) {
    const StripVectors head = scalar_head(network.layers.back(), a);
    const VF low = hn::Add(head.low, well.low), high = hn::Add(head.high, well.high);
    hn::Store(low, d, energy);
    hn::Store(high, d, energy + kLanes);
    const VF w_low = hn::Load(d, weights.weight), w_high = hn::Load(d, weights.weight + kLanes);
    const StripVectors c{hn::Mul(w_low, hn::MulAdd(factor, low, constant(1.0f))),
                         hn::Mul(w_high, hn::MulAdd(factor, high, constant(1.0f)))};
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
      VF c = hn::Neg(hn::Mul(weight, hn::MulAdd(factor, e, constant(1.0f))));
      if (weights.labels != nullptr) {
        hn::Store(hn::Add(hn::Load(d, cross_entropy + v), lse), d, cross_entropy + v);
        c = hn::Add(c, weight);
      }
      for (int y = 0; y < shape.outputs; ++y) {
        float* out = buffers.logits + static_cast<std::size_t>(y) * kStrip + v;
        hn::Store(hn::Mul(c, hn::Load(d, out)), d, out);
      }
    }
    if (weights.labels != nullptr) {
      for (std::size_t i = 0; i < kStrip; ++i) {
        buffers.logits[static_cast<std::size_t>(weights.labels[i]) * kStrip + i] -= weights.weight[i];
      }
    }
    logits_backward(network, buffers);
  }
  backward_hidden(network, buffers);
}

// kRows x kCols sums at once, each one vector that is added up over the lanes at the end.
template <int kRows, int kCols>
HWY_INLINE void outer_product_block(const float* left, std::size_t left_stride, const float* right,
                                    std::size_t right_stride, std::size_t n_strips, int cols, float* gradient) {
  const F d;
  VF sums[kRows][kCols];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int c = 0; c < kCols; ++c) sums[r][c] = hn::Zero(d);
  }
  for (std::size_t s = 0; s < n_strips; ++s) {
    for (std::size_t v = 0; v < kStrip; v += kLanes) {
      VF columns[kCols];
#pragma GCC unroll 3
      for (int c = 0; c < kCols; ++c) {
        columns[c] = hn::Load(d, right + s * right_stride + static_cast<std::size_t>(c) * kStrip + v);
      }
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const VF row = hn::Load(d, left + s * left_stride + static_cast<std::size_t>(r) * kStrip + v);
#pragma GCC unroll 3
        for (int c = 0; c < kCols; ++c) sums[r][c] = hn::MulAdd(row, columns[c], sums[r][c]);
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int c = 0; c < kCols; ++c) gradient[r * cols + c] = hn::GetLane(hn::SumOfLanes(d, sums[r][c]));
  }
}

template <int kRows>
HWY_INLINE void outer_product_panel(const float* left, std::size_t left_stride, const float* right,
                                    std::size_t right_stride, std::size_t n_strips, int cols, float* gradient) {
  int c = 0;
  for (; c + 3 <= cols; c += 3) {
    outer_product_block<kRows, 3>(left, left_stride, right + static_cast<std::size_t>(c) * kStrip, right_stride,
                                  n_strips, cols, gradient + c);
  }
  for (; c < cols; ++c) {
    outer_product_block<kRows, 1>(left, left_stride, right + static_cast<std::size_t>(c) * kStrip, right_stride,
                                  n_strips, cols, gradient + c);
  }
}

void OuterProductRows(const float* left, std::size_t left_stride, const float* right, std::size_t right_stride,
                      std::size_t n_strips, int first_row, int last_row, int cols, float* gradient) {
  int r = first_row;
  for (; r + 4 <= last_row; r += 4) {
    outer_product_panel<4>(left + static_cast<std::size_t>(r) * kStrip, left_stride, right, right_stride, n_strips,
                           cols, gradient + static_cast<std::ptrdiff_t>(r) * cols);
  }
  for (; r < last_row; ++r) {
    outer_product_panel<1>(left + static_cast<std::size_t>(r) * kStrip, left_stride, right, right_stride, n_strips,
                           cols, gradient + static_cast<std::ptrdiff_t>(r) * cols);
  }
}

void RowSums(const float* left, std::size_t left_stride, std::size_t n_strips, int rows, float* sums) {
  const F d;
  for (int r = 0; r < rows; ++r) {
    VF sum = hn::Zero(d);
    for (std::size_t s = 0; s < n_strips; ++s) {
      const float* row = left + s * left_stride + static_cast<std::size_t>(r) * kStrip;
      sum = hn::Add(hn::Add(sum, hn::Load(d, row)), hn::Load(d, row + kLanes));
    }
    sums[r] = hn::GetLane(hn::SumOfLanes(d, sum));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
