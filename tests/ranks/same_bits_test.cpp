// Any number of ranks gives the bits of one: of CPUs, and of GPUs with NCCL between them where there are four.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <tuple>

#include "ebmcuda/chains.hpp"
#include "ebmcuda/diagnostics.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"
#include "ebmcuda/log_z.hpp"
#include "ebmcuda/share.hpp"
#include "ebmcuda/trainer.hpp"
#include "ranks/thread_ranks.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

namespace fs = std::filesystem;
using ebm::Communicator;
using ebm::Device;
using ebm::Matrix;
using ebm::Mlp;
using ebm::test::expect_ranks;
using support::random_network;
using support::random_points;
using support::shape_of;

constexpr int kMostRanks = 4;

// Every engine that ranks may have.
class RanksTest : public ::testing::Test {
 protected:
  explicit RanksTest(support::EngineCase engine) : engine_(std::move(engine)) {}
  bool is_cpu() const { return engine_.kind == Device::Kind::cpu; }
  // A CUDA device for each rank.
  void SetUp() override {
    if (is_cpu()) return;
    setenv("EBMCUDA_RUNTIME_COMPILER", "off", 0);  // as in support/engines.cpp
    try {
      Device::cuda(kMostRanks - 1, engine_.precision);
    } catch (const ebm::ConfigError& error) {
      GTEST_SKIP() << "not " << kMostRanks << " CUDA devices: " << error.what();
    }
  }
  Device alone() const { return is_cpu() ? Device::cpu(1) : Device::cuda(0, engine_.precision); }
  // Ranks are threads of one machine here, so that the local rank is the rank.
  Device over(const Communicator& ranks) const {
    return (is_cpu() ? Device::cpu(1) : Device::local_cuda(ranks, engine_.precision)).over(ranks);
  }
  // A simulated device has less time.
  template <class Count>
  Count sized(Count cpu, Count device) const {
    return is_cpu() ? cpu : device;
  }

 private:
  support::EngineCase engine_;
};

std::vector<support::EngineCase> engines() {
  std::vector<support::EngineCase> all = support::engine_cases();
  std::erase_if(all, [](const auto& engine) { return engine.precision == ebm::Precision::fp16; });  // as fp16x3
  return all;
}

class RanksBits : public RanksTest, public ::testing::WithParamInterface<support::EngineCase> {
 protected:
  RanksBits() : RanksTest(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(Engines, RanksBits, ::testing::ValuesIn(engines()), support::engine_name);

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class RanksFiles : public RanksTest {
 protected:
  explicit RanksFiles(support::EngineCase engine = {"cpu"}) : RanksTest(std::move(engine)) {
    std::string name = (fs::temp_directory_path() / "ebm-ranks-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) folder_ = name;
  }
  ~RanksFiles() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  fs::path path(const std::string& name) const { return folder_ / name; }

 private:
  fs::path folder_;
};

Mlp model_2d() { return random_network(shape_of(2, {24, 24}, ebm::Activation::silu, ebm::Head::scalar, 1.0f), 3); }

TEST_P(RanksBits, EnergiesGradientsAndOutputs) {
  const Mlp model = random_network(shape_of(5, {20, 12}, ebm::Activation::tanh, ebm::Head::logits, 0.5f), 1);
  for (const std::size_t n : {1ul, 40ul, 129ul, sized(1000ul, 300ul)}) {
    const Matrix x = random_points(n, 5, n);
    const std::vector<float> weights(n, 0.25f);
    const ebm::Energy one(model, alone());
    Matrix gradient(n, 5);
    std::vector<float> energy(n);
    one.gradient(x, gradient.values(), energy);
    const std::vector<float> parameter_gradient = one.parameter_gradient(x, weights);
    const Matrix outputs = one.outputs(x);
    for (int size = 2; size <= 4; ++size) {
      expect_ranks(size, [&](const Communicator& ranks) {
        const ebm::Energy shared(model, over(ranks));
        Matrix other(n, 5);
        std::vector<float> values(n);
        shared.gradient(x, other.values(), values);
        EXPECT_EQ(values, energy);
        EXPECT_EQ(other, gradient);
        EXPECT_EQ(shared.values(x), energy);
        EXPECT_EQ(shared.outputs(x), outputs);
        EXPECT_EQ(shared.parameter_gradient(x, weights), parameter_gradient);
      });
    }
  }
}

TEST_P(RanksBits, ChainsWithAndWithoutReplicas) {
  const Mlp model = model_2d();
  for (const bool tempered : {false, true}) {
    ebm::ChainsOptions options;
    options.n_chains = sized(203, 130);
    options.seed = 4;
    options.first_chain = 10;
    if (tempered) options.tempering.emplace();
    if (tempered) options.tempering->replicas = 3;
    const auto run = [&](const Device& device) {
      ebm::Chains chains(ebm::Energy(model, device), ebm::Mala{.step_size = 0.05f}, options);
      chains.run(sized(30, 3));
      std::vector<float> all = chains.energies();
      const Matrix x = chains.positions();
      all.insert(all.end(), x.values().begin(), x.values().end());
      const ebm::ChainStats stats = chains.stats();
      for (const auto& move : stats.moves) all.push_back(static_cast<float>(move.accepted));
      all.push_back(static_cast<float>(stats.steps));
      for (const auto flag : chains.restarted()) all.push_back(flag);
      if (tempered) {
        all.push_back(static_cast<float>(chains.replicas().barrier()));
        all.push_back(static_cast<float>(chains.replicas().round_trips));
      }
      return all;
    };
    const std::vector<float> one = run(alone());
    for (int size = 2; size <= kMostRanks; ++size) {
      expect_ranks(size, [&](const Communicator& ranks) { EXPECT_EQ(run(over(ranks)), one); });
    }
  }
}

TEST_P(RanksBits, LogZByQuadratureAndByAnnealing) {
  if (!is_cpu() && std::getenv("EBMCUDA_TEST_FULL_SIZE") == nullptr) {
    GTEST_SKIP() << "minutes on a simulated device; EBMCUDA_TEST_FULL_SIZE=1 runs it";
  }
  const Mlp model = model_2d();
  ebm::QuadratureOptions points;
  points.points = sized(0, 61);
  const ebm::QuadratureResult grid = ebm::quadrature_log_z(model, points, {}, alone());
  ebm::AisOptions options;
  options.chains = sized(150, 130);
  options.temperatures = sized(40, 3);
  options.burn_in = sized(60, 2);
  const ebm::AisResult annealed = ebm::ais_log_z(model, options, {}, alone());
  for (int size = 2; size <= 4; ++size) {
    expect_ranks(size, [&](const Communicator& ranks) {
      const ebm::QuadratureResult other = ebm::quadrature_log_z(model, points, {}, over(ranks));
      EXPECT_EQ(other.log_z, grid.log_z);
      EXPECT_EQ(other.error, grid.error);
      const ebm::AisResult result = ebm::ais_log_z(model, options, {}, over(ranks));
      EXPECT_EQ(result.log_z_forward, annealed.log_z_forward);
      EXPECT_EQ(result.log_z_reverse, annealed.log_z_reverse);
      EXPECT_EQ(result.log_weights, annealed.log_weights);
      EXPECT_EQ(result.samples, annealed.samples);
      EXPECT_EQ(result.acceptance, annealed.acceptance);
    });
  }
}

TEST_F(RanksFiles, SamplesAndTheirDiagnosticsAndFiles) {
  const Mlp model = model_2d();
  for (const std::int64_t n : {3, 70}) {
    ebm::SampleOptions options;
    options.n_chains = n;
    options.n_steps = 40;
    options.thin = 5;
    const ebm::SampleResult alone = ebm::sample(model, ebm::Mala{.step_size = 0.05f}, options, RanksFiles::alone());
    Matrix stacked(alone.trajectory.size() * alone.x.rows(), 2);
    float* to = stacked.data();
    for (const Matrix& step : alone.trajectory) to = std::ranges::copy(step.values(), to).out;
    ebm::write_matrix(path("x1.npy"), alone.x);
    ebm::write_matrix(path("x1.csv"), alone.x);
    ebm::write_matrix(path("t1.npy"), stacked);
    ebm::write_vector(path("e1.npy"), alone.energy);
    for (int size = 1; size <= 5; ++size) {
      expect_ranks(size, [&](const Communicator& ranks) {
        const ebm::SampleResult whole = ebm::sample(model, ebm::Mala{.step_size = 0.05f}, options, over(ranks));
        EXPECT_EQ(whole.x, alone.x);
        EXPECT_EQ(whole.energy, alone.energy);
        const ebm::SampleResult mine = ebm::sample_share(model, ebm::Mala{.step_size = 0.05f}, options, over(ranks));
        const ebm::RowShare share = ebm::row_share(static_cast<std::uint64_t>(n), ranks);
        ASSERT_EQ(mine.x.rows(), share.count);
        EXPECT_EQ(mine.stats, alone.stats);
        EXPECT_EQ(ebm::effective_sample_size(mine.trajectory, ranks), ebm::effective_sample_size(alone.trajectory));
        EXPECT_EQ(ebm::split_rhat(mine.trajectory, ranks), ebm::split_rhat(alone.trajectory));
        ebm::write_matrix_share(path("x.npy"), {&mine.x, 1}, ranks);
        ebm::write_matrix_share(path("x.csv"), {&mine.x, 1}, ranks);
        ebm::write_matrix_share(path("t.npy"), mine.trajectory, ranks);
        ebm::write_vector_share(path("e.npy"), mine.energy, ranks);
        const Matrix gathered = ebm::gather_rows(mine.x, ranks);
        EXPECT_EQ(gathered, ranks.first() ? alone.x : Matrix());
      });
      for (const char* name : {"x%.npy", "x%.csv", "t%.npy", "e%.npy"}) {
        std::string one = name, many = name;
        one.replace(one.find('%'), 1, "1");
        many.replace(many.find('%'), 1, "");
        EXPECT_EQ(bytes_of(path(many)), bytes_of(path(one))) << many << ", " << size << " ranks";
      }
    }
  }
}

TEST_F(RanksFiles, FileThatOneRankCantReachIsNotPutInPlace) {
  const auto thrown = ebm::test::on_ranks(3, [&](const Communicator& ranks) {
    const Matrix mine(4, 2);
    // No directory of that name where rank 0 is to begin the file.
    ebm::write_matrix_share(path("nowhere") / "x.npy", {&mine, 1}, ranks);
  });
  for (const std::string& what : thrown) EXPECT_NE(what.find("nowhere"), std::string::npos) << what;
  EXPECT_FALSE(fs::exists(path("nowhere")));
}

struct TrainingCase {
  const char* name;
  ebm::ChainStart start;
  std::int64_t batch;
  bool labels = false, langevin = false, dequantize = false, tempering = false;
};

ebm::TrainerOptions options_of(const TrainingCase& c) {
  ebm::TrainerOptions options;
  options.iterations = 12;
  options.batch_size = c.batch;
  options.objective.chain_start = c.start;
  options.objective.n_steps = 3;
  options.objective.energy_reg = 0.01f;
  options.objective.buffer.capacity = 900;
  options.objective.buffer.reinit_prob = 0.2f;
  if (c.langevin) options.objective.sampler = ebm::LangevinDynamics{};
  if (c.dequantize) options.dequantize = 0.1f;
  if (c.tempering) options.objective.tempering.emplace();
  if (c.tempering) options.objective.tempering->replicas = 3;
  options.log_every = 5;
  options.seed = 9;
  return options;
}

// Everything that a run leaves: reports and the checkpoint.
struct TrainingTrace {
  std::vector<double> reports;
  std::string checkpoint;
  bool operator==(const TrainingTrace&) const = default;
};

void report_into(TrainingTrace* trace, const ebm::TrainProgress& p) {
  for (const double v :
       {p.energy_data, p.energy_samples, p.gradient_norm, p.cross_entropy, p.step_size, p.spread,
        static_cast<double>(p.stats[ebm::Move::local].accepted), static_cast<double>(p.stats.reinitialized)}) {
    if (v == v) trace->reports.push_back(v);
  }
}

using TrainingParam = std::tuple<support::EngineCase, TrainingCase>;

class RanksTraining : public RanksFiles, public ::testing::WithParamInterface<TrainingParam> {
 protected:
  RanksTraining()
      : RanksFiles(std::get<0>(GetParam())), data_(random_points(500, 3, 2)), labels_(test().labels ? 500 : 0) {
    for (std::size_t i = 0; i < labels_.size(); ++i) labels_[i] = static_cast<int>(i % 3);
    ebm::MlpShape shape =
        shape_of(3, {16, 16}, ebm::Activation::silu, test().labels ? ebm::Head::logits : ebm::Head::scalar, 1.0f);
    if (test().labels) shape.outputs = 3;
    model_ = Mlp::random(shape, 5);
  }
  static const TrainingCase& test() { return std::get<1>(GetParam()); }
  ebm::TrainerOptions options() const {
    ebm::TrainerOptions options = options_of(test());
    options.iterations = sized(12, 6);
    options.log_every = sized(5, 2);
    return options;
  }
  TrainingTrace train(const Device& device) const {
    TrainingTrace trace;
    ebm::Trainer trainer(*model_, data_, options(), device, labels_);
    trainer.fit([&](const ebm::TrainProgress& p) { return report_into(&trace, p), true; });
    const fs::path file = path(device.ranks().size() == 1 ? "one.st" : "many.st");
    trainer.save_checkpoint(file);
    trace.checkpoint = bytes_of(file);
    return trace;
  }

  Matrix data_;
  std::vector<int> labels_;
  std::optional<Mlp> model_;
};

TEST_P(RanksTraining, GivesTheBitsOfOne) {
  const TrainingTrace one = train(alone());
  ASSERT_FALSE(one.reports.empty());
  for (int size = 2; size <= kMostRanks; ++size) {
    expect_ranks(size, [&](const Communicator& ranks) {
      const TrainingTrace shared = train(over(ranks));
      EXPECT_EQ(shared.reports, one.reports) << size << " ranks";
      EXPECT_TRUE(shared.checkpoint == one.checkpoint) << size << " ranks";
    });
  }
}

TEST_P(RanksTraining, GoesOnWithAnotherNumberOfRanks) {
  const TrainingTrace one = train(alone());
  TrainingTrace shared;
  std::mutex mutex;
  int part = 0;
  for (const int size : {3, 2, 4}) {
    ++part;
    expect_ranks(size, [&](const Communicator& ranks) {
      std::optional<ebm::Trainer> trainer;
      if (part == 1) {
        trainer.emplace(*model_, data_, options(), over(ranks), labels_);
      } else {
        trainer.emplace(ebm::Trainer::resume(path("run.st"), data_, over(ranks), labels_));
      }
      // Not at a log line.
      trainer->fit(
          [&](const ebm::TrainProgress& p) {
            const std::scoped_lock lock(mutex);
            if (ranks.first()) report_into(&shared, p);
            return true;
          },
          sized(4, 2));
      ranks.barrier("before the checkpoint is replaced");
      trainer->save_checkpoint(path("run.st"));
    });
  }
  shared.checkpoint = bytes_of(path("run.st"));
  EXPECT_EQ(shared.reports, one.reports);
  EXPECT_TRUE(shared.checkpoint == one.checkpoint);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RanksTraining,
    ::testing::Combine(
        ::testing::ValuesIn(engines()),
        ::testing::Values(TrainingCase{"persistent", ebm::ChainStart::persistent, 700},
                          TrainingCase{"chunks_for_all", ebm::ChainStart::persistent, 512},
                          TrainingCase{"fewer_chunks_than_ranks", ebm::ChainStart::persistent, 200, false, true},
                          TrainingCase{"one_chunk", ebm::ChainStart::persistent, 64},
                          TrainingCase{"from_data", ebm::ChainStart::data, 300, false, false, true},
                          TrainingCase{"fresh", ebm::ChainStart::fresh, 300},
                          TrainingCase{"replicas", ebm::ChainStart::persistent, 300, false, false, false, true},
                          TrainingCase{"replicas_from_data", ebm::ChainStart::data, 300, false, false, false, true},
                          TrainingCase{"labels", ebm::ChainStart::persistent, 520, true})),
    [](const auto& test) { return std::get<0>(test.param).name + "_" + std::get<1>(test.param).name; });

TEST(RanksMismatch, OptionsDataAndModelsAreNamed) {
  const auto over = [](const Communicator& ranks) { return Device::cpu(1).over(ranks); };
  const Matrix data = random_points(200, 2, 1);
  Matrix other = data;
  other(7, 1) += 1;
  ebm::TrainerOptions options;
  options.batch_size = 128;
  const auto train_with = [&](const Matrix& x, const ebm::TrainerOptions& o, const Communicator& ranks) {
    const ebm::Trainer trainer(model_2d(), x, o, over(ranks));
  };
  const auto expect_named = [](const std::vector<std::string>& thrown, const std::string& field) {
    for (const std::string& what : thrown) {
      EXPECT_EQ(what.substr(0, what.find(' ')), field) << what;
      EXPECT_NE(what.find("on rank 2"), std::string::npos) << what;
    }
  };
  expect_named(
      ebm::test::on_ranks(3, [&](const Communicator& r) { train_with(r.rank() == 2 ? other : data, options, r); }),
      "data");
  ebm::TrainerOptions smaller = options;
  smaller.batch_size = 64;
  expect_named(
      ebm::test::on_ranks(3, [&](const Communicator& r) { train_with(data, r.rank() == 2 ? smaller : options, r); }),
      "batch_size");
  expect_named(ebm::test::on_ranks(3,
                                   [&](const Communicator& r) {
                                     ebm::SampleOptions request;
                                     request.n_chains = r.rank() == 2 ? 11 : 10;
                                     ebm::sample_share(model_2d(), ebm::Mala{}, request, over(r));
                                   }),
               "n_chains");
  expect_named(ebm::test::on_ranks(3,
                                   [&](const Communicator& r) {
                                     Mlp model = model_2d();
                                     if (r.rank() == 2) model.parameters()[0] += 1;
                                     const ebm::Energy energy(model, over(r));
                                   }),
               "model");
}

}  // namespace
