// The kernels of one shape of kCompiledMmaShapes, one translation unit each (mma_compiled_<shape>.cu), so that they
// compile in parallel.
#pragma once

#include "kernels/chains/mma_chains.cuh"

namespace ebm {

template <int Shape, bool Split, SamplerKind Kind, bool Limited>
struct CompiledMma {
  static constexpr MmaShape kShape = kCompiledMmaShapes[Shape];
  static constexpr MmaVariant kVariant = mma_variant(Split, Kind, Limited);
};

// Null for what is compiled when it is first asked for.
template <int Shape, SamplerKind Kind, bool Limited>
const void* compiled_mma_kernel(const MmaVariant& v) {
  void (*const kernel)(MmaArguments) = v.split ? mma_chains_kernel<CompiledMma<Shape, true, Kind, Limited>>
                                               : mma_chains_kernel<CompiledMma<Shape, false, Kind, Limited>>;
  return reinterpret_cast<const void*>(kernel);
}
template <int Shape>
const void* compiled_mma_kernel(const MmaVariant& v) {
  if (v.tempered || v.fixes) return nullptr;
  if (v.kind == SamplerKind::mala) return compiled_mma_kernel<Shape, SamplerKind::mala, false>(v);
  if (v.kind != SamplerKind::langevin) return nullptr;
  return v.limited ? compiled_mma_kernel<Shape, SamplerKind::langevin, true>(v)
                   : compiled_mma_kernel<Shape, SamplerKind::langevin, false>(v);
}

}  // namespace ebm
