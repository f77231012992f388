// The weight image of network.hpp.
#pragma once

#include <cuda_runtime.h>

#include "kernels/energy/network.hpp"

namespace ebm {

// Which number of the image a parameter is, and whether it is a weight (else a bias).
struct ImagePlace {
  std::uint64_t at;
  bool weight;
};
EBM_HD inline ImagePlace image_place(const NetworkView& net, std::uint64_t parameter) {
  int l = net.layers - 1;
  while (parameter < net.layer[l].parameter) --l;
  const LayerView& layer = net.layer[l];
  const std::uint64_t i = parameter - layer.parameter;
  const std::uint64_t weights = static_cast<std::uint64_t>(layer.out) * static_cast<std::uint64_t>(layer.in);
  if (i >= weights) return {layer.bias + (i - weights), false};
  return {layer.weight + i / layer.in * layer.pitch + i % layer.in, true};
}

// Copies parameters to their places. The image's padding has been zeroed once and stays so.
cudaError_t launch_fill_image(const NetworkView& net, const float* parameters, float* image, cudaStream_t stream);

// Whether the current device can run this build's kernels: neither machine code nor PTX may be for it.
cudaError_t check_kernels_for_device();

}  // namespace ebm
