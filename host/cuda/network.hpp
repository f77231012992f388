// A network's parameters on the device, in the layout of kernels/energy/network.hpp, and the plans of its tile kernels.
#pragma once

#include <span>
#include <string>

#include "ebmcuda/mlp.hpp"
#include "host/cuda/memory.hpp"
#include "kernels/energy/network.hpp"
#include "kernels/energy/plan.hpp"

namespace ebm::cuda {

// Layers, offsets and padding; `image` is null. Parameters in the order of Mlp::parameters().
NetworkView network_view(const MlpShape& shape);
// R of a GaussianBase seen as a layer without bias.
LayerView square_layer_view(int dim);

// What a kernel needs rows for beside the passes of the network.
struct TileNeeds {
  int rows = 2;        // the sampler's: x, its gradient, ...
  bool base = false;   // StepView::base
  bool keeps = false;  // ChainsView::energy
};
TileLayout tile_layout(const NetworkView& net, const TileNeeds& needs);
std::size_t shared_bytes(const NetworkView& net, const TileLayout& layout, const TilePolicy& policy);
// Wide tiles when the chains fill the device, narrow ones to spread few chains over it, of 2 chains where the weights
// fit beside them; then as much in shared memory as fits, the working memory first. Every shape has a policy.
TilePolicy choose_policy(const NetworkView& net, const TileLayout& layout, const DeviceLimits& limits, std::int64_t n);
// "fused fp32 kernel, weights in shared memory": for reports.
std::string describe(const TilePolicy& policy);

class Network {
 public:
  // `parameters` [parameter_count] are on the device.
  Network(std::shared_ptr<const Context> context, const MlpShape& shape, const float* parameters);

  // Queues the renewal of the image from other parameters.
  void fill(const float* parameters);

  const NetworkView& view() const noexcept { return view_; }
  const std::shared_ptr<const Context>& context() const noexcept { return context_; }
  float* image() noexcept { return image_.data(); }
  DeviceLimits limits() const;

 private:
  std::shared_ptr<const Context> context_;
  NetworkView view_;
  DeviceArray<float> image_;
};

// A plan with its slab of global working memory, for launches of up to n chains.
class OwnedPlan {
 public:
  OwnedPlan(const Network& network, const TileNeeds& needs, std::int64_t n);
  OwnedPlan(const Network& network, const TileNeeds& needs, std::int64_t n, const TilePolicy& policy);
  const TilePlan& plan() const noexcept { return plan_; }

 private:
  TilePlan plan_;
  DeviceArray<float> slab_;
};

}  // namespace ebm::cuda
