// What every tile kernel begins with: its block's memory, and the launch by policy.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/energy/energy.cuh"
#include "kernels/launch.hpp"

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

template <int Tile>
__device__ __forceinline__ Evaluator<Tile> make_evaluator(const NetworkView& net, const TileLayout& layout,
                                                          const BlockMemory& memory) {
  Evaluator<Tile> evaluator{net, layout, memory.image, memory.rows, {}, {}};
  evaluator.held.load(evaluator.lane, net, memory.image);
  return evaluator;
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
    const void* const kernel = reinterpret_cast<const void*>(chosen.kernel);
    int resident = 0;
    cudaError_t code = plan.limits->open(kernel);
    constexpr int kThreads = Lane<tile()>::kThreads;
    if (code == cudaSuccess) code = plan.limits->resident(kernel, kThreads, plan.shared_bytes, &resident);
    if (code != cudaSuccess) return code;
    const std::int64_t tiles = (n + tile() - 1) / tile();
    const std::int64_t held = static_cast<std::int64_t>(plan.multiprocessors) * std::max(resident, 1);
    const auto blocks = static_cast<unsigned>(std::min({tiles, held, static_cast<std::int64_t>(plan.blocks)}));
    return ebm::launch(chosen.kernel, blocks, kThreads, plan.shared_bytes, stream, chosen.arguments);
  };
  using Wide = std::integral_constant<int, 32>;
  using Narrow = std::integral_constant<int, 8>;
  using Slim = std::integral_constant<int, 2>;
  const TilePolicy& policy = plan.policy;
  if (!policy.state_shared) return launch(Narrow{}, std::false_type{}, std::false_type{});
  if (policy.tile == Slim{}) return launch(Slim{}, std::true_type{}, std::true_type{});
  if (policy.tile == Wide{}) {
    return policy.weights_shared ? launch(Wide{}, std::true_type{}, std::true_type{})
                                 : launch(Wide{}, std::false_type{}, std::true_type{});
  }
  return policy.weights_shared ? launch(Narrow{}, std::true_type{}, std::true_type{})
                               : launch(Narrow{}, std::false_type{}, std::true_type{});
}

}  // namespace ebm
