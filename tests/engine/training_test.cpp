// Training as a whole: resumed runs, threads, divergence, progress, refused requests.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "ebmcuda/error.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"
#include "support/training_pair.hpp"

namespace {

using namespace support;

class TrainingTest : public EngineTest {
 protected:
  static constexpr std::int64_t kIterations = 9;

  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped() || GetParam().precision == ebm::Precision::fp32) return;
    // The half-precision kernels have no logits head.
    model_ = random_network(shape_of(3, {17, 16}, ebm::Activation::silu, ebm::Head::scalar, 0.3f), 1);
    labels_.clear();
    ASSERT_TRUE(has_kernel_for(model_));
  }
  // Numbers of threads to run with; a device has one way to run.
  std::vector<int> thread_counts(std::vector<int> on_cpu) const { return is_cpu() ? on_cpu : std::vector<int>{1}; }

  // Everything on: adapted step, moves, restarts, average, decay, dequantisation.
  static ebm::TrainerOptions everything(ebm::ChainStart start) {
    ebm::TrainerOptions options = plain_training(kIterations, 33);
    options.objective.chain_start = start;
    options.objective.sampler = ebm::Mala{.step_size = 0.05f, .jump_prob = 0.1f, .grad_clip = {}, .clamp = {}};
    options.objective.difference_prob = 0.2f;
    options.objective.target_acceptance = 0.6f;
    options.objective.buffer.reinit_prob = 0.1f;
    options.objective.energy_reg = 0.01f;
    options.optimizer.decay = ebm::LearningRateDecay::cosine;
    options.optimizer.warmup = 2;
    options.optimizer.weight_decay = 0.1f;
    options.optimizer.grad_norm_clip = 1.0f;
    options.ema = 0.9f;
    options.dequantize = 0.1f;
    options.data_noise = 0.2f;
    options.seed = 11;
    return options;
  }

  // The same with replicas, three of each chain; a round of swaps falls inside and between iterations.
  static ebm::TrainerOptions tempered(ebm::ChainStart start) {
    ebm::TrainerOptions options = everything(start);
    options.objective.tempering = ebm::Tempering{.replicas = 3, .swap_every = 6};
    return options;
  }
  // One of each kind: where chains come from, and whether they have replicas.
  static std::vector<ebm::TrainerOptions> every_kind() {
    std::vector<ebm::TrainerOptions> all;
    for (const auto start : {ebm::ChainStart::persistent, ebm::ChainStart::data, ebm::ChainStart::fresh}) {
      all.push_back(everything(start));
      all.push_back(tempered(start));
    }
    return all;
  }

  ebm::Mlp model_ = random_network(shape_of(3, {17, 16}, ebm::Activation::silu, ebm::Head::logits, 0.3f), 1);
  ebm::Matrix data_ = random_points(50, 3, 2);
  std::vector<int> labels_ = [] {
    std::vector<int> labels;
    for (int i = 0; i < 50; ++i) labels.push_back(i % 5);
    return labels;
  }();

  // What a log line holds, times aside.
  static std::vector<double> line(const ebm::TrainProgress& p) {
    return {static_cast<double>(p.iteration),
            p.energy_data,
            p.energy_samples,
            p.gradient_norm,
            p.cross_entropy,
            p.step_size,
            static_cast<double>(p.stats.steps),
            static_cast<double>(p.stats.restarts),
            static_cast<double>(p.stats.reinitialized),
            static_cast<double>(p.stats[ebm::Move::local].proposed),
            static_cast<double>(p.stats[ebm::Move::local].accepted),
            static_cast<double>(p.stats[ebm::Move::jump].accepted),
            static_cast<double>(p.stats[ebm::Move::difference].accepted),
            static_cast<double>(p.stats.swaps.proposed),
            static_cast<double>(p.stats.swaps.accepted)};
  }

  struct Outcome {
    std::vector<float> parameters, average, buffer;
    std::vector<std::uint64_t> steps;
    double step_size = 0;
    std::vector<std::vector<double>> log;
    bool operator==(const Outcome&) const = default;
  };
  static Outcome outcome(const ebm::Trainer& trainer, std::vector<std::vector<double>> log) {
    Outcome result;
    const ebm::Mlp raw = trainer.raw_model(), average = trainer.model();
    result.parameters.assign(raw.parameters().begin(), raw.parameters().end());
    result.average.assign(average.parameters().begin(), average.parameters().end());
    if (trainer.options().objective.chain_start == ebm::ChainStart::persistent) {
      const ebm::ReplayBuffer buffer = trainer.buffer();
      result.buffer.assign(buffer.positions().values().begin(), buffer.positions().values().end());
      result.steps = buffer.steps();
    }
    result.step_size = trainer.step_size();
    result.log = std::move(log);
    return result;
  }

  Outcome run(const ebm::TrainerOptions& options, const ebm::Device& on) const {
    ebm::Trainer trainer(model_, data_, options, on, labels_);
    std::vector<std::vector<double>> log;
    trainer.fit([&](const ebm::TrainProgress& p) {
      log.push_back(line(p));
      return true;
    });
    return outcome(trainer, log);
  }
};

// The same bits for any number of threads and from run to run. Rejects sums whose order depends on scheduling.
TEST_P(TrainingTest, ThreadsAndRepeats) {
  for (const ebm::TrainerOptions& options : every_kind()) {
    const Outcome once = run(options, with_threads(1));
    EXPECT_EQ(once.log.size(), static_cast<std::size_t>(kIterations));
    for (const int threads : thread_counts({1, 2, 3, 8})) {
      EXPECT_EQ(run(options, with_threads(threads)), once)
          << threads << ", " << ebm::to_string(options.objective.chain_start) << ", " << options.objective.replicas();
    }
  }
}

// Stopped after every iteration in turn, written, read and resumed: parameters, average, buffer, step size and log have
// the bits of the run that never stopped. Log lines cover two iterations, so that a stop falls inside one.
TEST_P(TrainingTest, ResumedEqualsUnstopped) {
  const auto path =
      std::filesystem::path(testing::TempDir()) /
      ("resume_" + GetParam().name + "_" + std::to_string(testing::UnitTest::GetInstance()->random_seed()) + "_" +
       std::to_string(::getpid()) + ".safetensors");
  for (const int threads : thread_counts({2, 1, 3})) {
    for (ebm::TrainerOptions options : {everything(ebm::ChainStart::persistent), tempered(ebm::ChainStart::persistent),
                                        everything(ebm::ChainStart::fresh)}) {
      const bool fresh = options.objective.chain_start == ebm::ChainStart::fresh;
      if (fresh && threads != thread_counts({2}).front()) continue;
      options.log_every = 2;
      const Outcome whole = run(options, with_threads(threads));
      for (std::int64_t stop = 0; stop <= kIterations; ++stop) {
        std::vector<std::vector<double>> log;
        const auto note = [&](const ebm::TrainProgress& p) {
          log.push_back(line(p));
          return true;
        };
        {
          ebm::Trainer first(model_, data_, options, with_threads(threads), labels_);
          first.fit(note, stop);
          EXPECT_EQ(first.iteration(), stop);
          first.save_checkpoint(path);
        }
        ebm::Trainer second = ebm::Trainer::resume(path, data_, with_threads(threads), labels_);
        EXPECT_EQ(second.iteration(), stop);
        second.fit(note);
        EXPECT_EQ(outcome(second, log), whole) << "stopped after " << stop << ", " << threads << " threads";
      }
    }
  }
  std::filesystem::remove(path);
}

// The same below the public API: a session's state is all that the next one needs.
TEST_P(TrainingTest, SplitOfTheIterationsOverCalls) {
  for (const auto start : {ebm::ChainStart::persistent, ebm::ChainStart::data}) {
    const Outcome whole = run(everything(start), device());
    ebm::Trainer trainer(model_, data_, everything(start), device(), labels_);
    std::vector<std::vector<double>> log;
    for (std::int64_t n : {0, 1, 3, 2, 100}) {
      trainer.fit(
          [&](const ebm::TrainProgress& p) {
            log.push_back(line(p));
            return true;
          },
          n);
    }
    EXPECT_EQ(trainer.iteration(), kIterations);
    EXPECT_EQ(outcome(trainer, log), whole);
  }
}

TEST_P(TrainingTest, SeedsGiveDifferentRuns) {
  ebm::TrainerOptions options = everything(ebm::ChainStart::persistent);
  const Outcome one = run(options, device());
  options.seed = 12;
  EXPECT_NE(run(options, device()).parameters, one.parameters);
}

// An absurd rate ends in DivergenceError, with parameters as they were before the gradient that was not finite.
TEST_P(TrainingTest, DivergenceIsAnErrorAndLeavesFiniteParameters) {
  for (const auto start : {ebm::ChainStart::persistent, ebm::ChainStart::data}) {
    ebm::TrainerOptions options = plain_training(200, 32);
    options.objective.chain_start = start;
    options.optimizer.learning_rate = 1e18f;
    const ebm::Mlp model = random_network(shape_of(3, {17, 16}, ebm::Activation::silu, ebm::Head::scalar, 0.3f), 1);
    ebm::Trainer trainer(model, data_, options, device());
    std::int64_t at = -1;
    try {
      trainer.fit();
    } catch (const ebm::DivergenceError& error) {
      at = error.iteration();
    }
    ASSERT_GE(at, 1) << "the first gradient is finite";
    EXPECT_EQ(trainer.iteration(), at);
    const ebm::Mlp raw = trainer.raw_model();
    for (const float p : raw.parameters()) ASSERT_TRUE(std::isfinite(p));
    if (start == ebm::ChainStart::persistent) {
      const ebm::ReplayBuffer buffer = trainer.buffer();
      for (const float x : buffer.positions().values()) ASSERT_TRUE(std::isfinite(x));
    }
    EXPECT_THROW(trainer.fit(), ebm::DivergenceError) << "going on must not hide it";
  }
}

// Chains that blow up are restarted and counted; training goes on.
TEST_P(TrainingTest, ExplodingChainsAreContained) {
  ebm::TrainerOptions options = plain_training(5, 32);
  options.objective.sampler =
      ebm::LangevinDynamics{.step_size = 1e10f, .noise_scale = 0.0f, .grad_clip = {}, .clamp = {}};
  options.objective.n_steps = 10;
  const ebm::Mlp model = random_network(shape_of(3, {16}, ebm::Activation::silu, ebm::Head::scalar, 1.0f), 1);
  ebm::Trainer trainer(model, data_, options, device());
  std::uint64_t restarts = 0;
  try {
    trainer.fit([&](const ebm::TrainProgress& p) {
      restarts += p.stats.restarts;
      return true;
    });
  } catch (const ebm::DivergenceError&) {
    // Chains of energy 10^30 may well end the training; what counts is what they leave behind.
  }
  EXPECT_GT(restarts, 0u);
  const ebm::ReplayBuffer buffer = trainer.buffer();
  for (const float x : buffer.positions().values()) ASSERT_TRUE(std::isfinite(x));
  const ebm::Mlp raw = trainer.raw_model();
  for (const float p : raw.parameters()) ASSERT_TRUE(std::isfinite(p));
}

TEST_P(TrainingTest, ProgressCoversEveryIterationOnceAndCanStop) {
  ebm::TrainerOptions options = everything(ebm::ChainStart::persistent);
  options.log_every = 4;
  ebm::Trainer trainer(model_, data_, options, device(), labels_);
  std::vector<std::int64_t> iterations;
  std::uint64_t steps = 0;
  trainer.fit([&](const ebm::TrainProgress& p) {
    iterations.push_back(p.iteration);
    steps += p.stats.steps;
    return true;
  });
  EXPECT_EQ(iterations, (std::vector<std::int64_t>{4, 8, 9}));
  EXPECT_EQ(steps, static_cast<std::uint64_t>(kIterations * 33 * options.objective.n_steps));
  ebm::Trainer stopped(model_, data_, options, device(), labels_);
  stopped.fit([](const ebm::TrainProgress&) { return false; });
  EXPECT_EQ(stopped.iteration(), 4);
}

TEST_P(TrainingTest, RefusesBadRequestsByName) {
  const auto refused = [&](const std::function<void(ebm::TrainerOptions&)>& set) -> std::string {
    ebm::TrainerOptions options = everything(ebm::ChainStart::persistent);
    set(options);
    try {
      ebm::Trainer trainer(model_, data_, options, device(), labels_);
    } catch (const ebm::ConfigError& error) {
      return error.field();
    }
    return "(accepted)";
  };
  using Options = ebm::TrainerOptions;
  const float nan = std::nanf("");
  EXPECT_EQ(refused([](Options& o) { o.iterations = 0; }), "iterations");
  EXPECT_EQ(refused([](Options& o) { o.batch_size = 0; }), "batch_size");
  EXPECT_EQ(refused([](Options& o) { o.batch_size = 101; }), "batch_size");  // more than slots
  EXPECT_EQ(refused([](Options& o) { o.objective.n_steps = 0; }), "langevin_steps");
  EXPECT_EQ(refused([&](Options& o) { o.objective.energy_reg = nan; }), "energy_reg");
  EXPECT_EQ(refused([](Options& o) { o.objective.difference_prob = 1.5f; }), "difference_prob");
  EXPECT_EQ(refused([](Options& o) { o.objective.target_acceptance = 1.0f; }), "target_acceptance");
  EXPECT_EQ(refused([](Options& o) { o.objective.buffer.capacity = 0; }), "buffer_size");
  EXPECT_EQ(refused([](Options& o) { o.objective.tempering = ebm::Tempering{.replicas = 1}; }), "replicas");
  EXPECT_EQ(refused([](Options& o) {
              o.objective.sampler = ebm::LangevinDynamics{};
              o.objective.difference_prob = 0;
              o.objective.tempering.emplace();
            }),
            "tempering");
  EXPECT_EQ(refused([](Options& o) { o.objective.buffer.reinit_prob = -0.1f; }), "reinit_prob");
  EXPECT_EQ(refused([](Options& o) {
              o.objective.sampler = ebm::Mala{.step_size = -1.0f, .jump_prob = 0, .grad_clip = {}, .clamp = {}};
            }),
            "step_size");
  EXPECT_EQ(refused([](Options& o) { o.objective.sampler = ebm::LangevinDynamics{}; }), "difference_prob");
  EXPECT_EQ(refused([&](Options& o) { o.optimizer.learning_rate = nan; }), "learning_rate");
  EXPECT_EQ(refused([](Options& o) { o.optimizer.beta1 = 1.0f; }), "beta1");
  EXPECT_EQ(refused([](Options& o) { o.optimizer.beta2 = -0.1f; }), "beta2");
  EXPECT_EQ(refused([](Options& o) { o.optimizer.epsilon = 0.0f; }), "epsilon");
  EXPECT_EQ(refused([](Options& o) { o.optimizer.weight_decay = -1.0f; }), "weight_decay");
  EXPECT_EQ(refused([](Options& o) { o.optimizer.grad_norm_clip = -1.0f; }), "grad_norm_clip");
  EXPECT_EQ(refused([](Options& o) { o.optimizer.warmup = -1; }), "warmup");
  EXPECT_EQ(refused([](Options& o) { o.ema = 1.0f; }), "ema");
  EXPECT_EQ(refused([](Options& o) { o.dequantize = -1.0f; }), "dequantize");
  EXPECT_EQ(refused([](Options& o) { o.data_noise = -0.1f; }), "data_noise");
  EXPECT_EQ(refused([](Options& o) { o.log_every = 0; }), "log_every");

  const auto rejects = [&](const ebm::Mlp& model, const ebm::Matrix& data,
                           const std::vector<int>& labels) -> std::string {
    try {
      ebm::Trainer trainer(model, data, everything(ebm::ChainStart::persistent), device(), labels);
    } catch (const ebm::ConfigError& error) {
      return error.field();
    }
    return "(accepted)";
  };
  ebm::Matrix with_nan = data_;
  with_nan(7, 2) = nan;
  EXPECT_EQ(rejects(model_, with_nan, labels_), "data");
  EXPECT_EQ(rejects(model_, ebm::Matrix(50, 2), labels_), "data");
  EXPECT_EQ(rejects(model_, ebm::Matrix(0, 3), {}), "data");
  EXPECT_EQ(rejects(model_, data_, std::vector<int>(49, 0)), "labels");
  EXPECT_EQ(rejects(model_, data_, std::vector<int>(50, 5)), "labels");
  EXPECT_EQ(rejects(ebm::Mlp(shape_of(3, {4})), data_, std::vector<int>(50, 0)), "labels");
}

EBM_INSTANTIATE_ENGINES(TrainingTest);

}  // namespace
