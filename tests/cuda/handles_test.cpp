// ebm::Energy and ebm::Chains on device memory: on the caller's stream, between the caller's own work, without a copy
// and without the host's waiting. On a device whose streams run in any order that the dependencies allow (a simulated
// one does), a missing dependency gives wrong numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "ebmcuda/chains.hpp"
#include "ebmcuda/error.hpp"
#include "faulty_runtime.hpp"
#include "host/cuda/devices.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

constexpr std::size_t kRows = 40, kDim = 3;

// n floats on the device, and page-locked ones for copies that do not wait.
struct Memory {
  explicit Memory(std::size_t count) : n(count) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&device), n * sizeof(float)), cudaSuccess);
    EXPECT_EQ(cudaMallocHost(reinterpret_cast<void**>(&host), n * sizeof(float)), cudaSuccess);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    cudaFree(device);
    cudaFreeHost(host);
  }
  void put(std::span<const float> values) { std::ranges::copy(values, host); }
  std::vector<float> values() const { return {host, host + n}; }

  std::size_t n;
  float* device = nullptr;
  float* host = nullptr;
};

void copy(float* to, const float* from, std::size_t n, cudaStream_t stream) {
  EXPECT_EQ(cudaMemcpyAsync(to, from, n * sizeof(float), cudaMemcpyDefault, stream), cudaSuccess);
}

class HandlesTest : public testing::TestWithParam<ebm::Precision> {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
    setenv("EBMCUDA_RUNTIME_COMPILER", "off", 0);
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }
  ebm::Device device() const { return ebm::Device::cuda(0, GetParam()); }
  static void expect_only_queued(const char* what) {
    EXPECT_EQ(faulty::state().copies, 0) << what;
    EXPECT_EQ(faulty::state().waits, 0) << what;
  }

  cudaStream_t stream_ = nullptr;
  ebm::Mlp model_ = random_network(shape_of(3, {17, 9}, ebm::Activation::silu, ebm::Head::scalar, 0.5f), 1);
  ebm::Matrix x_ = random_points(kRows, kDim, 2);
};

TEST_P(HandlesTest, EnergiesBetweenTheCallersWork) {
  const ebm::Energy energy(model_, device());
  std::vector<float> expected(kRows), expected_gradient(kRows * kDim);
  energy.gradient(x_, expected_gradient, expected);
  Memory x(kRows * kDim), e(kRows), g(kRows * kDim), e2(kRows), f(kRows);
  x.put(x_.values());
  copy(x.device, x.host, x.n, stream_);
  faulty::reset();
  const ebm::DeviceMatrixView points{x.device, kRows, kDim};
  energy.gradient(points, g.device, e.device, stream_);
  energy.values(points, e2.device, stream_);
  energy.outputs(points, f.device, stream_);
  energy.gradient(points, g.device, nullptr, stream_);
  expect_only_queued("energies");
  for (Memory* memory : {&e, &g, &e2, &f}) copy(memory->host, memory->device, memory->n, stream_);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(e.values(), expected);
  EXPECT_EQ(e2.values(), expected);
  EXPECT_EQ(g.values(), expected_gradient);
  const ebm::Matrix outputs = energy.outputs(x_);
  EXPECT_TRUE(std::ranges::equal(f.values(), outputs.values()));
}

// Device memory is in model space, where E is the same and gradients are by another unit.
TEST_P(HandlesTest, DeviceMemoryIsInModelSpace) {
  ebm::Mlp scaled = model_;
  scaled.set_standardization(ebm::Standardization{{1.0f, -4.0f, 0.25f}, {0.5f, 2.0f, 0.125f}});
  const ebm::Energy energy(scaled, device());
  Memory x(kRows * kDim), g(kRows * kDim);
  x.put(x_.values());
  copy(x.device, x.host, x.n, stream_);
  energy.gradient({x.device, kRows, kDim}, g.device, nullptr, stream_);
  copy(g.host, g.device, g.n, stream_);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  const ebm::Matrix expected = ebm::Energy(model_, device()).gradient(x_);
  EXPECT_TRUE(std::ranges::equal(g.values(), expected.values()));
}

TEST_P(HandlesTest, ChainsBetweenTheCallersWork) {
  const ebm::Energy energy(model_, device());
  for (const ebm::Sampler& sampler :
       {ebm::Sampler(ebm::LangevinDynamics{}), ebm::Sampler(ebm::Mala{.step_size = 0.05f})}) {
    ebm::ChainsOptions options;
    options.n_chains = kRows;
    options.seed = 3;
    ebm::Chains expected(energy, sampler, options), chains(energy, sampler, options);
    expected.run(2);
    expected.set_positions(x_);
    expected.run(5);
    expected.run(3);
    const ebm::Matrix end = expected.positions();

    Memory x(kRows * kDim), seen(kRows * kDim);
    x.put(x_.values());
    chains.run(2);
    faulty::reset();
    float* const positions = chains.write_positions(stream_);
    EXPECT_EQ(faulty::state().waits, 0);
    copy(positions, x.host, x.n, stream_);
    faulty::reset();
    chains.run(5, stream_);
    chains.run(3, stream_);
    const ebm::DeviceMatrixView now = chains.device_positions(stream_);
    expect_only_queued("chains");
    EXPECT_EQ(now.data, positions);
    EXPECT_EQ(now.rows, kRows);
    EXPECT_EQ(now.cols, kDim);
    copy(seen.host, now.data, seen.n, stream_);
    // The chains go on; what the stream reads must be from before that, so this has to come after it.
    chains.run(1, stream_);
    ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    EXPECT_TRUE(std::ranges::equal(seen.values(), end.values())) << ebm::describe(sampler);
    expected.run(1);
    EXPECT_EQ(chains.positions(), expected.positions());
    EXPECT_EQ(chains.stats(), expected.stats());
  }
}

// A caller may capture runs, and replays then go on from step to step. Rejects questions to the device in between.
TEST_P(HandlesTest, RunsInACapturedGraph) {
  const ebm::Energy energy(model_, device());
  const ebm::ChainsOptions options{.n_chains = kRows, .seed = 3};
  ebm::Chains expected(energy, ebm::Mala{.step_size = 0.05f}, options),
      chains(energy, ebm::Mala{.step_size = 0.05f}, options);
  chains.run(1, stream_);  // makes what a capture cannot make
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  chains.run(2, stream_);
  chains.run(1, stream_);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  for (int i = 0; i < 2; ++i) ASSERT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  expected.run(7);
  EXPECT_EQ(chains.positions(), expected.positions());
}

// A host call only queues, too, and the counts are fetched when they are asked for.
TEST_P(HandlesTest, RunsDoNotWait) {
  ebm::Chains chains(ebm::Energy(model_, device()), ebm::Mala{.step_size = 0.05f, .clamp = ebm::Box{{-9}, {9}}},
                     {.n_chains = 8});
  chains.run(1);  // takes the clamp to the device
  faulty::reset();
  for (int i = 0; i < 5; ++i) chains.run(2);
  expect_only_queued("run()");
  EXPECT_EQ(chains.stats().steps, 8u * 11u);
  EXPECT_GT(faulty::state().waits, 0);
}

TEST_P(HandlesTest, OnADeviceWithTheCallersStream) {
  const ebm::Device here = device().on_stream(stream_);
  const std::vector<float> expected = ebm::Energy(model_, device()).values(x_);
  const ebm::Energy energy(model_, here);
  Memory x(kRows * kDim), e(kRows);
  x.put(x_.values());
  copy(x.device, x.host, x.n, stream_);
  faulty::reset();
  energy.values({x.device, kRows, kDim}, e.device, stream_);
  expect_only_queued("values()");
  EXPECT_TRUE(faulty::state().streams.empty() || faulty::state().streams == std::set<cudaStream_t>{stream_});
  copy(e.host, e.device, e.n, stream_);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(e.values(), expected);
}

// Rejects an order of two streams that another thread's breaks into.
TEST_P(HandlesTest, ThreadsWithStreamsOfTheirOwn) {
  const ebm::Energy energy(model_, device());
  std::vector<std::vector<float>> seen(3), expected(3);
  const auto chains_of = [&](std::size_t t) {
    return ebm::Chains(energy, ebm::Mala{.step_size = 0.05f}, {.n_chains = 5, .first_chain = 10 * t});
  };
  for (std::size_t t = 0; t < 3; ++t) {
    ebm::Chains chains = chains_of(t);
    chains.run(6);
    const ebm::Matrix end = chains.positions();
    expected[t].assign(end.values().begin(), end.values().end());
  }
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      cudaStream_t stream = nullptr;
      cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
      {
        Memory end(5 * kDim);
        ebm::Chains chains = chains_of(t);
        for (int i = 0; i < 3; ++i) chains.run(2, stream);
        copy(end.host, chains.device_positions(stream).data, end.n, stream);
        cudaStreamSynchronize(stream);
        seen[t] = end.values();
      }
      cudaStreamDestroy(stream);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(seen, expected);
}

INSTANTIATE_TEST_SUITE_P(Precisions, HandlesTest, testing::Values(ebm::Precision::fp32, ebm::Precision::fp16),
                         [](const auto& p) { return std::string(p.param == ebm::Precision::fp32 ? "fp32" : "fp16"); });

}  // namespace
