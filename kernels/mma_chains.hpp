// Chains on tensor cores: precisions fp16 and fp16x3. The kernel is compiled ahead of time for a few shapes; a network
// takes the smallest that holds it, its units and dimensions padded with zeros, which changes nothing but the work. A
// network that none holds (an activation other than SiLU, a logits head, more than 64 dimensions, layers above 128
// units, 1 or 4 hidden layers) runs the fp32 kernel, and the engine says so.
#pragma once

#include <cuda_runtime.h>

#include "kernels/chains.hpp"
#include "kernels/network.hpp"

namespace ebm {

struct MmaShape {
  int dim, width, hidden_layers;
  bool operator==(const MmaShape&) const = default;
};
constexpr ActivationKind kMmaActivation = ActivationKind::silu;
constexpr MmaShape kMmaShapes[] = {{16, 128, 2}, {64, 128, 2}, {64, 128, 3}};

// The weight image: per hidden layer W [width, in + 8] in halves, columns of the first permuted (mma_chains.cu), all
// layers' hi parts, then all lo parts; then floats: biases of the hidden layers, w_out times a power of two, and
// {b_out, 1 / that power, 0, 0}.
struct MmaImage {
  MmaShape shape;
  std::uint32_t lo_offset;      // bytes from a hi part to its lo part
  std::uint32_t floats_offset;  // bytes
  std::uint32_t bytes;
  unsigned char* data;
};
MmaImage mma_image(const MmaShape& shape);

// Fills the image from flat parameters.
cudaError_t launch_fill_mma_image(const NetworkView& net, const MmaImage& image, const float* parameters,
                                  const int* stopped, cudaStream_t stream);

struct MmaPlan {
  bool split;  // fp16x3, else fp16
  int warps;   // per block
  int blocks;
  std::size_t shared_bytes;
};
// Shared memory of a block with so many warps.
std::size_t mma_shared_bytes(const MmaImage& image, bool split, bool mala, int warps);
constexpr int mma_most_warps(bool split, bool mala) { return split || mala ? 8 : 12; }

struct MmaArguments {
  NetworkView net;
  MmaImage image;
  ChainsView chains;
  StepView step;
  std::int64_t n_steps;
  ChainCounts* counts;
};

// The instances of one shape, one translation unit each (mma_<dim>x<width>x<layers>.cu), so that they compile in
// parallel.
using MmaKernel = void (*)(MmaArguments);
template <int Dim, int Width, int HiddenLayers>
MmaKernel mma_kernel(bool split, bool mala);
// Registers, local memory and so on of an instance.
cudaError_t mma_attributes(const MmaShape& shape, bool split, bool mala, cudaFuncAttributes* attributes);

cudaError_t launch_mma_chains(const MmaPlan& plan, const MmaImage& image, const NetworkView& net,
                              const ChainsView& chains, const StepView& step, std::int64_t n_steps, ChainCounts* counts,
                              cudaStream_t stream);

}  // namespace ebm
