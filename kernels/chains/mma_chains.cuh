// The tensor-core chain kernel: one warp owns 16 chains for all K steps. Weights are copied to shared memory once per
// block, and no barrier stands in the step loop.
#pragma once

#include "kernels/chains/mma_tile.cuh"

namespace ebm {

template <class Instance>
constexpr int kMmaThreads = 32 * MmaConfig<Instance>::kState.most_warps;  // at most, per block

// The body of a kernel of at most kMmaThreads<Instance> threads per block and one block per multiprocessor.
template <class Instance>
__device__ __forceinline__ void run_mma_chains(const MmaArguments& a) {
  using C = MmaConfig<Instance>;
  constexpr MmaState kState = C::kState;
  extern __shared__ __align__(16) unsigned char shared[];
  if (a.chains.stopped != nullptr && *a.chains.stopped != 0) return;
  constexpr int kMatrices = C::kVariant.copies() * C::kShape.matrices_bytes();
  constexpr int kFloats = C::kShape.floats_bytes();
  for (int i = 16 * threadIdx.x; i < kMatrices + kFloats; i += 16 * blockDim.x) {
    const int from = i < kMatrices ? i : static_cast<int>(MmaImage::floats_offset(C::kShape)) + (i - kMatrices);
    *reinterpret_cast<uint4*>(shared + i) = *reinterpret_cast<const uint4*>(a.image.data + from);
  }
  __syncthreads();

  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const float* tail = reinterpret_cast<const float*>(shared + kMatrices) + C::kShape.tail_offset();
  float* const own = reinterpret_cast<float*>(shared + kMatrices + kFloats) + warp * kState.words * 32;
  const auto base = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  const MmaNetworkPass<C> network{base, base + kMatrices, own, a.net.half_confinement, tail[0], tail[1], lane};
  Counter counter;
  for (std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) * warps + warp) * kMmaRows; first < a.chains.n;
       first += static_cast<std::int64_t>(gridDim.x) * warps * kMmaRows) {
    tensor_cores::MmaTile<C> tile(a, network, own, first, counter);
    tile.load();
    run_sampler(tile, a.n);
    tile.store();
  }
  add_counts(counter, a.counts);
}

#if !defined(__CUDACC_RTC__)
template <class Instance>
__global__ void __launch_bounds__(kMmaThreads<Instance>, 1) mma_chains_kernel(const __grid_constant__ MmaArguments a) {
  run_mma_chains<Instance>(a);
}
#endif

}  // namespace ebm
