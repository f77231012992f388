#include "host/cpu/batch_gradient.hpp"

#include <algorithm>

namespace ebm::cpu {

BatchGradient::BatchGradient(const MlpShape& shape, std::size_t capacity, ThreadPool& pool)
    : shape_(shape), pool_(pool), width_(strip_width()) {
  const auto take = [this](int rows) {
    const std::size_t offset = stride_;
    stride_ += static_cast<std::size_t>(rows) * width_;
    return offset;
  };
  take(shape_.dim);  // x comes first
  for (const int h : shape_.hidden) activation_.push_back(take(h));
  for (const int h : shape_.hidden) delta_.push_back(take(h));
  logits_ = take(shape_.outputs);
  weight_ = take(1);
  energy_ = take(1);
  cross_entropy_ = take(1);
  resize(capacity);
  memory_.resize(n_strips_ * stride_);
  labels_.resize(n_strips_ * width_);
  energy_factor_.resize(n_strips_);
  use_labels_.resize(n_strips_);

  // Blocks of rows, large enough to be worth handing out.
  constexpr int kRows = 16;
  for (int l = 0; l < shape_.layers(); ++l) {
    for (int r = 0; r < shape_.out(l); r += kRows) tasks_.push_back({l, r, std::min(r + kRows, shape_.out(l))});
  }
}

void BatchGradient::resize(std::size_t n) {
  n_ = n;
  n_strips_ = (n + width_ - 1) / width_;
}

std::size_t BatchGradient::valid(std::size_t s) const { return std::min(width_, n_ - s * width_); }

EvaluationBuffers BatchGradient::buffers(std::size_t s) {
  EvaluationBuffers buffers{};
  for (std::size_t l = 0; l < activation_.size(); ++l) {
    buffers.activation[l] = block(s) + activation_[l];
    buffers.delta[l] = block(s) + delta_[l];
  }
  buffers.logits = block(s) + logits_;
  return buffers;
}

std::size_t BatchGradient::delta_offset(int layer) const {
  return layer + 1 == shape_.layers() ? logits_ : delta_[static_cast<std::size_t>(layer)];
}
std::size_t BatchGradient::input_offset(int layer) const {
  return layer == 0 ? 0 : activation_[static_cast<std::size_t>(layer) - 1];
}

void BatchGradient::run(const PackedNetwork& network, std::span<float> gradient) {
  pool_.run(n_strips_, [&](std::size_t s, int) {
    const GradientWeights weights{block(s) + weight_, energy_factor_[s], use_labels_[s] != 0 ? labels(s) : nullptr};
    parameter_gradient_strip(network, x(s), buffers(s), weights, block(s) + energy_, block(s) + cross_entropy_);
  });
  pool_.run(tasks_.size(), [&](std::size_t t, int) {
    const auto [layer, first, last] = tasks_[t];
    const float* left = memory_.data() + delta_offset(layer);
    const int cols = shape_.in(layer);
    outer_product_rows(left, stride_, memory_.data() + input_offset(layer), stride_, n_strips_, first, last, cols,
                       gradient.data() + shape_.weight_offset(layer));
    row_sums(left + static_cast<std::size_t>(first) * width_, stride_, n_strips_, last - first,
             gradient.data() + shape_.bias_offset(layer) + first);
  });
}

}  // namespace ebm::cpu
