// What the compiler makes of the tensor-core kernels, so that it cannot rot unseen: registers decide how many warps
// fit, local memory is where spilled registers go. Numbers of nvcc 13.0; docs/performance.md has the table.
#include <gtest/gtest.h>

#include "host/cuda/devices.hpp"
#include "host/cuda/mma.hpp"
#include "support/networks.hpp"

namespace {

using ebm::mma_variant;
using Kind = ebm::SamplerKind;
constexpr ebm::MmaVariant kVariants[] = {mma_variant(false, Kind::langevin),       mma_variant(false, Kind::mala),
                                         mma_variant(false, Kind::langevin, true), mma_variant(true, Kind::langevin),
                                         mma_variant(true, Kind::langevin, true),  mma_variant(true, Kind::mala)};

TEST(BudgetTest, RegistersAndLocalMemory) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  for (const ebm::MmaShape& shape : ebm::kCompiledMmaShapes) {
    for (const ebm::MmaVariant& variant : kVariants) {
      cudaFuncAttributes a{};
      ASSERT_EQ(cudaFuncGetAttributes(&a, ebm::compiled_mma_kernel(shape, variant)), cudaSuccess);
      const int threads = 32 * ebm::MmaState::of(shape, variant).most_warps;
      EXPECT_GE(a.maxThreadsPerBlock, threads);
      EXPECT_LE(a.numRegs * threads, 65536) << "one block per multiprocessor";
      EXPECT_LE(a.localSizeBytes, variant.metropolis ? 512u : 336u)
          << shape.dim << ", " << shape.layers << ", split " << variant.split << ", "
          << (variant.metropolis ? "mala" : "langevin");
    }
  }
  cudaFuncAttributes headline{};
  ASSERT_EQ(cudaFuncGetAttributes(&headline, ebm::compiled_mma_kernel(ebm::kCompiledMmaShapes[1], kVariants[0])),
            cudaSuccess);
  EXPECT_LE(headline.numRegs, 168);
  EXPECT_LE(headline.localSizeBytes, 64u);
}

}  // namespace
