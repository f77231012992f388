// The fp32 kernels of chains with fixed coordinates. Kernels, and a translation unit, of their own: the others have no
// code for them, and they compile beside chains.cu.
#include "kernels/chains/chains_kernel.cuh"
#include "kernels/chains/with_sampler.hpp"

namespace ebm {
namespace {

template <SamplerKind kKind, int Tile, bool WeightsShared, bool StateShared>
__global__ void __launch_bounds__(Lane<Tile>::kThreads) fixed_chains_kernel(const __grid_constant__ ChainArguments a) {
  const BlockMemory memory = open_block<Tile, WeightsShared, StateShared>(a.net, a.layout, a.slab);
  run_tiles<kKind, Tile, true>(a, make_evaluator<Tile>(a.net, a.layout, memory));
}

}  // namespace

cudaError_t launch_fixed_chains(const TilePlan& plan, const ChainArguments& arguments, cudaStream_t stream) {
  return with_sampler(arguments.step.kind, cudaErrorInvalidValue, [&](auto kind) {
    constexpr SamplerKind kKind = decltype(kind)::value;
    return launch_tiles(plan, arguments.chains.n, stream, [&](auto tile, auto weights_shared, auto state_shared) {
      return TileKernel{fixed_chains_kernel<kKind, tile(), weights_shared(), state_shared()>, arguments};
    });
  });
}

}  // namespace ebm
