#include "host/cuda/batch_gradient.hpp"

#include <algorithm>
#include <bit>

namespace ebm::cuda {
namespace {

PassStorage storage_layout(const NetworkView& net) {
  PassStorage storage{};
  for (int l = 0; l < net.layers; ++l) {
    storage.activation[l] = storage.rows;
    storage.rows += net.layer[l].in;
    storage.delta[l] = storage.rows;
    storage.rows += net.layer[l].out;
  }
  return storage;
}

// Chunks per pass: those of all parts, unless activations or the chunks' partial sums would need more than 64 Mi
// floats; then a power of two, which makes a pass a node of the tree.
std::int64_t chunks_per_pass(const NetworkView& net, std::int64_t chunks, std::int64_t limit) {
  constexpr std::int64_t kFloats = std::int64_t{1} << 26;
  const std::int64_t by_values = kFloats / storage_layout(net).rows / kChunkRows;
  const std::int64_t by_partial = kFloats / static_cast<std::int64_t>(net.parameters);
  constexpr std::int64_t kByGrid = 65535;  // chunks are the grid's y
  const std::int64_t most = std::max<std::int64_t>(std::min({by_values, by_partial, kByGrid, limit}), 1);
  if (chunks <= most) return std::max<std::int64_t>(chunks, 1);
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(most)));
}

// Slots for a tree over the passes of each part, or none where one pass holds all.
std::int64_t slots_needed(std::int64_t per_pass, std::int64_t parts, std::int64_t part_chunks) {
  if (parts * part_chunks <= per_pass) return 0;
  return OrderedTree::slots_for((part_chunks + per_pass - 1) / per_pass) + 1;
}

}  // namespace

BatchGradient::BatchGradient(const Network& network, std::int64_t parts, std::int64_t rows, std::int64_t most_chunks)
    : context_(network.context()),
      parameters_(network.view().parameters),
      chunks_(chunks_per_pass(network.view(), parts * chunks_of(rows), most_chunks)),
      storage_(storage_layout(network.view())),
      plan_(network, {}, chunks_ * kChunkRows),
      values_(context_, static_cast<std::size_t>(storage_.rows * chunks_ * kChunkRows)),
      partial_(context_, static_cast<std::size_t>(chunks_) * parameters_),
      gradient_(context_, parameters_),
      slots_(context_, static_cast<std::size_t>(slots_needed(chunks_, parts, chunks_of(rows))) * parameters_) {
  storage_.values = values_.data();
  storage_.stride = chunks_ * kChunkRows;
}

void BatchGradient::sum(std::int64_t parts, std::int64_t chunks, const float* partial, float* sum, const int* stopped,
                        cudaStream_t stream) {
  context_->check(launch_sum_chunks(parameters_, parts, chunks, partial, sum, stopped, stream),
                  "launching the sum over chunks");
}

// The chunks' sums of a pass, to partial_.
void BatchGradient::pass(const NetworkView& net, const PassView& view, std::int64_t parts, cudaStream_t stream) {
  context_->check(launch_pass(plan_.plan(), net, view, stream), "launching the gradient's passes");
  context_->check(launch_outer_products(net, storage_, parts, view.n / parts, partial_.data(), view.stopped, stream),
                  "launching the outer products");
}

void BatchGradient::run(const NetworkView& net, PassView view, std::int64_t parts, cudaStream_t stream) {
  view.storage = storage_;
  const std::int64_t rows = view.n / parts, chunks = chunks_of(rows);
  if (parts * chunks <= chunks_) {
    pass(net, view, parts, stream);
    sum(parts, chunks, partial_.data(), gradient_.data(), view.stopped, stream);
    return;
  }
  for (std::int64_t part = 0; part < parts; ++part, view.first += rows) {
    view.n = rows;
    // A later part goes beside the first one, to be added.
    float* const slots = slots_.data() + (part == 0 ? 0 : parameters_);
    run_part(net, view, slots, stream);
    if (part != 0) sum(1, 2, slots_.data(), slots_.data(), view.stopped, stream);
  }
  sum(1, 1, slots_.data(), gradient_.data(), view.stopped, stream);
}

// The tree over the passes of one part, to slots[0].
void BatchGradient::run_part(const NetworkView& net, PassView view, float* slots, cudaStream_t stream) {
  const std::int64_t end = view.first + view.n;
  OrderedTree tree;
  const auto add = [&](int to, int) {
    float* const pair = slots + static_cast<std::uint64_t>(to) * parameters_;
    sum(1, 2, pair, pair, view.stopped, stream);
  };
  for (; view.first < end; view.first += view.n) {
    view.n = std::min(chunks_ * kChunkRows, end - view.first);
    pass(net, view, 1, stream);
    sum(1, chunks_of(view.n), partial_.data(), slots + static_cast<std::uint64_t>(tree.slot()) * parameters_,
        view.stopped, stream);
    tree.added(add);
  }
  tree.finish(add);
}

void BatchGradient::run_nodes(const NetworkView& net, PassView view, std::int64_t parts,
                              std::span<const std::size_t> nodes, float* sums, cudaStream_t stream) {
  view.storage = storage_;
  const std::int64_t rows = view.n / parts, chunks = chunks_of(rows), first_row = view.first;
  const bool at_once = parts * chunks <= chunks_;
  if (at_once) pass(net, view, parts, stream);
  for (std::int64_t part = 0; part < parts; ++part) {
    std::int64_t chunk = 0;
    for (const std::size_t node : nodes) {
      const auto count = static_cast<std::int64_t>(node);
      if (at_once) {
        sum(1, count, partial_.data() + static_cast<std::uint64_t>(part * chunks + chunk) * parameters_, sums,
            view.stopped, stream);
      } else {
        view.first = first_row + part * rows + chunk * kChunkRows;
        view.n = std::min(count * kChunkRows, rows - chunk * kChunkRows);
        run_part(net, view, slots_.data(), stream);
        sum(1, 1, slots_.data(), sums, view.stopped, stream);
      }
      chunk += count;
      sums += parameters_;
    }
  }
}

void BatchGradient::run_chunks(const NetworkView& net, PassView view, std::span<float> sums, cudaStream_t stream) {
  view.storage = storage_;
  const std::int64_t end = view.first + view.n;
  for (; view.first < end; view.first += view.n) {
    view.n = std::min(chunks_ * kChunkRows, end - view.first);
    pass(net, view, 1, stream);
    const auto count = static_cast<std::size_t>(chunks_of(view.n)) * parameters_;
    partial_.download(sums.first(count));
    sums = sums.subspan(count);
  }
}

}  // namespace ebm::cuda
