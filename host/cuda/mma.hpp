// The tensor-core chains of one network: kernels/mma_chains.hpp with its image and plans.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ebmcuda/device.hpp"
#include "host/cuda/network.hpp"
#include "kernels/mma_chains.hpp"

namespace ebm {

// The instance that holds the network, or none.
std::optional<MmaShape> choose_mma_shape(const MlpShape& shape);
// Warps per block and blocks for n chains: as many warps as shared memory allows, fewer to spread few chains over the
// device. None when not even one warp fits.
std::optional<MmaPlan> choose_mma_plan(const MmaImage& image, bool split, bool mala, const DeviceLimits& limits,
                                       std::int64_t n);

class MmaNetwork {
 public:
  // Null for fp32, and where no instance holds the network or fits the device. `parameters` are on the device.
  static std::shared_ptr<MmaNetwork> make(const Network& network, const MlpShape& shape, Precision precision,
                                          const float* parameters);

  // Queues the image's renewal.
  void fill(const float* parameters, const int* stopped, cudaStream_t stream);
  void launch(const ChainsView& chains, const StepView& step, std::int64_t n_steps, ChainCounts* counts,
              cudaStream_t stream) const;
  // "tensor-core fp16 kernel for up to 64 dimensions and 2 layers of 128 units"
  std::string describe() const;

 private:
  MmaNetwork(const Network& network, const MmaShape& shape, bool split);

  std::shared_ptr<const Context> context_;
  NetworkView net_;
  DeviceLimits limits_;
  bool split_;
  MmaImage image_;
  DeviceArray<unsigned char> bytes_;
};

std::string_view name_of(Precision precision);

}  // namespace ebm
