#include "host/cuda/network.hpp"

#include <algorithm>
#include <limits>

#include "kernels/energy/image.hpp"

namespace ebm::cuda {
namespace {

static_assert(kMaxLayers == MlpShape::kMostHidden + 1);
static_assert(static_cast<int>(Activation::silu) == static_cast<int>(ActivationKind::silu));
static_assert(static_cast<int>(Activation::softplus) == static_cast<int>(ActivationKind::softplus));
static_assert(static_cast<int>(Activation::tanh) == static_cast<int>(ActivationKind::tanh));
static_assert(static_cast<int>(Activation::gelu) == static_cast<int>(ActivationKind::gelu));
static_assert(static_cast<int>(Activation::elu) == static_cast<int>(ActivationKind::elu));
static_assert(static_cast<int>(Activation::relu) == static_cast<int>(ActivationKind::relu));

constexpr int kSlim = 2, kNarrow = 8, kWide = 32;
// Up to so many chains for each multiprocessor tiles of 2 in turn take no longer than one tile of 32 does
// (docs/performance.md).
constexpr std::int64_t kMostSlim = 10;
constexpr int kPartsPerChain = 8;  // kParts of kernels/energy/tile.cuh: threads per chain

LayerView layer_view(int in, int out, std::uint64_t image_offset, std::uint64_t parameter) {
  LayerView layer{};
  layer.in = in;
  layer.out = out;
  layer.in_pad = padded(in);
  layer.out_pad = padded(out);
  layer.pitch = padded_pitch(in);
  layer.weight = static_cast<std::uint32_t>(image_offset);
  layer.bias = layer.weight + static_cast<std::uint32_t>(layer.out_pad * layer.pitch);
  layer.parameter = parameter;
  return layer;
}

}  // namespace

NetworkView network_view(const MlpShape& shape) {
  NetworkView net{};
  net.dim = shape.dim;
  net.layers = shape.layers();
  net.outputs = shape.outputs;
  net.logits = shape.head == Head::logits;
  net.activation = static_cast<ActivationKind>(shape.activation);
  net.half_confinement = shape.confinement / 2;
  std::uint64_t at = 0;
  for (int l = 0; l < net.layers; ++l) {
    net.layer[l] = layer_view(shape.in(l), shape.out(l), at, shape.weight_offset(l));
    at = net.layer[l].bias + static_cast<std::uint64_t>(net.layer[l].out_pad);
  }
  net.parameters = shape.parameter_count();
  net.image_size = at;
  return net;
}

LayerView square_layer_view(int dim) { return layer_view(dim, dim, 0, 0); }

TileLayout tile_layout(const NetworkView& net, const TileNeeds& needs) {
  TileLayout layout{};
  int next = 0;
  const auto take = [&next](int rows) {
    const int first = next;
    next += rows;
    return first;
  };
  const int dim = padded(net.dim);
  layout.x = take(dim);
  layout.gradient = take(dim);
  take((needs.rows - 2) * dim);
  if (needs.keeps) layout.own_gradient = take(dim);
  if (needs.base) {
    layout.base_gradient = take(dim);
    layout.base_difference = take(dim);
    layout.base_residual = take(dim);
  }
  int widest[2] = {0, 0};
  for (int l = 0; l + 1 < net.layers; ++l) widest[l & 1] = std::max(widest[l & 1], net.layer[l].out_pad);
  layout.activation[0] = take(widest[0]);
  layout.activation[1] = take(widest[1]);
  for (int l = 0; l + 1 < net.layers; ++l) layout.delta[l] = take(net.layer[l].out_pad);
  layout.head = take(net.layer[net.layers - 1].out_pad);
  layout.parts = take(3 * kPartsPerChain);
  layout.rows = next;
  return layout;
}

std::size_t shared_bytes(const NetworkView& net, const TileLayout& layout, const TilePolicy& policy) {
  std::size_t floats = 0;
  if (policy.weights_shared) floats += net.image_size;
  // Noise that is drawn ahead.
  const int rows = layout.rows + (policy.tile == kSlim ? padded(net.dim) : 0);
  if (policy.state_shared) floats += static_cast<std::size_t>(rows) * static_cast<std::size_t>(policy.tile);
  return floats * sizeof(float);
}

TilePolicy choose_policy(const NetworkView& net, const TileLayout& layout, const DeviceLimits& limits, std::int64_t n) {
  const bool fills = n >= static_cast<std::int64_t>(kWide) * limits.multiprocessors;
  const TilePolicy slim{kSlim, true, true};
  if (n <= kMostSlim * limits.multiprocessors && shared_bytes(net, layout, slim) <= limits.shared_per_block)
    return slim;
  const TilePolicy wide[] = {{kWide, true, true}, {kWide, false, true}, {kNarrow, true, true}, {kNarrow, false, true}};
  const TilePolicy narrow[] = {{kNarrow, true, true}, {kNarrow, false, true}};
  for (const TilePolicy& policy : fills ? std::span<const TilePolicy>(wide) : std::span<const TilePolicy>(narrow)) {
    if (shared_bytes(net, layout, policy) <= limits.shared_per_block) return policy;
  }
  return {kNarrow, false, false};
}

std::string describe(const TilePolicy& policy) {
  if (!policy.state_shared) return "fused fp32 kernel, weights and activations through L2";
  return policy.weights_shared ? "fused fp32 kernel, weights in shared memory"
                               : "fused fp32 kernel, weights through L2";
}

Network::Network(std::shared_ptr<const Context> context, const MlpShape& shape, const float* parameters)
    : context_(std::move(context)), view_(network_view(shape)), image_(context_, view_.image_size) {
  image_.fill_zero();
  view_.image = image_.data();
  fill(parameters);
}

void Network::fill(const float* parameters) {
  context_->check(launch_fill_image(view_, parameters, image_.data(), context_->stream()), "laying out the weights");
}

DeviceLimits Network::limits() const {
  const cudaDeviceProp& p = context_->properties();
  return {p.multiProcessorCount, p.sharedMemPerBlockOptin};
}

OwnedPlan::OwnedPlan(const Network& network, const TileNeeds& needs, std::int64_t n)
    : OwnedPlan(network, needs, n,
                choose_policy(network.view(), tile_layout(network.view(), needs), network.limits(), n)) {}

OwnedPlan::OwnedPlan(const Network& network, const TileNeeds& needs, std::int64_t n, const TilePolicy& policy)
    : plan_{policy,
            tile_layout(network.view(), needs),
            0,
            network.limits().multiprocessors,
            nullptr,
            std::numeric_limits<int>::max(),
            &network.context()->kernel_limits()} {
  plan_.shared_bytes = shared_bytes(network.view(), plan_.layout, policy);
  if (policy.state_shared) return;
  const std::int64_t tiles = (n + policy.tile - 1) / policy.tile;
  plan_.blocks = static_cast<int>(std::clamp<std::int64_t>(tiles, 1, 2 * plan_.multiprocessors));
  slab_ = DeviceArray<float>(network.context(), static_cast<std::size_t>(plan_.blocks) *
                                                    static_cast<std::size_t>(plan_.layout.rows) *
                                                    static_cast<std::size_t>(policy.tile));
  plan_.slab = slab_.data();
}

}  // namespace ebm::cuda
