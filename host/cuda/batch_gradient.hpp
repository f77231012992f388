// The parameter gradient of a batch on the device: kernels/training/gradient.hpp with its memory.
#pragma once

#include "host/cuda/network.hpp"
#include "kernels/training/gradient.hpp"

namespace ebm {

class BatchGradient {
 public:
  // Memory for batches of any size, in passes of up to `rows` rows at a time.
  BatchGradient(const Network& network, std::int64_t rows);

  // gradient() = sum over rows of `view` (its n rows, whatever their number). `view.storage` is filled in here. Queues
  // work only.
  void run(const NetworkView& net, PassView view, cudaStream_t stream);
  const DeviceArray<double>& gradient() const noexcept { return gradient_; }

 private:
  std::shared_ptr<const Context> context_;
  std::int64_t rows_;  // per pass, a multiple of kChunkRows
  PassStorage storage_{};
  OwnedPlan plan_;
  DeviceArray<float> values_, partial_;
  DeviceArray<double> gradient_;
};

}  // namespace ebm
