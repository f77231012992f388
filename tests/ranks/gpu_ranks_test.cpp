// Ranks of GPUs that do not go together, or do not go on. What they compute is in same_bits_test.cpp.
#include "host/cuda/gpu_ranks.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "ebmcuda/energy.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/trainer.hpp"
#include "ranks/thread_ranks.hpp"
#include "support/networks.hpp"

namespace {

using ebm::Communicator;
using ebm::Device;
using ebm::test::on_ranks;

constexpr int kRanks = 3;

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

class GpuRanksTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      Device::cuda(kRanks - 1);
    } catch (const ebm::ConfigError& error) {
      GTEST_SKIP() << "not " << kRanks << " CUDA devices: " << error.what();
    }
  }
  static Device over(const Communicator& ranks) { return Device::local_cuda(ranks).over(ranks); }

  // Trains without an end, until something is thrown; `each` is asked at every log line.
  static void train(const Communicator& ranks, const std::function<void()>& each) {
    ebm::TrainerOptions options;
    options.iterations = 1'000'000;
    options.batch_size = 3 * 128;
    options.log_every = 1;
    options.objective.n_steps = 1;
    const ebm::Mlp model = support::random_network(support::shape_of(2, {8}), 1);
    const ebm::Matrix data = support::random_points(400, 2, 3);
    ebm::Trainer trainer(model, data, options, over(ranks));
    trainer.fit([&](const ebm::TrainProgress&) { return each(), true; });
  }
};

TEST_F(GpuRanksTest, TwoOnOneDeviceAreRefusedWithTheirPlaces) {
  const ebm::Mlp model = support::random_network(support::shape_of(2, {8}), 1);
  const auto thrown = on_ranks(kRanks, [&](const Communicator& ranks) {
    // Rank 2 is on the device of rank 1.
    const ebm::Energy energy(model, Device::cuda(std::min(ranks.rank(), 1)).over(ranks));
  });
  for (const std::string& what : thrown) {
    EXPECT_TRUE(holds(what, "device = cuda:1 of rank 2 (local rank 2 on ")) << what;
    EXPECT_TRUE(holds(what, "is also cuda:1 of rank 1 (local rank 1 on ")) << what;
  }
}

// The rest wait in the device for its share: they have to be woken. Before anything of it goes, since these are threads
// of one process (docs/ranks.md).
TEST_F(GpuRanksTest, FailureOfOneInTrainingEndsAllWithItsReason) {
  const auto thrown = on_ranks(kRanks, [&](const Communicator& ranks) {
    int lines = 0;
    train(ranks, [&] {
      if (ranks.rank() != 1 || ++lines < 3) return;
      ranks.fail("the disk is full");
      throw ebm::Error("the disk is full");
    });
  });
  EXPECT_EQ(thrown[1], "the disk is full");
  for (const int r : {0, 2}) EXPECT_EQ(thrown[static_cast<std::size_t>(r)], "rank 1: the disk is full");
}

TEST_F(GpuRanksTest, SilenceOfOneInTrainingEndsAll) {
  const auto thrown = on_ranks(
      kRanks,
      [&](const Communicator& ranks) {
        int lines = 0;
        train(ranks, [&] {
          if (ranks.rank() == 2 && ++lines == 3) std::this_thread::sleep_for(std::chrono::seconds(8));
        });
      },
      3);
  for (const std::string& what : thrown) {
    EXPECT_TRUE(holds(what, "rank 2: has given no sign of life for 3 s")) << what;
  }
}

// Numbers that are not finite stop all ranks at the same iteration, with the error of one.
TEST_F(GpuRanksTest, DivergenceIsTheSameOnAll) {
  const auto diverge = [](const Device& device) {
    ebm::TrainerOptions options;
    options.iterations = 100;
    options.batch_size = 300;
    options.objective.n_steps = 1;
    options.optimizer.learning_rate = 1e30f;
    options.optimizer.grad_norm_clip = 0;
    const ebm::Mlp model = support::random_network(support::shape_of(2, {8}), 1);
    const ebm::Matrix data = support::random_points(400, 2, 3);
    ebm::Trainer trainer(model, data, options, device);
    trainer.fit();
  };
  std::string alone;
  try {
    diverge(Device::cuda(0));
  } catch (const ebm::DivergenceError& error) {
    alone = error.what();
  }
  ASSERT_NE(alone, "");
  for (const std::string& what : on_ranks(kRanks, [&](const Communicator& ranks) { diverge(over(ranks)); })) {
    EXPECT_EQ(what, alone);
  }
}

}  // namespace
