// The weight image of mma_chains.hpp, and the launch of a kernel on it.
#include "kernels/chains/mma_chains.hpp"

#include <cuda_fp16.h>

#include "kernels/energy/mma.cuh"
#include "kernels/launch.hpp"

namespace ebm {

template <int Shape>
const void* compiled_mma_kernel(const MmaVariant& variant);

namespace {

// Values of the image's tail after the biases: w_out scaled by the power of two that brings its largest element to
// [1, 2), far from both ends of half's range.
__device__ int exponent_of_largest(const NetworkView& net, const float* parameters) {
  const LayerView& last = net.layer[net.layers - 1];
  float largest = 0.0f;
  for (int j = 0; j < last.in; ++j) largest = fmaxf(largest, fabsf(parameters[last.parameter + j]));
  return largest > 0.0f && isfinite(largest) ? min(max(ilogbf(largest), -100), 100) : 0;
}

// A thread per element of the hi parts, then of the floats. (w_out's halves take a thread for each two.)
__global__ void fill_mma_image_kernel(const __grid_constant__ NetworkView net, const __grid_constant__ MmaShape shape,
                                      unsigned char* image, const float* parameters, const int* stopped) {
  if (stopped != nullptr && *stopped != 0) return;
  int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const float scale = mma_scale(shape.activation);
  for (int l = 0; l < shape.layers; ++l) {
    const int pitch = shape.pitch(l), size = shape.width[l] * pitch;
    if (i >= size) {
      i -= size;
      continue;
    }
    const LayerView& layer = net.layer[l];
    const int out = i / pitch, column = i % pitch;
    const int in = l == 0 ? column / 16 * 16 + column % 8 / 2 * 4 + column % 16 / 8 * 2 + column % 2 : column;
    const bool real = column < shape.fan_in(l) && out < layer.out && in < layer.in;
    const float w =
        real ? (l == 0 ? scale : 1.0f) * parameters[layer.parameter + static_cast<std::size_t>(out) * layer.in + in]
             : 0.0f;
    auto* at = reinterpret_cast<__half*>(image + shape.matrix_offset(l)) + i;
    const __half hi = __float2half_rn(w);
    *at = hi;
    at[shape.matrices_bytes() / 2] = __float2half_rn((w - __half2float(hi)) * kSplit);
    return;
  }
  if (i >= shape.tail_offset() + 4) return;
  float* to = reinterpret_cast<float*>(image + MmaImage::floats_offset(shape)) + i;
  for (int l = 0; l < shape.layers; ++l) {
    const int j = i - shape.bias_offset(l);
    if (j >= shape.width[l]) continue;
    const LayerView& layer = net.layer[l];
    const std::size_t bias = layer.parameter + static_cast<std::size_t>(layer.out) * layer.in;
    *to = j < layer.out ? scale * parameters[bias + j] : 0.0f;
    return;
  }
  const LayerView& last = net.layer[net.layers - 1];
  const int exponent = exponent_of_largest(net, parameters);
  const auto w_out = [&](int j) {
    return j < last.in ? ldexpf(parameters[last.parameter + j], -exponent) / scale : 0.0f;
  };
  if (i < shape.half_offset()) {
    *to = w_out(i - shape.bias_offset(shape.layers));
  } else if (i < shape.tail_offset()) {
    const int j = 2 * (i - shape.half_offset());
    *reinterpret_cast<__half2*>(to) = __floats2half2_rn(w_out(j), w_out(j + 1));
  } else {
    const int j = i - shape.tail_offset();
    *to = j == 0 ? parameters[last.parameter + last.in] : j == 1 ? ldexpf(1.0f, exponent) : 0.0f;
  }
}

}  // namespace

const void* compiled_mma_kernel(const MmaShape& shape, const MmaVariant& variant) {
  if (shape == kCompiledMmaShapes[0]) return compiled_mma_kernel<0>(variant);
  if (shape == kCompiledMmaShapes[1]) return compiled_mma_kernel<1>(variant);
  if (shape == kCompiledMmaShapes[2]) return compiled_mma_kernel<2>(variant);
  return nullptr;
}

cudaError_t launch_fill_mma_image(const NetworkView& net, const MmaShape& shape, const MmaImage& image,
                                  const float* parameters, const int* stopped, cudaStream_t stream) {
  const int threads = shape.matrices_bytes() / 2 + shape.tail_offset() + 4;
  return launch(fill_mma_image_kernel, static_cast<unsigned>((threads + 255) / 256), 256, 0, stream, net, shape,
                image.data, parameters, stopped);
}

cudaError_t launch_mma_chains(const void* kernel, const MmaPlan& plan, const MmaArguments& arguments,
                              KernelLimits& limits, cudaStream_t stream) {
  const cudaError_t code = limits.open(kernel);
  if (code != cudaSuccess) return code;
  void* pointers[] = {const_cast<MmaArguments*>(&arguments)};
  return cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(plan.blocks)),
                          dim3(static_cast<unsigned>(32 * plan.warps)), pointers, plan.shared_bytes, stream);
}

}  // namespace ebm
