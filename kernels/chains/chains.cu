// The fp32 chain kernels: one for every sampler (include/ebmcuda/samplers) and policy.
#include "kernels/chains/chains_kernel.cuh"
#include "kernels/chains/with_sampler.hpp"

namespace ebm {
namespace {

// A thread per Philox block of a chain.
__global__ void uniform_start_kernel(const __grid_constant__ ChainsView chains, const __grid_constant__ StepView step,
                                     int dim, int blocks_per_chain) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t row = i / blocks_per_chain;
  if (row >= chains.n) return;
  const int block = static_cast<int>(i % blocks_per_chain);
  const PhiloxWords w = philox(chains.seed, Purpose::initial_position, chains.ids[row], chains.steps[row],
                               static_cast<std::uint32_t>(block));
  const std::uint32_t words[4] = {w.r0, w.r1, w.r2, w.r3};
  for (int k = 0; k < 4 && 4 * block + k < dim; ++k) {
    const int d = 4 * block + k;
    if (chains.fixed != nullptr && (chains.fixed[row * fixed_words(dim) + d / 32] >> (d % 32) & 1u) != 0) continue;
    chains.x[row * dim + d] = start_position(step, d, words[k]);
  }
}

}  // namespace

cudaError_t launch_uniform_start(const ChainsView& chains, const StepView& step, int dim, cudaStream_t stream) {
  const int blocks_per_chain = padded(dim) / 4;
  const std::int64_t threads = chains.n * blocks_per_chain;
  return launch(uniform_start_kernel, static_cast<unsigned>((threads + 255) / 256), 256, 0, stream, chains, step, dim,
                blocks_per_chain);
}

cudaError_t launch_chains(const TilePlan& plan, const NetworkView& net, const ChainsView& chains, const StepView& step,
                          std::int64_t n, ChainCounts* counts, cudaStream_t stream) {
  const ChainArguments arguments{net, plan.layout, chains, step, n, counts, plan.slab};
  if (chains.fixed != nullptr) return launch_fixed_chains(plan, arguments, stream);
  return with_sampler(step.kind, cudaErrorInvalidValue, [&](auto kind) {
    constexpr SamplerKind kKind = decltype(kind)::value;
    return launch_tiles(plan, chains.n, stream, [&](auto tile, auto weights_shared, auto state_shared) {
      if constexpr (tile() == 2) {
        if (const ChainsKernel own = pairs_kernel(kKind, net); own != nullptr) return TileKernel{own, arguments};
      }
      return TileKernel{chains_kernel<kKind, tile(), weights_shared(), state_shared()>, arguments};
    });
  });
}

}  // namespace ebm
