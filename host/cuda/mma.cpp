#include "host/cuda/mma.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ebm {

std::string_view name_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::fp16:
      return "fp16";
    case Precision::fp16x3:
      return "fp16x3";
  }
  return "?";
}

std::optional<MmaShape> choose_mma_shape(const MlpShape& shape) {
  if (shape.head != Head::scalar || static_cast<ActivationKind>(shape.activation) != kMmaActivation) return {};
  const int widest = *std::ranges::max_element(shape.hidden);
  for (const MmaShape& candidate : kMmaShapes) {
    if (static_cast<std::size_t>(candidate.hidden_layers) == shape.hidden.size() && shape.dim <= candidate.dim &&
        widest <= candidate.width) {
      return candidate;
    }
  }
  return {};
}

std::optional<MmaPlan> choose_mma_plan(const MmaImage& image, bool split, bool mala, const DeviceLimits& limits,
                                       std::int64_t n) {
  constexpr std::int64_t kRows = 16;
  const std::int64_t tiles = (n + kRows - 1) / kRows;
  const auto wanted = std::clamp<std::int64_t>((tiles + limits.multiprocessors - 1) / limits.multiprocessors, 1,
                                               mma_most_warps(split, mala));
  for (auto warps = static_cast<int>(wanted); warps >= 1; --warps) {
    const std::size_t bytes = mma_shared_bytes(image, split, mala, warps);
    if (bytes > limits.shared_per_block) continue;
    const std::int64_t blocks = std::clamp<std::int64_t>((tiles + warps - 1) / warps, 1, limits.multiprocessors);
    return MmaPlan{split, warps, static_cast<int>(blocks), bytes};
  }
  return {};
}

std::shared_ptr<MmaNetwork> MmaNetwork::make(const Network& network, const MlpShape& shape, Precision precision,
                                             const float* parameters) {
  if (precision == Precision::fp32) return nullptr;
  const auto instance = choose_mma_shape(shape);
  const bool split = precision == Precision::fp16x3;
  // Metropolis-adjusted chains need the most shared memory; what serves one transition serves both.
  if (!instance || !choose_mma_plan(mma_image(*instance), split, true, network.limits(), 1)) return nullptr;
  std::shared_ptr<MmaNetwork> mma(new MmaNetwork(network, *instance, split));
  mma->fill(parameters, nullptr, network.context()->stream());
  return mma;
}

MmaNetwork::MmaNetwork(const Network& network, const MmaShape& shape, bool split)
    : context_(network.context()),
      net_(network.view()),
      limits_(network.limits()),
      split_(split),
      image_(mma_image(shape)),
      bytes_(context_, image_.bytes) {
  image_.data = bytes_.data();
}

void MmaNetwork::fill(const float* parameters, const int* stopped, cudaStream_t stream) {
  context_->check(launch_fill_mma_image(net_, image_, parameters, stopped, stream),
                  "laying out the half-precision weights");
}

void MmaNetwork::launch(const ChainsView& chains, const StepView& step, std::int64_t n_steps, ChainCounts* counts,
                        cudaStream_t stream) const {
  const auto plan = choose_mma_plan(image_, split_, step.mala, limits_, chains.n);
  context_->check(launch_mma_chains(plan.value(), image_, net_, chains, step, n_steps, counts, stream),
                  "launching the tensor-core chains");
}

std::string MmaNetwork::describe() const {
  return fmt::format("tensor-core {} kernel for up to {} dimensions and {} layers of {} units",
                     split_ ? "fp16x3" : "fp16", image_.shape.dim, image_.shape.hidden_layers, image_.shape.width);
}

}  // namespace ebm
