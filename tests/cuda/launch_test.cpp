// How kernels are launched: what the caller's thread holds is left alone, and launches of one kernel from several
// threads do not limit one another.
#include <gtest/gtest.h>

#include <thread>

#include "ebmcuda/chains.hpp"
#include "ebmcuda/error.hpp"
#include "faulty_device_test.hpp"
#include "host/cuda/devices.hpp"
#include "host/cuda/launch_pace.hpp"
#include "host/engine/engine.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;
using ebm::cuda::LaunchPace;

std::unique_ptr<ebm::Engine> open_engine(ebm::Precision precision) {
  return ebm::cuda::make_engine(0, precision, nullptr);
}

std::unique_ptr<ebm::ChainSet> chains_of(const ebm::EnergyFunction& function, std::uint64_t n) {
  std::vector<std::uint64_t> ids(n);
  for (std::size_t i = 0; i < n; ++i) ids[i] = i;
  auto chains = function.chains(3, ids, std::vector<std::uint64_t>(n, 0));
  chains->start_uniform();
  return chains;
}

std::vector<float> positions_of(const ebm::ChainSet& chains, std::size_t values) {
  std::vector<float> x(values);
  chains.positions(x);
  return x;
}

class LaunchTest : public FaultyDeviceTest<ebm::Precision> {
 protected:
  // The compiled tensor-core kernels hold two hidden layers of silu.
  static ebm::MlpShape shape(int width) { return shape_of(2, {width, width}, ebm::Activation::silu); }
};

// Rejects a limit that follows the launches: another thread's could be lowered between its setting and its launch.
TEST_P(LaunchTest, AKernelIsOpenedOnceToTheDevicesLimit) {
  const auto engine = open_engine(GetParam());
  const auto small = engine->load(random_network(shape(5), 1)), large = engine->load(random_network(shape(96), 2));
  for (const ebm::EnergyFunction* function : {small.get(), large.get(), small.get()}) {
    for (const std::uint64_t n : {1, 40}) chains_of(*function, n)->run({}, 1);
    std::vector<float> energy(1);
    function->evaluate(std::vector<float>{0.5f, 0.25f}, energy);
  }
  ASSERT_FALSE(faulty::state().allowed.empty());
  int limit = 0;
  ASSERT_EQ(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), cudaSuccess);
  for (const auto& [kernel, bytes] : faulty::state().allowed) {
    EXPECT_EQ(bytes, std::vector<int>{limit});
  }
}

TEST_P(LaunchTest, ThreadsThatNeedDifferentAmountsOfSharedMemory) {
  const auto engine = open_engine(GetParam());
  constexpr int kWidths[] = {90, 5, 96};  // above and below what needs no permission
  constexpr std::size_t kThreads = 3, kChains = 20;
  std::vector<std::vector<float>> expected(kThreads), found(kThreads);
  std::vector<std::string> errors(kThreads);
  const auto work = [&](std::size_t t, std::vector<float>* x) {
    const auto function = engine->load(random_network(shape(kWidths[t]), t));
    for (std::uint64_t n = 1; n <= kChains; n += 6) {
      const auto chains = chains_of(*function, n);
      for (int i = 0; i < 3; ++i) chains->run({}, 1);
      const std::vector<float> end = positions_of(*chains, 2 * n);
      x->insert(x->end(), end.begin(), end.end());
    }
  };
  for (std::size_t t = 0; t < kThreads; ++t) work(t, &expected[t]);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      try {
        work(t, &found[t]);
      } catch (const std::exception& error) {
        errors[t] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(errors, std::vector<std::string>(kThreads));
  EXPECT_EQ(found, expected);
}

// An error that the caller has not asked for yet is the caller's.
TEST_P(LaunchTest, TheCallersErrorIsNeitherTakenNorCleared) {
  const auto engine = open_engine(GetParam());
  ASSERT_NE(cudaMemset(nullptr, 0, 1), cudaSuccess);
  const cudaError_t own = cudaPeekAtLastError();
  ASSERT_NE(own, cudaSuccess);
  const auto function = engine->load(random_network(shape(5), 1));
  const auto chains = chains_of(*function, 3);
  EXPECT_NO_THROW(chains->run({}, 2));
  std::vector<float> energy(3), gradient(6);
  EXPECT_NO_THROW(function->evaluate(positions_of(*chains, 6), energy, gradient));
  EXPECT_EQ(chains->stats().steps, 6u);
  EXPECT_EQ(cudaGetLastError(), own);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

// cudaSetDevice() makes a context, so it is not called for what holds already.
TEST_P(LaunchTest, TheCurrentDeviceIsNotSetAgain) {
  const auto engine = open_engine(GetParam());
  const auto function = engine->load(random_network(shape(5), 1));
  chains_of(*function, 3)->run({}, 2);
  EXPECT_EQ(faulty::state().device_changes, 0);
}

// A run is split by what a launch was seen to take, and the bits do not tell.
TEST_P(LaunchTest, SlowRunsAreSplit) {
  const auto engine = open_engine(GetParam());
  const auto function = engine->load(random_network(shape(5), 1));
  const auto whole = chains_of(*function, 3), split = chains_of(*function, 3);
  whole->run({}, 1);
  whole->run({}, 9);
  faulty::state().elapsed = 1e4f;
  split->run({}, 1);
  split->stats();  // waits, so that the launch has been measured
  const long before = faulty::state().launches;
  split->run({}, 9);
  EXPECT_EQ(faulty::state().launches - before, 9);
  EXPECT_EQ(positions_of(*split, 6), positions_of(*whole, 6));
  EXPECT_EQ(split->steps(), whole->steps());
  EXPECT_EQ(split->stats(), whole->stats());
}

// A grid beyond what the device holds runs its last blocks alone, after all the others.
TEST(GridTest, TheDeviceHoldsAllBlocks) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  const auto engine = open_engine(ebm::Precision::fp32);
  const auto function = engine->load(random_network(shape_of(1, {1}), 1));
  int multiprocessors = 0, resident = 0;
  ASSERT_EQ(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  const auto n = static_cast<std::size_t>(32 * 8 * multiprocessors);  // more than fit, whatever the kernel needs
  std::vector<float> energy(n);
  faulty::reset();
  function->evaluate(std::vector<float>(n, 0.5f), energy);
  const faulty::Launch launch = faulty::state().last_launch;
  ASSERT_EQ(
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, launch.kernel, launch.threads, launch.shared_bytes),
      cudaSuccess);
  EXPECT_EQ(launch.blocks, std::min<int>(multiprocessors * resident, static_cast<int>(n) * 8 / launch.threads));
}

// What is freed stays mapped for the next call.
TEST_P(LaunchTest, FreedMemoryIsKept) {
  const ebm::cuda::Context context(0, nullptr);
  std::uint64_t kept = 0;
  ASSERT_EQ(cudaMemPoolGetAttribute(context.pool(), cudaMemPoolAttrReleaseThreshold, &kept), cudaSuccess);
  EXPECT_GE(kept, std::uint64_t{1} << 26);
  EXPECT_LE(kept, context.properties().totalGlobalMem / 8);
  cudaMemPool_t callers = nullptr;
  ASSERT_EQ(cudaDeviceGetDefaultMemPool(&callers, 0), cudaSuccess);
  EXPECT_NE(callers, context.pool());
}

INSTANTIATE_TEST_SUITE_P(Precisions, LaunchTest, testing::Values(ebm::Precision::fp32, ebm::Precision::fp16),
                         [](const auto& p) { return std::string(p.param == ebm::Precision::fp32 ? "fp32" : "fp16"); });

TEST(LaunchPaceTest, HalfOfTheTimeByWhatIsKnown) {
  LaunchPace pace(10, 0.001);
  EXPECT_EQ(pace.next(1000, 1), 125);
  EXPECT_EQ(pace.next(1000, 5), 25);
  EXPECT_EQ(pace.next(100, 1), 100);
  EXPECT_EQ(pace.next(0, 1), 0);
  EXPECT_EQ(pace.next(1000, 1000), 1);  // a transition is never split
  pace.took(50, 5.0);
  EXPECT_EQ(pace.next(1000, 1), 1);
  pace.took(1000, 0.25);
  EXPECT_EQ(pace.next(100000, 1), 500);
  pace.took(1000, 0.0);  // beyond what events tell apart
  EXPECT_EQ(pace.next(1 << 20, 1), 1 << 20);
}

// The counters of a launch hold 32 bits; rejects a limit per chain, which overflows where a thread serves several.
TEST(LaunchPaceTest, ALaunchCountsLessThanItsCountersHold) {
  constexpr std::int64_t kAny = std::int64_t{1} << 60;
  for (const std::int64_t chains : {std::int64_t{1}, std::int64_t{3}, std::int64_t{1} << 20, std::int64_t{1} << 31}) {
    const LaunchPace pace(chains, 1e-30);
    const std::int64_t n = pace.next(kAny, 1);
    EXPECT_LT(n * chains, std::int64_t{1} << 32) << chains;
    EXPECT_GE((n + 1) * chains, std::int64_t{1} << 32) << chains;
  }
  EXPECT_EQ(LaunchPace(std::int64_t{1} << 33, 1e-30).next(kAny, 1), 1);
}

}  // namespace
