// How the engine queues its work: training statistics through the ring, and the caller's stream.
#include <gtest/gtest.h>

#include <algorithm>

#include "ebmcuda/error.hpp"
#include "faulty_runtime.hpp"
#include "host/cuda/devices.hpp"
#include "host/training/iteration.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

const ebm::MlpShape kShape = shape_of(2, {5, 3}, ebm::Activation::silu, ebm::Head::scalar, 0.2f);

class SessionTest : public testing::TestWithParam<ebm::Precision> {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  }

  struct Run {
    std::vector<std::vector<double>> stats;
    std::vector<float> parameters, buffer;
    bool operator==(const Run&) const = default;
  };

  static ebm::TrainingSession open(const ebm::Engine& engine, const ebm::Mlp& model) {
    ebm::TrainingPlan plan;
    plan.shape = kShape;
    plan.iterations = 200;
    plan.batch_size = 2;
    plan.n_steps = 1;
    plan.transition.step_size = 0.02f;
    plan.transition.own[0] = 0.2f;
    plan.buffer_capacity = 5;
    ebm::TrainingState start;
    start.parameters.assign(model.parameters().begin(), model.parameters().end());
    start.adam_m.assign(start.parameters.size(), 0);
    start.adam_v = start.adam_m;
    start.step_size = plan.transition.step_size;
    start.buffer_x.assign(10, 0.5f);
    start.buffer_steps.assign(5, 0);
    const ebm::Matrix data = random_points(5, 2, 3);
    return {engine, plan, start, data.values(), {}};
  }

  // `pieces` of a training on `engine`, one session throughout.
  static Run train(const ebm::Engine& engine, const std::vector<std::int64_t>& pieces) {
    ebm::TrainingSession session = open(engine, random_network(kShape, 1));
    Run run;
    for (const std::int64_t n : pieces) {
      for (const ebm::IterationStats& s : session.run(n)) {
        run.stats.push_back({static_cast<double>(s.iteration), s.energy_data, s.energy_samples, s.gradient_norm,
                             s.step_size, static_cast<double>(s.chains.steps)});
      }
    }
    const ebm::TrainingState end = session.state();
    run.parameters = end.parameters;
    run.buffer = end.buffer_x;
    return run;
  }
};

// The ring holds 64 records and two stretches may be under way: 150 iterations wrap it twice. Rejects records that are
// overwritten before they are read, read twice, or read from the place of another call's.
TEST_P(SessionTest, EveryIterationIsReportedOnceHoweverTheRunIsSplit) {
  const auto engine = ebm::cuda::make_engine(0, GetParam(), nullptr);
  const Run whole = train(*engine, {150});
  ASSERT_EQ(whole.stats.size(), 150u);
  for (std::size_t i = 0; i < 150; ++i) {
    EXPECT_EQ(whole.stats[i][0], static_cast<double>(i));
    if (i > 0) {
      EXPECT_NE(whole.stats[i][3], whole.stats[i - 1][3]) << i;
    }
  }
  EXPECT_EQ(train(*engine, {1, 62, 2, 0, 85}), whole);
  EXPECT_EQ(train(*engine, {64, 64, 22}), whole);
  EXPECT_EQ(train(*engine, std::vector<std::int64_t>(150, 1)), whole);
}

// A run that starts where another precision left off. Rejects infinite half-precision weights that every chain would
// restart on.
TEST_P(SessionTest, StartWeightsBeyondHalfAreRefusedUnlessChainsRunInSinglePrecision) {
  ebm::Mlp model = random_network(kShape, 1);
  model.weight(1)[0] = 7e4f;
  const auto engine = ebm::cuda::make_engine(0, GetParam(), nullptr);
  if (GetParam() == ebm::Precision::fp32) {
    EXPECT_NO_THROW(open(*engine, model));
  } else {
    EXPECT_THROW(open(*engine, model), ebm::ConfigError);
  }
}

// On the caller's stream the bits are the same, and every copy, captured iteration and wait goes there. Rejects one on
// the default stream, which would not wait for what the caller queued before.
TEST_P(SessionTest, WorkGoesToTheCallersStream) {
  const Run expected = train(*ebm::cuda::make_engine(0, GetParam(), nullptr), {3});
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  faulty::reset();
  EXPECT_EQ(train(*ebm::cuda::make_engine(0, GetParam(), stream), {3}), expected);
  EXPECT_EQ(faulty::state().streams, std::set<cudaStream_t>{stream});
  // The engine does not own it.
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

INSTANTIATE_TEST_SUITE_P(Precisions, SessionTest,
                         testing::Values(ebm::Precision::fp32, ebm::Precision::fp16x3, ebm::Precision::fp16),
                         [](const auto& p) {
                           return std::string(p.param == ebm::Precision::fp32     ? "fp32"
                                              : p.param == ebm::Precision::fp16x3 ? "fp16x3"
                                                                                  : "fp16");
                         });

}  // namespace
