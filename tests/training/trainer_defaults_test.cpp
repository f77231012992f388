// The defaults by number of points and dimensions that docs/training.md measures.
#include <gtest/gtest.h>

#include "ebmcuda/trainer.hpp"

namespace ebm {
namespace {

TEST(TrainerDefaults, FewRowsDecayMoreAndRunShorter) {
  const TrainerOptions wine = TrainerOptions::defaults(13, 142), cancer = TrainerOptions::defaults(30, 455),
                       digits = TrainerOptions::defaults(64, 1438), many = TrainerOptions::defaults(64, 50'000),
                       unknown = TrainerOptions::defaults(64);
  EXPECT_EQ(wine.iterations, 1000);
  EXPECT_EQ(cancer.iterations, 1000);
  EXPECT_EQ(digits.iterations, 8000);
  EXPECT_EQ(many.iterations, 8000);
  EXPECT_FLOAT_EQ(wine.optimizer.weight_decay, 1.0f);
  EXPECT_FLOAT_EQ(cancer.optimizer.weight_decay, 0.95f);
  EXPECT_FLOAT_EQ(digits.optimizer.weight_decay, 0.3f);
  EXPECT_FLOAT_EQ(many.optimizer.weight_decay, 0.01f);
  EXPECT_EQ(unknown.optimizer.weight_decay, 0.0f);
}

TEST(TrainerDefaults, ThePlaneIsTheSameForAnyNumber) {
  const TrainerOptions few = TrainerOptions::defaults(2, 10), many = TrainerOptions::defaults(2);
  EXPECT_EQ(few.iterations, many.iterations);
  EXPECT_EQ(few.optimizer.weight_decay, 0.0f);
  EXPECT_EQ(many.optimizer.weight_decay, 0.0f);
}

TEST(TrainerDefaults, ChainsBeginAroundTheMiddleAboveThreeDimensions) {
  EXPECT_EQ(TrainerOptions::defaults(2).objective.buffer_start, BufferStart::uniform);
  EXPECT_EQ(TrainerOptions::defaults(3).objective.buffer_start, BufferStart::uniform);
  EXPECT_EQ(TrainerOptions::defaults(4).objective.buffer_start, BufferStart::gaussian);
}

TEST(TrainerDefaults, AreValid) {
  for (const int dim : {1, 2, 3, 4, 64, 1024}) {
    for (const std::size_t n : {std::size_t{1}, std::size_t{999}, std::size_t{1000}, std::size_t{1'000'000}}) {
      EXPECT_NO_THROW(TrainerOptions::defaults(dim, n).validate(dim, n)) << dim << ", " << n;
    }
  }
}

}  // namespace
}  // namespace ebm
