// Chains on tensor cores: precisions fp16 and fp16x3. A kernel is specialised to a network's shape (mma_shape.hpp). A
// few common ones are compiled ahead of time; the host compiles the rest when they are first asked for.
#pragma once

#include "kernels/chains/chains.hpp"
#include "kernels/energy/mma_shape.hpp"
#include "kernels/energy/network.hpp"

namespace ebm {

// The weight image: per hidden layer W [width, fan_in + 8] in halves, columns of the first permuted (mma_network.cuh),
// all layers' hi parts, then all lo parts; then floats: biases of the hidden layers, w_out times a power of two, and
// {b_out, 1 / that power, 0, 0}. Units scaled as mma_scale() says.
struct MmaImage {
  unsigned char* data;

  EBM_HD static constexpr std::uint32_t floats_offset(const MmaShape& shape) {
    return 2 * static_cast<std::uint32_t>(shape.matrices_bytes());
  }
  EBM_HD static constexpr std::uint32_t bytes(const MmaShape& shape) {
    return floats_offset(shape) + static_cast<std::uint32_t>(shape.floats_bytes());
  }
};

struct MmaArguments {
  NetworkView net;
  MmaImage image;
  ChainsView chains;
  StepView step;
  std::int64_t n;  // transitions
  ChainCounts* counts;
};

#if !defined(__CUDACC_RTC__)
struct MmaPlan {
  int warps;  // per block
  int blocks;
  std::size_t shared_bytes;
};

// The kernel compiled ahead of time, as cudaLaunchKernel takes it; null when there is none.
const void* compiled_mma_kernel(const MmaShape& shape, const MmaVariant& variant);
// Shapes that have them: langevin, limited or not, and mala, both splits.
inline constexpr MmaShape kCompiledMmaShapes[] = {
    {16, false, 2, {128, 128}, ActivationKind::silu},
    {64, true, 2, {128, 128}, ActivationKind::silu},
    {64, true, 3, {128, 128, 128}, ActivationKind::silu},
};

// Fills the image from flat parameters, unless *stopped.
cudaError_t launch_fill_mma_image(const NetworkView& net, const MmaShape& shape, const MmaImage& image,
                                  const float* parameters, const int* stopped, cudaStream_t stream);
cudaError_t launch_mma_chains(const void* kernel, const MmaPlan& plan, const MmaArguments& arguments,
                              KernelLimits& limits, cudaStream_t stream);
#endif

}  // namespace ebm
