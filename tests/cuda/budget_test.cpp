// What the compiler makes of the tensor-core kernels, so that it cannot rot unseen: registers decide how many warps
// fit, local memory is where spilled registers go. Numbers of nvcc 13.0; docs/performance.md has the table.
#include <gtest/gtest.h>

#include "host/cuda/devices.hpp"
#include "host/cuda/mma.hpp"
#include "support/networks.hpp"

namespace {

TEST(BudgetTest, RegistersAndLocalMemory) {
  if (ebm::cuda_device_count() == 0) GTEST_SKIP() << "no CUDA device";
  for (const ebm::MmaShape& shape : ebm::kMmaShapes) {
    for (const bool split : {false, true}) {
      for (const bool mala : {false, true}) {
        cudaFuncAttributes a{};
        ASSERT_EQ(ebm::mma_attributes(shape, split, mala, &a), cudaSuccess);
        const int threads = 32 * ebm::mma_most_warps(split, mala);
        EXPECT_GE(a.maxThreadsPerBlock, threads);
        EXPECT_LE(a.numRegs * threads, 65536) << "one block per multiprocessor";
        EXPECT_LE(a.localSizeBytes, 336u)
            << shape.dim << ", " << shape.hidden_layers << ", split " << split << ", mala " << mala;
      }
    }
  }
  cudaFuncAttributes headline{};
  ASSERT_EQ(ebm::mma_attributes({64, 128, 2}, false, false, &headline), cudaSuccess);
  EXPECT_LE(headline.numRegs, 168);
  EXPECT_LE(headline.localSizeBytes, 192u);
}

// Shapes of real devices: which precision holds which network where.
TEST(MmaPlanTest, ShapesAndDevices) {
  using support::shape_of;
  EXPECT_EQ(ebm::choose_mma_shape(shape_of(2, {128, 128})), (ebm::MmaShape{16, 128, 2}));
  EXPECT_EQ(ebm::choose_mma_shape(shape_of(17, {1, 128})), (ebm::MmaShape{64, 128, 2}));
  EXPECT_EQ(ebm::choose_mma_shape(shape_of(1, {64, 32, 5})), (ebm::MmaShape{64, 128, 3}));
  EXPECT_FALSE(ebm::choose_mma_shape(shape_of(65, {128, 128})));
  EXPECT_FALSE(ebm::choose_mma_shape(shape_of(2, {129, 128})));
  EXPECT_FALSE(ebm::choose_mma_shape(shape_of(2, {128})));
  EXPECT_FALSE(ebm::choose_mma_shape(shape_of(2, {128, 128}, ebm::Activation::tanh)));
  EXPECT_FALSE(ebm::choose_mma_shape(shape_of(2, {128, 128}, ebm::Activation::silu, ebm::Head::logits)));

  constexpr ebm::DeviceLimits kH100{132, 232448}, kAda{128, 101376};
  const ebm::MmaImage image = ebm::mma_image({64, 128, 2});
  for (const std::int64_t n : {1, 16, 17, 5000, 1000000}) {
    for (const bool split : {false, true}) {
      for (const bool mala : {false, true}) {
        const auto plan = ebm::choose_mma_plan(image, split, mala, kH100, n);
        ASSERT_TRUE(plan);
        EXPECT_LE(plan->shared_bytes, kH100.shared_per_block);
        EXPECT_LE(plan->blocks, kH100.multiprocessors);
        EXPECT_LE(static_cast<std::int64_t>(plan->blocks - 1) * plan->warps * 16, n);
      }
    }
  }
  EXPECT_EQ(ebm::choose_mma_plan(image, false, false, kH100, 1000000)->warps, 12);
  EXPECT_TRUE(ebm::choose_mma_plan(image, false, false, kAda, 1000000));
  EXPECT_FALSE(ebm::choose_mma_plan(image, true, true, kAda, 1000000));  // two copies of the weights don't fit
}

}  // namespace
