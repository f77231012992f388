#include "host/cuda/batch_gradient.hpp"

#include <algorithm>

namespace ebm {
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

// Rows per pass: all of them, unless activations or the chunks' partial sums would need more than 64 Mi floats. The
// sums do not depend on it.
std::int64_t rows_per_pass(const NetworkView& net, std::int64_t rows) {
  constexpr std::int64_t kFloats = std::int64_t{1} << 26;
  const std::int64_t chunks = (rows + kChunkRows - 1) / kChunkRows;
  const std::int64_t by_values = kFloats / storage_layout(net).rows / kChunkRows;
  const std::int64_t by_partial = kFloats / static_cast<std::int64_t>(net.parameters);
  constexpr std::int64_t kByGrid = 65535;  // chunks are the grid's y
  return kChunkRows *
         std::clamp<std::int64_t>(std::min({by_values, by_partial, kByGrid}), 1, std::max<std::int64_t>(chunks, 1));
}

}  // namespace

BatchGradient::BatchGradient(const Network& network, std::int64_t rows)
    : context_(network.context()),
      rows_(rows_per_pass(network.view(), rows)),
      storage_(storage_layout(network.view())),
      plan_(network, {}, rows_),
      values_(context_, static_cast<std::size_t>(storage_.rows) * static_cast<std::size_t>(rows_)),
      partial_(context_, static_cast<std::size_t>(rows_ / kChunkRows) * network.view().parameters),
      gradient_(context_, network.view().parameters) {
  storage_.values = values_.data();
  storage_.stride = rows_;
}

void BatchGradient::run(const NetworkView& net, PassView view, cudaStream_t stream) {
  const std::int64_t begin = view.first, end = view.first + view.n;
  view.storage = storage_;
  for (std::int64_t first = begin; first < end; first += rows_) {
    view.first = first;
    view.n = std::min(rows_, end - first);
    context_->check(launch_pass(plan_.plan(), net, view, stream), "launching the gradient's passes");
    context_->check(launch_outer_products(net, storage_, view.n, partial_.data(), view.stopped, stream),
                    "launching the outer products");
    context_->check(launch_sum_chunks(net.parameters, (view.n + kChunkRows - 1) / kChunkRows, partial_.data(),
                                      first != begin, gradient_.data(), view.stopped, stream),
                    "launching the sum over chunks");
  }
}

}  // namespace ebm
