// Every CUDA call of sampling, evaluating and training fails in turn, each in several ways. Asserted: an exception of
// the right type; nothing left allocated; after an ordinary failure the same engine gives the result of a run without
// one; after a sticky one it refuses at once, with the first error and without another call.
#include <gtest/gtest.h>

#include "ebmcuda/device.hpp"
#include "ebmcuda/error.hpp"
#include "fault_sweep.hpp"
#include "host/cuda/devices.hpp"
#include "host/training/iteration.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;
using Operation = std::vector<float> (*)(const ebm::Engine&);

const ebm::MlpShape kShape = shape_of(2, {5});

ebm::Transition mala() {
  ebm::Transition transition;
  transition.kind = ebm::SamplerKind::mala;
  transition.clamp_lo = {-4.0f, -4.0f};
  transition.clamp_hi = {4.0f, 4.0f};
  return transition;
}

std::vector<float> run_chains(const ebm::Engine& engine) {
  const auto function = engine.load(random_network(kShape, 1));
  const auto chains = function->chains(2, {1, 2, 3}, {0, 0, 0}, ebm::GaussianBase{{0, 0}, {1, 0.5f, 0, 1}});
  chains->start_uniform();
  chains->run(mala(), 3, 0.5f);
  std::vector<float> result(6 + 3 + 3);
  const std::span<float> all(result);
  chains->positions(all.first(6));
  chains->energies(all.subspan(6, 3), all.subspan(9, 3));
  std::vector<std::uint8_t> flags(3);
  chains->restarted(flags);
  for (const std::uint8_t flag : flags) result.push_back(flag);
  for (const std::uint64_t step : chains->steps()) result.push_back(static_cast<float>(step));
  return result;
}

std::vector<float> evaluate(const ebm::Engine& engine) {
  const auto function = engine.load(random_network(kShape, 1));
  const ebm::Matrix x = random_points(3, 2, 2);
  std::vector<float> result(3 + 6 + 3 + kShape.parameter_count());
  const std::span<float> all(result);
  function->evaluate(x.values(), all.first(3), all.subspan(3, 6));
  function->outputs(x.values(), all.subspan(9, 3));
  function->parameter_gradient(x.values(), std::vector<float>{1, 2, 3}, all.subspan(12));
  return result;
}

std::vector<float> train(const ebm::Engine& engine) {
  const ebm::Mlp model = random_network(kShape, 1);
  ebm::TrainingPlan plan;
  plan.shape = kShape;
  plan.iterations = 5;
  plan.batch_size = 2;
  plan.transition = mala();
  plan.n_steps = 1;
  plan.target_acceptance = 0.7f;
  plan.buffer_capacity = 3;
  ebm::TrainingState start;
  start.parameters.assign(model.parameters().begin(), model.parameters().end());
  start.adam_m.assign(start.parameters.size(), 0);
  start.adam_v = start.adam_m;
  start.ema = start.parameters;
  plan.ema = 0.9f;
  start.step_size = 0.01f;
  start.buffer_x.assign(6, 0.5f);
  start.buffer_steps.assign(3, 0);
  const ebm::Matrix data = random_points(5, 2, 3);
  ebm::TrainingSession session(engine, plan, start, data.values(), {});
  std::vector<float> result;
  for (const ebm::IterationStats& s : session.run(3)) result.push_back(static_cast<float>(s.gradient_norm));
  const ebm::TrainingState end = session.state();
  for (const auto* values : {&end.parameters, &end.adam_m, &end.adam_v, &end.ema, &end.buffer_x}) {
    result.insert(result.end(), values->begin(), values->end());
  }
  return result;
}

std::unique_ptr<ebm::Engine> open_engine() { return ebm::cuda::make_engine(0, ebm::Precision::fp32, nullptr); }

class FaultTest : public testing::TestWithParam<std::pair<const char*, Operation>> {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  }
  static std::vector<float> run(const ebm::Engine& engine) { return GetParam().second(engine); }
  // The opening of the engine among them, its closing not.
  static long calls_of_a_run() {
    faulty::reset();
    const auto engine = open_engine();
    run(*engine);
    return faulty::state().calls;
  }
};

TEST_P(FaultTest, OrdinaryFailuresLeaveNothingBehind) {
  const std::vector<float> expected = run(*open_engine());
  const long live = faulty::state().live;
  const long calls = calls_of_a_run();
  ASSERT_GT(calls, 10);
  for (const cudaError_t code : {cudaErrorMemoryAllocation, cudaErrorInvalidValue}) {
    for (long k = 1; k <= calls; ++k) {
      std::unique_ptr<ebm::Engine> engine;
      faulty::reset(k, code);
      try {
        engine = open_engine();
        EXPECT_EQ(run(*engine), expected);
        expect_harmless(k);
      } catch (const ebm::OutOfMemory&) {
        EXPECT_EQ(code, cudaErrorMemoryAllocation) << k;
      } catch (const ebm::DeviceError& error) {
        EXPECT_EQ(error.code(), code) << k;
        EXPECT_FALSE(error.sticky());
      }
      faulty::reset();
      if (engine != nullptr && k % 4 == 0) {
        EXPECT_EQ(run(*engine), expected) << "after call " << k << " failed";
      }
      engine.reset();
      ASSERT_EQ(faulty::state().live, live) << "after call " << k << " failed";
    }
  }
}

TEST_P(FaultTest, AfterAStickyErrorNothingIsTried) {
  const long calls = calls_of_a_run();
  for (long k = 1; k <= calls; ++k) {
    std::unique_ptr<ebm::Engine> engine;
    faulty::reset(k, cudaErrorIllegalAddress, true);
    std::string first;
    try {
      engine = open_engine();
      run(*engine);
      expect_harmless(k);
      continue;
    } catch (const ebm::DeviceError& error) {
      EXPECT_TRUE(error.sticky()) << k;
      first = error.what();
    }
    if (std::string(faulty::state().failed) == "cudaGetDevice") continue;  // in a destructor, the next call is heard
    EXPECT_EQ(faulty::state().calls_after, 0) << "after call " << k;
    if (engine == nullptr) continue;
    try {
      run(*engine);
      ADD_FAILURE() << "a lost device was used, call " << k;
    } catch (const ebm::DeviceError& error) {
      EXPECT_EQ(error.what(), first) << k;
    }
    EXPECT_EQ(faulty::state().calls_after, 0) << "after call " << k;
  }
  faulty::reset();
}

TEST(MemoryTest, OutOfMemoryNamesTheBytes) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  const auto function = open_engine()->load(random_network(kShape, 1));
  std::vector<float> gradient(kShape.parameter_count());
  faulty::reset();
  const ebm::Matrix x = random_points(1000, 2, 2);
  std::vector<float> energy(1000);
  bool allocates = false;
  for (long k = 1; !allocates; ++k) {
    faulty::reset(k, cudaErrorMemoryAllocation);
    try {
      function->evaluate(x.values(), energy);
      FAIL() << "no exception";
    } catch (const ebm::OutOfMemory& error) {
      allocates = std::string(faulty::state().failed) == "cudaMallocFromPoolAsync";
      EXPECT_EQ(error.bytes(), allocates ? 8000u : 0u) << error.what();
    }
  }
  faulty::reset();
}

// A device that this build has no code for is passed over, not found out by the first launch.
TEST(AutomaticDeviceTest, PassesOverDevicesThatCannotRunTheKernels) {
  if (ebm::cuda::device_count() != 1) GTEST_SKIP() << "needs exactly one CUDA device";
  faulty::reset();
  EXPECT_EQ(ebm::Device::automatic().kind(), ebm::Device::Kind::cuda);
  const long calls = faulty::state().calls;
  ASSERT_GT(calls, 0);
  for (long k = 1; k <= calls; ++k) {
    faulty::reset(k, cudaErrorNoKernelImageForDevice);
    EXPECT_EQ(ebm::Device::automatic().kind(), ebm::Device::Kind::cpu) << "call " << k;
    faulty::reset();
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the failure was left behind, call " << k;
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, FaultTest,
                         testing::Values(std::pair{"chains", Operation{run_chains}},
                                         std::pair{"evaluate", Operation{evaluate}},
                                         std::pair{"train", Operation{train}}),
                         [](const auto& operation) { return std::string(operation.param.first); });

}  // namespace
