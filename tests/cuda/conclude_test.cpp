// The sums that end a training iteration, beside their contract: losses in the order of summation, bit for bit, and the
// norm of the gradient in double.
#include <gtest/gtest.h>

#include <cmath>

#include "host/cuda/devices.hpp"
#include "host/cuda/memory.hpp"
#include "kernels/math/ordered_sum.hpp"
#include "kernels/training/iteration_kernels.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;
using ebm::cuda::DeviceArray;

class ConcludeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
    context_ = std::make_shared<ebm::cuda::Context>(0, nullptr);
  }

  ebm::IterationReport conclude(std::span<const float> energy, std::span<const float> cross_entropy,
                                std::span<const float> gradient) const {
    const ebm::cuda::Context::Scope scope(*context_);
    const ebm::DeviceClock clock{};
    DeviceArray<ebm::DeviceClock> device(context_, std::span(&clock, 1));
    const DeviceArray<float> energies(context_, energy), entropies(context_, cross_entropy), g(context_, gradient);
    DeviceArray<double> squares(context_, ebm::norm_blocks(gradient.size()));
    DeviceArray<ebm::IterationRecord> ring(context_, 1);
    ebm::ConcludeView view{};
    view.device = device.data();
    view.batch = static_cast<std::int64_t>(cross_entropy.size());
    view.energy = energies.data();
    view.cross_entropy = entropies.data();
    view.gradient = g.data();
    view.parameters = gradient.size();
    view.squares = squares.data();
    view.ring = ring.data();
    view.ring_size = 1;
    context_->check(ebm::launch_conclude(view, context_->stream()), "concluding");
    return ring.to_host().front().report;
  }

  std::shared_ptr<const ebm::cuda::Context> context_;
};

std::vector<float> values(std::size_t n, std::uint64_t seed) {
  const ebm::Matrix points = random_points(n, 1, seed);
  return {points.values().begin(), points.values().end()};
}

double mean(std::span<const float> x) {
  const auto n = static_cast<std::int64_t>(x.size());
  return ebm::ordered_sum<double>(n, [&](std::int64_t i) { return x[static_cast<std::size_t>(i)]; }) /
         static_cast<double>(n);
}

// Around the sizes of a chunk and of what the block holds at a time; beyond one and two of those.
TEST_F(ConcludeTest, LossesAreSummedInTheOrderOfTheContract) {
  const std::vector<float> gradient = values(3, 1);
  for (const std::size_t rows : {1, 2, 127, 128, 129, 640, 4095, 4096, 4097, 9000}) {
    const std::vector<float> energy = values(2 * rows, 2), entropy = values(rows, 3);
    const ebm::IterationReport report = conclude(energy, entropy, gradient);
    const std::span<const float> all(energy);
    EXPECT_EQ(report.energy_data, mean(all.first(rows))) << rows;
    EXPECT_EQ(report.energy_samples, mean(all.subspan(rows))) << rows;
    EXPECT_EQ(report.cross_entropy, mean(entropy)) << rows;
  }
}

TEST_F(ConcludeTest, TheNormIsOfEveryParameterOnce) {
  const std::vector<float> energy = values(4, 2), entropy = values(2, 3);
  for (const std::size_t n : {1, 255, 4096, 4097, 70001}) {
    const std::vector<float> gradient = values(n, 4);
    double square = 0;
    for (const float g : gradient) square += static_cast<double>(g) * static_cast<double>(g);
    const double norm = conclude(energy, entropy, gradient).gradient_norm;
    EXPECT_NEAR(norm, std::sqrt(square), 1e-13 * std::sqrt(square)) << n;
    EXPECT_EQ(conclude(energy, entropy, gradient).gradient_norm, norm) << n;
  }
}

}  // namespace
