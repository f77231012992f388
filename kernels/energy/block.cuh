// What every tile kernel begins with: its block's memory, and the launch by policy.
#pragma once

#include <type_traits>

#include "kernels/energy/energy.cuh"

namespace ebm {

struct BlockMemory {
  const float* image;
  float* rows;
};

// Copies the weights into shared memory where the policy says so. Called by the whole block.
template <int Tile, bool WeightsShared, bool StateShared>
__device__ BlockMemory open_block(const NetworkView& net, const TileLayout& layout, float* slab) {
  extern __shared__ __align__(16) float shared[];
  BlockMemory memory{net.image, shared};
  if constexpr (WeightsShared) {
    const int n = static_cast<int>(net.image_size);
    for (int i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) store4(shared + i, load4(net.image + i));
    __syncthreads();
    memory = {shared, shared + n};
  }
  if constexpr (!StateShared) memory.rows = slab + static_cast<std::size_t>(blockIdx.x) * layout.rows * Tile;
  return memory;
}

template <class Arguments>
struct TileKernel {
  void (*kernel)(Arguments);
  const Arguments& arguments;
};
template <class Kernel, class Arguments>
TileKernel(Kernel, const Arguments&) -> TileKernel<Arguments>;

// Launches the instance that plan.policy names over n chains. `select` maps the policy, as compile-time numbers, to a
// kernel and its arguments.
template <class Select>
cudaError_t launch_tiles(const TilePlan& plan, std::int64_t n, cudaStream_t stream, Select&& select) {
  const auto launch = [&](auto tile, auto weights_shared, auto state_shared) {
    const auto chosen = select(tile, weights_shared, state_shared);
    const cudaError_t code = cudaFuncSetAttribute(chosen.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                  static_cast<int>(plan.shared_bytes));
    if (code != cudaSuccess) return code;
    const std::int64_t tiles = (n + tile() - 1) / tile();
    const auto blocks = static_cast<unsigned>(tiles < plan.blocks ? tiles : plan.blocks);
    chosen.kernel<<<blocks, kParts * tile(), plan.shared_bytes, stream>>>(chosen.arguments);
    return cudaGetLastError();
  };
  using Wide = std::integral_constant<int, 32>;
  using Narrow = std::integral_constant<int, 8>;
  const TilePolicy& policy = plan.policy;
  if (!policy.state_shared) return launch(Narrow{}, std::false_type{}, std::false_type{});
  if (policy.tile == Wide{}) {
    return policy.weights_shared ? launch(Wide{}, std::true_type{}, std::true_type{})
                                 : launch(Wide{}, std::false_type{}, std::true_type{});
  }
  return policy.weights_shared ? launch(Narrow{}, std::true_type{}, std::true_type{})
                               : launch(Narrow{}, std::false_type{}, std::true_type{});
}

}  // namespace ebm
