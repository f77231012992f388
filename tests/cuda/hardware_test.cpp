// What a simulated device cannot show, because it adds in another order, has exact functions and runs one block after
// another: bits across batch sizes, between runs and between threads, and the hardware's approximations. The suite runs
// them at toy size; EBMCUDA_TEST_FULL_SIZE=1 asks for the sizes that a GPU is worth (scripts/gpu.sh sets it).
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <string_view>
#include <thread>

#include "ebmcuda/chains.hpp"
#include "ebmcuda/densities.hpp"
#include "ebmcuda/trainer.hpp"
#include "hardware_functions.hpp"
#include "host/cuda/devices.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;
using ebm::Precision;

bool full_size() {
  const char* const value = std::getenv("EBMCUDA_TEST_FULL_SIZE");
  return value != nullptr && std::string_view(value) == "1";
}
template <class Size>
Size sized(Size full, Size toy) {
  return full_size() ? full : toy;
}

class HardwareTest : public testing::TestWithParam<Precision> {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
    setenv("EBMCUDA_RUNTIME_COMPILER", "off", 0);
  }
  static ebm::Device device() { return ebm::Device::cuda(0, GetParam()); }
  // What the compiled tensor-core kernels hold.
  static ebm::Mlp model(int dim) { return random_network(shape_of(dim, {128, 128}), 1); }

  static ebm::Matrix positions(const ebm::Energy& energy, ebm::SamplerKind kind, std::int64_t n, std::uint64_t first,
                               std::int64_t steps) {
    ebm::Chains chains(energy, ebm::default_sampler(kind), {.n_chains = n, .seed = 3, .first_chain = first});
    chains.run(steps);
    return chains.positions();
  }
};

// A million chains run in tiles of 32, on every multiprocessor, several to a block; 64 in tiles of 2. Rejects any sum
// or draw that depends on a chain's place, its neighbours or the launch.
TEST_P(HardwareTest, AMillionChainsAndSixtyFourHaveTheSameBits) {
  const auto many = sized<std::int64_t>(1'000'000, 150);
  constexpr std::int64_t kFew = 64;
  for (const int dim : {2, 64}) {
    const ebm::Energy energy(model(dim), device());
    for (const ebm::SamplerKind kind : {ebm::SamplerKind::langevin, ebm::SamplerKind::mala}) {
      const std::int64_t steps = sized(5, 1);
      const ebm::Matrix all = positions(energy, kind, many, 0, steps);
      for (const std::int64_t first : {std::int64_t{0}, many / 2 + 7, many - kFew}) {
        const ebm::Matrix few = positions(energy, kind, kFew, static_cast<std::uint64_t>(first), steps);
        const auto part =
            all.values().subspan(static_cast<std::size_t>(first * dim), static_cast<std::size_t>(kFew * dim));
        EXPECT_TRUE(std::ranges::equal(few.values(), part)) << energy.description() << ", chains from " << first;
      }
      if (!full_size()) break;
    }
  }
}

// Rejects a race that only some runs show, and sums in the order of arrival.
TEST_P(HardwareTest, EveryRunHasTheSameBits) {
  const int runs = sized(250, 2);
  const auto n = sized<std::int64_t>(256, 20);
  const ebm::Energy energy(model(2), device());
  const ebm::Matrix points = random_points(static_cast<std::size_t>(sized(1000, 150)), 2, 4);
  const std::vector<float> weights(points.rows(), 1.0f / static_cast<float>(points.rows()));
  ebm::TrainerOptions training = ebm::TrainerOptions::defaults(2);
  training.iterations = sized(10, 1);
  training.batch_size = sized(256, 16);
  training.objective.n_steps = sized(5, 1);
  training.objective.buffer.capacity = sized(10'000, 64);
  const ebm::Matrix data = ebm::draw(ebm::Density2d::two_moons, static_cast<std::size_t>(sized(8192, 64)), 0);

  const auto once = [&] {
    const ebm::Matrix x = positions(energy, ebm::SamplerKind::mala, n, 0, sized(20, 1));
    std::vector<float> bits(x.values().begin(), x.values().end());
    const auto keep = [&](std::span<const float> values) { bits.insert(bits.end(), values.begin(), values.end()); };
    keep(energy.values(points));
    const ebm::Matrix gradient = energy.gradient(points);
    keep(gradient.values());
    keep(energy.parameter_gradient(points, weights));
    ebm::Trainer trainer(energy.model(), data, training, device());
    trainer.fit();
    const ebm::Mlp trained = trainer.model();
    keep(trained.parameters());
    return bits;
  };
  const std::vector<float> first = once();
  for (const float v : first) ASSERT_TRUE(std::isfinite(v));
  for (int run = 1; run < runs; ++run) ASSERT_EQ(once(), first) << "run " << run << " of " << runs;
}

// On one network and on networks of their own, sets of different sizes. Rejects working memory, limits of launches and
// streams that calls share without a lock.
TEST_P(HardwareTest, TwoHostThreadsDoNotDisturbEachOther) {
  const int rounds = sized(100, 2);
  const ebm::Energy shared(model(2), device());
  const ebm::Matrix points = random_points(40, 2, 5);
  const auto work = [&](int thread, int round) {
    const ebm::Energy own(random_network(shape_of(2, {thread == 0 ? 128 : 16, 32}), 2), device());
    const std::int64_t n = sized<std::int64_t>(thread == 0 ? 300 : 5000, thread == 0 ? 5 : 40) + round % 2;
    std::vector<float> bits;
    for (const ebm::Energy& energy : {shared, own}) {
      const ebm::Matrix x = positions(energy, ebm::SamplerKind::mala, n, 0, 2);
      bits.insert(bits.end(), x.values().begin(), x.values().end());
      const ebm::Matrix gradient = energy.gradient(points);
      bits.insert(bits.end(), gradient.values().begin(), gradient.values().end());
    }
    return bits;
  };
  std::vector<float> expected[2][2], found[2];
  for (int thread = 0; thread < 2; ++thread) {
    for (int odd = 0; odd < 2; ++odd) expected[thread][odd] = work(thread, odd);
  }
  for (int round = 0; round < rounds; ++round) {
    std::thread other([&] { found[1] = work(1, round); });
    found[0] = work(0, round);
    other.join();
    for (int thread = 0; thread < 2; ++thread) {
      ASSERT_EQ(found[thread], expected[thread][round % 2]) << "thread " << thread << ", round " << round;
    }
  }
}

// Chunks of the layered path are multiplied whole; that an element of a product hangs on its row alone and not on the
// row's place is for the device to show.
TEST(HardwareLayered, ManyChainsAndFewHaveTheSameBits) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  if (ebm::cuda::products_detail() == "matrix products none") GTEST_SKIP() << "no libcublasLt";
  const ebm::Energy energy(random_network(shape_of(784, {512, 512}), 1), ebm::Device::cuda(0));
  ASSERT_TRUE(energy.path().starts_with("layered")) << energy.path();
  const auto many = sized<std::int64_t>(20'000, 5), few = sized<std::int64_t>(64, 2);
  const auto run = [&](ebm::SamplerKind kind, std::int64_t n, std::int64_t first) {
    ebm::Chains chains(energy, ebm::default_sampler(kind),
                       {.n_chains = n, .seed = 3, .first_chain = static_cast<std::uint64_t>(first)});
    chains.run(sized(20, 1));
    return chains.positions();
  };
  for (const ebm::SamplerKind kind : {ebm::SamplerKind::langevin, ebm::SamplerKind::mala}) {
    const ebm::Matrix all = run(kind, many, 0);
    for (const std::int64_t first : {std::int64_t{0}, many / 2, many - few}) {
      const ebm::Matrix part = run(kind, few, first);
      EXPECT_TRUE(std::ranges::equal(part.values(), all.values().subspan(static_cast<std::size_t>(first * 784),
                                                                         static_cast<std::size_t>(few * 784))))
          << ebm::to_string(kind) << ", chains from " << first;
    }
    for (int again = 0; again < sized(50, 1); ++again) ASSERT_EQ(run(kind, many, 0), all) << "run " << again;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Precisions, HardwareTest, testing::Values(Precision::fp32, Precision::fp16x3, Precision::fp16), [](const auto& p) {
      return std::string(p.param == Precision::fp32 ? "fp32" : p.param == Precision::fp16x3 ? "fp16x3" : "fp16");
    });

// All 2^32 floats and words; at toy size every 1,048,573rd, a prime. Rejects a bound in a source that the device's own
// approximations do not keep.
TEST(HardwareFunctions, KeepTheirStatedBounds) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  for (const hardware::FunctionError& f : hardware::function_errors(sized<std::uint64_t>(1, 1'048'573))) {
    std::printf("%-20s error %.3f of its bound\n", f.name.c_str(), f.of_bound);
    testing::Test::RecordProperty(f.name, std::to_string(f.of_bound));
    EXPECT_LE(f.of_bound, 1.0) << f.name;
  }
}

}  // namespace
