// The kernels of one shape of kCompiledMmaShapes, one translation unit each (mma_compiled_<shape>.cu), so that they
// compile in parallel.
#pragma once

#include "kernels/chains/mma_chains.cuh"

namespace ebm {

template <int Shape, bool Split, bool Mala, bool Limited>
struct CompiledMma {
  static constexpr MmaShape kShape = kCompiledMmaShapes[Shape];
  static constexpr MmaVariant kVariant{Split, Mala, Limited};
};

template <int Shape>
const void* compiled_mma_kernel(const MmaVariant& v) {
  const auto address = [](void (*kernel)(MmaArguments)) { return reinterpret_cast<const void*>(kernel); };
  if (v.mala) {
    return v.split ? address(mma_chains_kernel<CompiledMma<Shape, true, true, false>>)
                   : address(mma_chains_kernel<CompiledMma<Shape, false, true, false>>);
  }
  if (v.limited) {
    return v.split ? address(mma_chains_kernel<CompiledMma<Shape, true, false, true>>)
                   : address(mma_chains_kernel<CompiledMma<Shape, false, false, true>>);
  }
  return v.split ? address(mma_chains_kernel<CompiledMma<Shape, true, false, false>>)
                 : address(mma_chains_kernel<CompiledMma<Shape, false, false, false>>);
}

}  // namespace ebm
