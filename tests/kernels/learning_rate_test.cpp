// The learning-rate schedule against the reference, and its corner values by hand.
#include "kernels/math/learning_rate.hpp"

#include <gtest/gtest.h>

#include "ebmcuda/trainer.hpp"
#include "reference/training.hpp"

namespace {

TEST(LearningRate, CornerValues) {
  // rate, warm-up, decay, t, n
  EXPECT_DOUBLE_EQ(ebm::learning_rate(0.4, 0, 0, 99, 100), 0.4);
  EXPECT_DOUBLE_EQ(ebm::learning_rate(0.4, 3, 0, 0, 100), 0.1);
  EXPECT_DOUBLE_EQ(ebm::learning_rate(0.4, 3, 0, 2, 100), 0.3);
  EXPECT_DOUBLE_EQ(ebm::learning_rate(0.4, 3, 1, 3, 103), 0.4);
  EXPECT_DOUBLE_EQ(ebm::learning_rate(0.4, 0, 1, 50, 100), 0.2);
  EXPECT_DOUBLE_EQ(ebm::learning_rate(0.4, 0, 2, 75, 100), 0.1);
  EXPECT_EQ(ebm::learning_rate(0.4, 0, 1, 100, 100), 0.0);
  EXPECT_EQ(ebm::learning_rate(0.4, 0, 2, 120, 100), 0.0);
  EXPECT_DOUBLE_EQ(ebm::learning_rate(0.4, 200, 1, 50, 100), 0.4 * 51 / 201);  // never out of the warm-up
}

TEST(LearningRate, AgreesWithTheReference) {
  using Decay = ref::AdamSettings::Decay;
  for (const auto& [decay, theirs] : {std::pair{ebm::LearningRateDecay::constant, Decay::constant},
                                      std::pair{ebm::LearningRateDecay::cosine, Decay::cosine},
                                      std::pair{ebm::LearningRateDecay::linear, Decay::linear}}) {
    for (const int warmup : {0, 1, 7, 60}) {
      ebm::Adam adam;
      adam.learning_rate = 0.25f;
      adam.warmup = warmup;
      adam.decay = decay;
      ref::AdamSettings settings;
      settings.learning_rate = 0.25;
      settings.warmup = warmup;
      settings.decay = theirs;
      for (int t = 0; t < 55; ++t) {
        EXPECT_NEAR(adam.rate(t, 50), ref::learning_rate(settings, t, 50), 1e-15) << warmup << " " << t;
      }
    }
  }
}

}  // namespace
