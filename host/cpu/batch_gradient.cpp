#include "host/cpu/batch_gradient.hpp"

#include <algorithm>

#include "kernels/math/ordered_sum.hpp"

namespace ebm::cpu {
namespace {

constexpr auto kRows = static_cast<std::size_t>(kChunkRows);
// Left units of a task: enough to be worth handing out.
constexpr int kTaskUnits = 16;

std::size_t chunks_of_rows(std::size_t rows) { return (rows + kRows - 1) / kRows; }

}  // namespace

BatchGradient::BatchGradient(const MlpShape& shape, std::size_t rows, std::size_t parts, ThreadPool& pool)
    : shape_(shape),
      pool_(pool),
      width_(strip_width()),
      parts_(parts),
      strip_floats_(static_cast<std::size_t>(shape.dim) * width_),
      loss_(parts),
      slots_per_thread_(
          static_cast<std::size_t>(OrderedTree::slots_for(static_cast<std::int64_t>(chunks_of_rows(rows))))) {
  resize(rows);
  x_.resize(strips() * strip_floats_);
  weights_.resize(strips() * width_);
  labels_.resize(strips() * width_);
  energies_.resize(strips() * width_);
  cross_entropies_.resize(strips() * width_);

  const auto take = [this](int units) {
    const std::size_t offset = pass_floats_;
    pass_floats_ += static_cast<std::size_t>(units) * width_;
    return offset;
  };
  for (const int h : shape_.hidden) {
    activation_.push_back(take(h));
    delta_.push_back(take(h));
  }
  logits_ = take(shape_.outputs);
  const auto threads = static_cast<std::size_t>(pool_.threads());
  pass_memory_.resize(threads * pass_floats_);

  const int lanes = packed_units(Packing::across, 1);
  for (int l = 0; l < shape_.layers(); ++l) {
    Product p{};
    const int inputs = shape_.in(l) + 1, outputs = shape_.out(l);
    p.inputs_across = inputs >= lanes;
    p.left_units = p.inputs_across ? outputs : inputs;
    p.right_units = p.inputs_across ? inputs : outputs;
    p.columns = packed_units(Packing::across, p.right_units);
    p.left = block_floats_;
    block_floats_ += kRows * static_cast<std::size_t>(packed_units(Packing::broadcast, p.left_units));
    p.right = block_floats_;
    block_floats_ += kRows * static_cast<std::size_t>(p.columns);
    products_.push_back(p);
    slot_floats_ = std::max(slot_floats_, static_cast<std::size_t>(kTaskUnits) * static_cast<std::size_t>(p.columns));
    for (int first = 0; first < p.left_units; first += kTaskUnits) {
      tasks_.push_back({l, first, std::min(first + kTaskUnits, p.left_units)});
    }
  }
  packed_.resize(parts_ * part_chunks_ * block_floats_);
  slots_.resize(threads * slots_per_thread_ * slot_floats_);

  for (int l = 0; l < shape_.layers(); ++l) {  // the bias's ones
    const Product& p = products_[static_cast<std::size_t>(l)];
    const PackedPlace place = packed_place(packing_of_inputs(p), shape_.in(l) + 1, shape_.in(l));
    for (std::size_t c = 0; c < parts_ * part_chunks_; ++c) {
      float* const ones = block(0, c) + (p.inputs_across ? p.right : p.left) + place.at;
      for (std::size_t r = 0; r < kRows; ++r) ones[r * place.row_stride] = 1.0f;
    }
  }
}

void BatchGradient::resize(std::size_t rows) {
  rows_ = rows;
  part_strips_ = (rows + width_ - 1) / width_;
  part_chunks_ = chunks_of_rows(rows);
}

void BatchGradient::set_loss(std::size_t part, const RowLoss& loss) {
  loss_[part] = loss;
  std::fill_n(weights(part * part_strips_), part_strips_ * width_, loss.weight);
}

std::size_t BatchGradient::valid(std::size_t s) const { return std::min(width_, rows_ - s % part_strips_ * width_); }

EvaluationBuffers BatchGradient::buffers(std::size_t thread) {
  EvaluationBuffers buffers{};
  float* const memory = pass_memory_.data() + thread * pass_floats_;
  for (std::size_t l = 0; l < activation_.size(); ++l) {
    buffers.activation[l] = memory + activation_[l];
    buffers.delta[l] = memory + delta_[l];
  }
  buffers.logits = memory + logits_;
  return buffers;
}

void BatchGradient::pass(const PackedNetwork& network) {
  pool_.run(strips(), [&](std::size_t s, int thread) {
    const RowLoss& loss = loss_[s / part_strips_];
    const EvaluationBuffers mine = buffers(static_cast<std::size_t>(thread));
    const GradientWeights how{weights(s), loss.energy_weight, loss.label_weight != 0 ? labels(s) : nullptr,
                              loss.label_weight};
    parameter_gradient_strip(network, x(s), mine, how, energies_.data() + s * width_,
                             cross_entropies_.data() + s * width_);
    pack(s, mine);
  });
}

void BatchGradient::pack(std::size_t s, const EvaluationBuffers& from) {
  const std::size_t first = s % part_strips_ * width_;  // row of the part
  float* const to = block(s / part_strips_, first / kRows);
  const std::size_t row = first % kRows;
  const int layers = shape_.layers();
  for (int l = 0; l < layers; ++l) {
    const Product& p = products_[static_cast<std::size_t>(l)];
    const float* const inputs = l == 0 ? x(s) : from.activation[l - 1];
    const float* const deltas = l + 1 == layers ? from.logits : from.delta[l];
    // The packed width of inputs counts the ones, which stay.
    pack_strip(packing_of_inputs(p), inputs, shape_.in(l), shape_.in(l) + 1, row,
               to + (p.inputs_across ? p.right : p.left));
    pack_strip(packing_of_deltas(p), deltas, shape_.out(l), shape_.out(l), row,
               to + (p.inputs_across ? p.left : p.right));
  }
}

void BatchGradient::multiply(const Task& task, std::size_t part, std::size_t chunk, float* products) {
  const Product& p = products_[static_cast<std::size_t>(task.layer)];
  const float* const from = block(part, chunk);
  const std::size_t rows = std::min(kRows, rows_ - chunk * kRows);
  outer_product(from + p.left, from + p.right, static_cast<int>(rows), task.first, task.last, p.right_units, products);
}

// From [left][right] to W [out, in] and b.
void BatchGradient::deliver(const Task& task, const float* products, Destination destination, float* gradient) const {
  const Product& p = products_[static_cast<std::size_t>(task.layer)];
  const int in = shape_.in(task.layer), out = shape_.out(task.layer);
  float* const weights = gradient + shape_.weight_offset(task.layer);
  float* const biases = gradient + shape_.bias_offset(task.layer);
  const auto put = [&](const float* from, float& to) { to = destination == Destination::set ? *from : to + *from; };
  for (int i = task.first; i < task.last; ++i, products += p.columns) {
    if (!p.inputs_across) {  // input i, or the ones, of every output
      for (int o = 0; o < out; ++o) put(products + o, i < in ? weights[o * in + i] : biases[o]);
      continue;
    }
    float* const row = weights + static_cast<std::ptrdiff_t>(i) * in;
    if (destination == Destination::set) {
      std::copy_n(products, in, row);
    } else {
      add_arrays(row, products, static_cast<std::size_t>(in));
    }
    put(products + in, biases[i]);
  }
}

const float* BatchGradient::sum_of_chunks(const Task& task, std::size_t thread, std::size_t part, std::size_t first,
                                          std::size_t last) {
  const std::size_t floats = static_cast<std::size_t>(task.last - task.first) *
                             static_cast<std::size_t>(products_[static_cast<std::size_t>(task.layer)].columns);
  const auto add = [&](int to, int from) { add_arrays(slot(thread, to), slot(thread, from), floats); };
  OrderedTree tree;
  for (std::size_t chunk = first; chunk < last; ++chunk) {
    multiply(task, part, chunk, slot(thread, tree.slot()));
    tree.added(add);
  }
  tree.finish(add);
  return slot(thread, 0);
}

void BatchGradient::run(const PackedNetwork& network, std::span<float> gradient) {
  pass(network);
  pool_.run(tasks_.size(), [&](std::size_t t, int thread) {
    for (std::size_t part = 0; part < parts_; ++part) {
      const float* const sum = sum_of_chunks(tasks_[t], static_cast<std::size_t>(thread), part, 0, part_chunks_);
      deliver(tasks_[t], sum, part == 0 ? Destination::set : Destination::add, gradient.data());
    }
  });
}

void BatchGradient::run_nodes(const PackedNetwork& network, std::span<const std::size_t> lengths,
                              std::span<float> sums) {
  if (lengths.empty()) return;
  pass(network);
  const std::size_t parameters = sums.size() / (parts_ * lengths.size());
  pool_.run(tasks_.size(), [&](std::size_t t, int thread) {
    float* to = sums.data();
    for (std::size_t part = 0; part < parts_; ++part) {
      std::size_t first = 0;
      for (const std::size_t length : lengths) {
        const float* const sum =
            sum_of_chunks(tasks_[t], static_cast<std::size_t>(thread), part, first, first + length);
        deliver(tasks_[t], sum, Destination::set, to);
        first += length;
        to += parameters;
      }
    }
  });
}

}  // namespace ebm::cpu
