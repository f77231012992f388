// The tensor-core chains of one network: kernels/chains/mma_chains.hpp with its kernels, image and plans.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ebmcuda/device.hpp"
#include "host/cuda/network.hpp"
#include "kernels/chains/mma_chains.hpp"

namespace ebm::cuda {

// The network's own shape, padded as the kernels need it. None for what they cannot hold: a logits head, more than 256
// dimensions or units.
std::optional<MmaShape> own_mma_shape(const MlpShape& shape);
// The shape to run a network in: a compiled one when it is the network's own or when nothing can be compiled at run
// time, else the network's own.
std::optional<MmaShape> choose_mma_shape(const MlpShape& shape, bool runtime_compiler);
// Warps per block and blocks for n chains: as many warps as shared memory allows, fewer to spread few chains over the
// device. None when not even one warp fits.
std::optional<MmaPlan> choose_mma_plan(const MmaShape& shape, const MmaVariant& variant, const DeviceLimits& limits,
                                       std::int64_t n);
// Source of the run-time compiled kernel "mma_chains".
std::string mma_kernel_source(const MmaShape& shape, const MmaVariant& variant);

class MmaNetwork {
 public:
  // Null for fp32, and where no kernel holds the network or fits the device. `parameters` are on the device.
  static std::shared_ptr<MmaNetwork> make(const Network& network, const MlpShape& shape, Precision precision,
                                          const float* parameters);

  // Whether chains of this sampler run here, `tempered` at temperatures of their own, or with fixed coordinates. Those
  // that do not fit the device's shared memory, or would have to be compiled where there is no compiler, run in fp32.
  bool serves(SamplerKind kind, bool tempered = false, bool fixes = false) const;
  // Queues the image's renewal.
  void fill(const float* parameters, const int* stopped, cudaStream_t stream);
  // The kernel that launch() takes. Compiled when it is first asked for, which may take seconds and cannot be done
  // during a capture.
  const void* prepare(const StepView& step, bool tempered = false, bool fixes = false);
  // n transitions of every chain.
  void launch(const ChainsView& chains, const StepView& step, std::int64_t n, ChainCounts* counts, cudaStream_t stream);
  // "tensor-core fp16 kernel 64-128-128, compiled in 3.1 s"
  std::string describe() const;

 private:
  MmaNetwork(const Network& network, const MmaShape& shape, bool split);
  MmaVariant variant_of(const StepView& step, bool tempered, bool fixes) const;

  std::shared_ptr<const Context> context_;
  NetworkView net_;
  DeviceLimits limits_;
  MmaShape shape_;
  bool split_;
  DeviceArray<unsigned char> bytes_;
  mutable std::mutex mutex_;  // of what follows: chain sets of one network may run on several threads
  std::vector<std::pair<MmaVariant, const void*>> kernels_;
  double seconds_ = 0.0;  // spent on compiling
};

// Throws ConfigError when `precision` is one of half's and a hidden weight of `parameters` (flat as Mlp::parameters())
// is beyond its range, whose largest number is 65504.
void check_half_range(const MlpShape& shape, std::span<const float> parameters, Precision precision);

std::string_view name_of(Precision precision);
// Why MmaNetwork::make() gave none: "no fp16 kernel holds this network".
std::string why_no_mma(const MlpShape& shape, Precision precision);

}  // namespace ebm::cuda
