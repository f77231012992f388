// A Transition and a GaussianBase on the device, with what they point to.
#pragma once

#include "host/cuda/memory.hpp"
#include "host/engine/engine.hpp"
#include "kernels/chains/chains.hpp"

namespace ebm::cuda {

class DeviceTransition {
 public:
  DeviceTransition(std::shared_ptr<const Context> context, const Transition& transition);
  // Without base, data and adapted step size, which the caller adds.
  const StepView& view() const noexcept { return view_; }

 private:
  DeviceArray<float> clamp_lo_, clamp_hi_, start_lo_, start_hi_;
  StepView view_{};
};

class DeviceBase {
 public:
  DeviceBase(std::shared_ptr<const Context> context, const GaussianBase& base, int dim);
  BaseView view() const noexcept { return {mean_.data(), root_.data()}; }
  const LayerView& layer() const noexcept { return layer_; }
  void apply(StepView* step) const {
    step->base = view();
    step->base_layer = layer_;
  }

 private:
  LayerView layer_;
  DeviceArray<float> mean_, root_;
};

// `steps`: gradient evaluations.
ChainStats to_stats(const ChainCounts& counts, std::uint64_t steps);

}  // namespace ebm::cuda
