#include "host/cuda/transition.hpp"

#include <algorithm>

#include "host/cuda/network.hpp"

namespace ebm::cuda {
namespace {

// R padded like a layer's weights, followed by a bias of zeros.
std::vector<float> padded_root(const GaussianBase& base, const LayerView& layer) {
  std::vector<float> image(layer.bias + static_cast<std::size_t>(layer.out_pad));
  const auto dim = static_cast<std::size_t>(layer.in), pitch = static_cast<std::size_t>(layer.pitch);
  for (std::size_t i = 0; i < dim; ++i) {
    for (std::size_t j = 0; j < dim; ++j) image[i * pitch + j] = base.root[i * dim + j];
  }
  return image;
}

}  // namespace

DeviceTransition::DeviceTransition(std::shared_ptr<const Context> context, const Transition& transition)
    : clamp_lo_(context, std::span<const float>(transition.clamp_lo)),
      clamp_hi_(context, std::span<const float>(transition.clamp_hi)),
      start_lo_(context, std::span<const float>(transition.start_lo)),
      start_hi_(context, std::span<const float>(transition.start_hi)) {
  view_.kind = transition.kind;
  view_.evaluations = transition.evaluations;
  view_.step_size = transition.step_size;
  std::ranges::copy(transition.own, view_.own);
  view_.grad_clip = transition.grad_clip;
  view_.clamp_lo = clamp_lo_.data();
  view_.clamp_hi = clamp_hi_.data();
  view_.start_lo = start_lo_.data();
  view_.start_hi = start_hi_.data();
  view_.jump_prob = transition.jump_prob;
  view_.beta = 1.0f;
}

DeviceBase::DeviceBase(std::shared_ptr<const Context> context, const GaussianBase& base, int dim)
    : layer_(square_layer_view(dim)),
      mean_(context, std::span<const float>(base.mean)),
      root_(context, std::span<const float>(padded_root(base, layer_))) {}

ChainStats to_stats(const ChainCounts& counts, std::uint64_t steps) {
  ChainStats stats;
  stats.steps = steps;
  stats.restarts = counts.restarts;
  stats.reinitialized = counts.reinitialized;
  for (std::size_t move = 0; move < stats.moves.size(); ++move) {
    stats.moves[move] = {counts.proposed[move], counts.accepted[move]};
  }
  stats.swaps = {counts.swaps[0], counts.swaps[1]};
  return stats;
}

}  // namespace ebm::cuda
