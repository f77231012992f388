// The gradient of a weighted sum of energies with respect to the parameters, over a whole batch: a forward and backward
// pass per strip that keeps every activation, then one outer product per layer, each element summed over the batch in
// one fixed order whatever the number of threads.
#pragma once

#include <span>
#include <vector>

#include "host/cpu/kernels.hpp"
#include "host/cpu/thread_pool.hpp"

namespace ebm::cpu {

class BatchGradient {
 public:
  // Room for `capacity` points. The pool must outlive it.
  BatchGradient(const MlpShape& shape, std::size_t capacity, ThreadPool& pool);
  // n <= capacity points from now on.
  void resize(std::size_t n);

  std::size_t strips() const noexcept { return n_strips_; }
  std::size_t valid(std::size_t s) const;  // points of strip s that exist

  // Of strip s; the caller fills them. Padding needs weight 0, finite positions and label 0.
  float* x(std::size_t s) { return block(s); }                  // [D][width]
  float* weights(std::size_t s) { return block(s) + weight_; }  // [width]
  std::int32_t* labels(std::size_t s) { return labels_.data() + s * width_; }
  void set_energy_factor(std::size_t s, float factor) { energy_factor_[s] = factor; }
  void use_labels(std::size_t s, bool use) { use_labels_[s] = use; }

  // gradient = sum_i c_i dE(x_i)/dtheta (+ cross-entropy), flat as Mlp::parameters().
  void run(const PackedNetwork& network, std::span<float> gradient);

  // After run(): [width] of strip s.
  const float* energies(std::size_t s) { return block(s) + energy_; }
  const float* cross_entropies(std::size_t s) { return block(s) + cross_entropy_; }

 private:
  // A layer's rows [first, last) of the outer product.
  struct RowTask {
    int layer, first, last;
  };

  float* block(std::size_t s) { return memory_.data() + s * stride_; }
  EvaluationBuffers buffers(std::size_t s);
  std::size_t delta_offset(int layer) const;
  std::size_t input_offset(int layer) const;

  MlpShape shape_;
  ThreadPool& pool_;
  std::size_t width_, n_ = 0, n_strips_ = 0;
  // Offsets into a strip's block.
  std::vector<std::size_t> activation_, delta_;
  std::size_t logits_ = 0, weight_ = 0, energy_ = 0, cross_entropy_ = 0, stride_ = 0;
  AlignedVector<float> memory_;
  std::vector<std::int32_t> labels_;
  std::vector<float> energy_factor_;
  std::vector<std::uint8_t> use_labels_;
  std::vector<RowTask> tasks_;
};

}  // namespace ebm::cpu
