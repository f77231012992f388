// Parameters to the layout that the tile kernels read.
#include "kernels/energy/image.hpp"

#include "kernels/launch.hpp"

namespace ebm {
namespace {

__global__ void fill_image_kernel(const __grid_constant__ NetworkView net, const float* parameters, float* image) {
  const std::uint64_t p = static_cast<std::uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (p < net.parameters) image[image_place(net, p).at] = parameters[p];
}

}  // namespace

cudaError_t launch_fill_image(const NetworkView& net, const float* parameters, float* image, cudaStream_t stream) {
  return launch(fill_image_kernel, static_cast<unsigned>((net.parameters + 255) / 256), 256, 0, stream, net, parameters,
                image);
}

cudaError_t check_kernels_for_device() {
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, fill_image_kernel);
}

}  // namespace ebm
