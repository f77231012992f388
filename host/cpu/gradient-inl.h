// The parameter gradient of a strip, and the sums over a batch that finish it. Compiled once per instruction set.

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
