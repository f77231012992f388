// The weight image of mma_chains.hpp, and the choice of an instance.
#include "kernels/mma.cuh"
#include "kernels/mma_chains.hpp"

namespace ebm {
namespace {

// A thread per element of the hi parts, then of the floats.
__global__ void fill_mma_image_kernel(const __grid_constant__ NetworkView net, const __grid_constant__ MmaImage image,
                                      const float* parameters, const int* stopped) {
  if (stopped != nullptr && *stopped != 0) return;
  const int width = image.shape.width, hidden = image.shape.hidden_layers;
  int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const auto weight = [&](int l, int out, int in) {
    const LayerView& layer = net.layer[l];
    return out < layer.out && in < layer.in
               ? parameters[layer.parameter + static_cast<std::size_t>(out) * layer.in + in]
               : 0.0f;
  };
  int before = 0;
  for (int l = 0; l < hidden; ++l) {
    const int pitch = (l == 0 ? image.shape.dim : width) + kMmaPad;
    if (i < width * pitch) {
      const int out = i / pitch, column = i % pitch;
      int in = column;
      if (l == 0) in = column / 16 * 16 + column % 8 / 2 * 4 + column % 16 / 8 * 2 + column % 2;
      const float w = column < pitch - kMmaPad ? weight(l, out, in) : 0.0f;
      const __half hi = __float2half_rn(w);
      auto* at = reinterpret_cast<__half*>(image.data) + before + i;
      *at = hi;
      *reinterpret_cast<__half*>(reinterpret_cast<unsigned char*>(at) + image.lo_offset) =
          __float2half_rn((w - __half2float(hi)) * kSplit);
      return;
    }
    i -= width * pitch;
    before += width * pitch;
  }
  const int floats = (hidden + 1) * width + 4;
  if (i >= floats) return;
  auto* to = reinterpret_cast<float*>(image.data + image.floats_offset) + i;
  const LayerView& last = net.layer[hidden];
  if (i < hidden * width) {
    const LayerView& layer = net.layer[i / width];
    const std::size_t bias = layer.parameter + static_cast<std::size_t>(layer.out) * layer.in;
    *to = i % width < layer.out ? parameters[bias + i % width] : 0.0f;
    return;
  }
  // w_out scaled by the power of two that brings its largest element to [1, 2): far from both ends of half's range.
  float largest = 0.0f;
  for (int j = 0; j < last.in; ++j) largest = fmaxf(largest, fabsf(parameters[last.parameter + j]));
  int exponent = 0;
  if (largest > 0.0f && isfinite(largest)) exponent = min(max(ilogbf(largest), -100), 100);
  const int j = i - hidden * width;
  if (j < width) {
    *to = j < last.in ? ldexpf(parameters[last.parameter + j], -exponent) : 0.0f;
  } else {
    *to = j == width ? parameters[last.parameter + last.in] : j == width + 1 ? ldexpf(1.0f, exponent) : 0.0f;
  }
}

MmaKernel instance(const MmaShape& shape, bool split, bool mala) {
  if (shape == kMmaShapes[0]) return mma_kernel<16, 128, 2>(split, mala);
  if (shape == kMmaShapes[1]) return mma_kernel<64, 128, 2>(split, mala);
  return mma_kernel<64, 128, 3>(split, mala);
}

}  // namespace

MmaImage mma_image(const MmaShape& shape) {
  MmaImage image{shape, 0, 0, 0, nullptr};
  const int first = shape.width * (shape.dim + kMmaPad), other = shape.width * (shape.width + kMmaPad);
  image.lo_offset = static_cast<std::uint32_t>(2 * (first + (shape.hidden_layers - 1) * other));
  image.floats_offset = 2 * image.lo_offset;
  image.bytes = image.floats_offset + static_cast<std::uint32_t>((shape.hidden_layers + 1) * shape.width + 4) * 4;
  return image;
}

std::size_t mma_shared_bytes(const MmaImage& image, bool split, bool mala, int warps) {
  const std::size_t matrices = split || mala ? image.floats_offset : image.lo_offset;
  const std::size_t slopes =
      split ? static_cast<std::size_t>((image.shape.hidden_layers - 1) * image.shape.width / 2) : 0;
  const std::size_t state = mala ? static_cast<std::size_t>(image.shape.dim) : 0;
  return matrices + (image.bytes - image.floats_offset) + static_cast<std::size_t>(warps) * (slopes + state) * 32 * 4;
}

cudaError_t launch_fill_mma_image(const NetworkView& net, const MmaImage& image, const float* parameters,
                                  const int* stopped, cudaStream_t stream) {
  const unsigned threads = image.lo_offset / 2 + (image.bytes - image.floats_offset) / 4;
  fill_mma_image_kernel<<<(threads + 255) / 256, 256, 0, stream>>>(net, image, parameters, stopped);
  return cudaGetLastError();
}

cudaError_t mma_attributes(const MmaShape& shape, bool split, bool mala, cudaFuncAttributes* attributes) {
  return cudaFuncGetAttributes(attributes, instance(shape, split, mala));
}

cudaError_t launch_mma_chains(const MmaPlan& plan, const MmaImage& image, const NetworkView& net,
                              const ChainsView& chains, const StepView& step, std::int64_t n_steps, ChainCounts* counts,
                              cudaStream_t stream) {
  const MmaArguments arguments{net, image, chains, step, n_steps, counts};
  const MmaKernel kernel = instance(image.shape, plan.split, step.mala);
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.shared_bytes));
  if (code != cudaSuccess) return code;
  kernel<<<static_cast<unsigned>(plan.blocks), static_cast<unsigned>(32 * plan.warps), plan.shared_bytes, stream>>>(
      arguments);
  return cudaGetLastError();
}

}  // namespace ebm
