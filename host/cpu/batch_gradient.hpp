// The gradient of a weighted sum of energies with respect to the parameters, over a whole batch, in the order of
// summation of kernels/math/ordered_sum.hpp: a forward and backward pass per strip that packs every activation and
// delta by chunks of rows, then one outer product per layer and chunk, added up by the tree.
#pragma once

#include <span>
#include <vector>

#include "host/cpu/kernels.hpp"
#include "host/cpu/thread_pool.hpp"
#include "kernels/training/batch_loss.hpp"

namespace ebm::cpu {

class BatchGradient {
 public:
  // Room for `parts` batches of up to `rows` points each, which are summed apart and then added in order. The pool must
  // outlive it.
  BatchGradient(const MlpShape& shape, std::size_t rows, std::size_t parts, ThreadPool& pool);
  // Parts of this many rows from now on.
  void resize(std::size_t rows);

  // Strip s of a part has its points s * strip_width() ..; its number among all strips is what the rest is asked by.
  std::size_t strips_per_part() const noexcept { return part_strips_; }
  std::size_t strips() const noexcept { return parts_ * part_strips_; }
  std::size_t chunks_per_part() const noexcept { return part_chunks_; }
  std::size_t valid(std::size_t s) const;  // points of strip s that exist

  // Of strip s; the caller fills them. Padding needs finite positions and label 0.
  float* x(std::size_t s) { return x_.data() + s * strip_floats_; }            // [D][width]
  float* weights(std::size_t s) { return weights_.data() + s * width_; }       // [width]
  std::int32_t* labels(std::size_t s) { return labels_.data() + s * width_; }  // [width]
  // Weighs all rows of a part alike; else weights() alone say it, and there are no labels.
  void set_loss(std::size_t part, const RowLoss& loss);

  // gradient = sum_i c_i dE(x_i)/dtheta (+ cross-entropy), flat as Mlp::parameters(): part by part, each by the tree.
  void run(const PackedNetwork& network, std::span<float> gradient);
  // The same sums of runs of chunks, each by a tree of its own: [parts, runs, parameters]. `lengths` says how many
  // chunks each run has, chunks_per_part() in all.
  void run_nodes(const PackedNetwork& network, std::span<const std::size_t> lengths, std::span<float> sums);

  // After run() or run_nodes(), of the rows of a part.
  std::span<const float> energies(std::size_t part) const { return rows_of(energies_, part); }
  std::span<const float> cross_entropies(std::size_t part) const { return rows_of(cross_entropies_, part); }

 private:
  // A layer's sums [left units][right units] as outer_product() makes them. Inputs, with a unit of ones for the bias,
  // run along the lanes, unless they are so few that the outputs fill lanes better.
  struct Product {
    bool inputs_across;
    int left_units, right_units, columns;
    std::size_t left, right;  // offsets of the packed matrices in a chunk's block
  };
  // Left units [first, last) of a layer's product.
  struct Task {
    int layer, first, last;
  };
  enum class Destination { set, add };

  Packing packing_of_inputs(const Product& p) const { return p.inputs_across ? Packing::across : Packing::broadcast; }
  Packing packing_of_deltas(const Product& p) const { return p.inputs_across ? Packing::broadcast : Packing::across; }
  std::span<const float> rows_of(const AlignedVector<float>& values, std::size_t part) const {
    return std::span<const float>(values).subspan(part * part_strips_ * width_, rows_);
  }
  float* block(std::size_t part, std::size_t chunk) {
    return packed_.data() + (part * part_chunks_ + chunk) * block_floats_;
  }
  EvaluationBuffers buffers(std::size_t thread);
  float* slot(std::size_t thread, int number) {
    return slots_.data() + (thread * slots_per_thread_ + static_cast<std::size_t>(number)) * slot_floats_;
  }
  void pass(const PackedNetwork& network);
  void pack(std::size_t s, const EvaluationBuffers& from);
  void multiply(const Task& task, std::size_t part, std::size_t chunk, float* products);
  // The sum of a task over chunks [first, last) by their tree; where it is, until the thread's next call.
  const float* sum_of_chunks(const Task& task, std::size_t thread, std::size_t part, std::size_t first,
                             std::size_t last);
  void deliver(const Task& task, const float* products, Destination destination, float* gradient) const;

  MlpShape shape_;
  ThreadPool& pool_;
  std::size_t width_, parts_, strip_floats_, rows_ = 0, part_strips_ = 0, part_chunks_ = 0;
  std::vector<RowLoss> loss_;
  AlignedVector<float> x_, weights_, energies_, cross_entropies_;
  std::vector<std::int32_t> labels_;
  // Activations and deltas of one strip per thread; of all chunks, packed.
  std::vector<std::size_t> activation_, delta_;
  std::size_t logits_ = 0, pass_floats_ = 0, block_floats_ = 0;
  AlignedVector<float> pass_memory_, packed_;
  std::vector<Product> products_;
  std::vector<Task> tasks_;
  // Per thread, what the tree needs for the sums of a task.
  std::size_t slots_per_thread_, slot_floats_ = 0;
  AlignedVector<float> slots_;
};

}  // namespace ebm::cpu
