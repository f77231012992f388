// The parameter gradient of a batch on the device: kernels/training/gradient.hpp with its memory.
#pragma once

#include <limits>
#include <span>

#include "host/cuda/network.hpp"
#include "kernels/training/gradient.hpp"

namespace ebm::cuda {

class BatchGradient {
 public:
  // Memory for `parts` (see gradient.hpp) of up to `rows` rows each, in passes of as many chunks as memory is worth, or
  // fewer; the sums do not depend on it.
  BatchGradient(const Network& network, std::int64_t parts, std::int64_t rows,
                std::int64_t most_chunks = std::numeric_limits<std::int64_t>::max());

  // gradient() = the sum over the rows of `view`, `parts` times n / parts of them. `view.storage` is filled in here.
  // Queues work only.
  void run(const NetworkView& net, PassView view, std::int64_t parts, cudaStream_t stream);
  // sums [parts, nodes, parameters] = the gradient over nodes of the tree over a batch's chunks, of which `view` holds
  // a run: node k is the next nodes[k] of its chunks, as nodes_of() (host/ranks/shares.hpp) has them. Queues work only.
  void run_nodes(const NetworkView& net, PassView view, std::int64_t parts, std::span<const std::size_t> nodes,
                 float* sums, cudaStream_t stream);
  // The sums of the chunks of one part alone, to host memory [chunks_of(n), parameters]. Waits.
  void run_chunks(const NetworkView& net, PassView view, std::span<float> sums, cudaStream_t stream);
  DeviceArray<float>& gradient() noexcept { return gradient_; }

 private:
  void pass(const NetworkView& net, const PassView& view, std::int64_t parts, cudaStream_t stream);
  void run_part(const NetworkView& net, PassView view, float* slots, cudaStream_t stream);
  void sum(std::int64_t parts, std::int64_t chunks, const float* partial, float* sum, const int* stopped,
           cudaStream_t stream);

  std::shared_ptr<const Context> context_;
  std::uint64_t parameters_;
  std::int64_t chunks_;  // per pass
  PassStorage storage_{};
  OwnedPlan plan_;
  DeviceArray<float> values_, partial_, gradient_;
  DeviceArray<float> slots_;  // of the tree over passes, and of a second part
};

}  // namespace ebm::cuda
