// The kernels of pairs_kernel.cuh: SiLU, two layers of 128 or of 64 units. A translation unit of their own, so that
// they compile beside chains.cu.
#include "kernels/chains/pairs_kernel.cuh"
#include "kernels/chains/with_sampler.hpp"

namespace ebm {
namespace {

template <SamplerKind kKind>
ChainsKernel kernel_of(const NetworkView& net) {
  constexpr ActivationKind kSilu = ActivationKind::silu;
  if (PairEvaluator<128, kSilu>::serves(net)) return chain_pairs_kernel<kKind, 128, kSilu>;
  if (PairEvaluator<64, kSilu>::serves(net)) return chain_pairs_kernel<kKind, 64, kSilu>;
  return nullptr;
}

}  // namespace

ChainsKernel pairs_kernel(SamplerKind kind, const NetworkView& net) {
  return with_sampler(kind, ChainsKernel{nullptr}, [&](auto known) { return kernel_of<decltype(known)::value>(net); });
}

}  // namespace ebm
