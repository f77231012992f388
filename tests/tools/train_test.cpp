#include <algorithm>
#include <set>

#include "ebmcuda/files.hpp"
#include "ebmcuda/trainer.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class Train : public ProgramTest {
 protected:
  // A run small enough for a test; `more` is appended.
  Outcome train(std::vector<std::string> more, const std::string& data = "x.npy") const {
    std::vector<std::string> arguments{"train", data};
    const std::vector<std::pair<std::string, std::string>> small{{"--hidden", "8,8"},  {"--batch-size", "16"},
                                                                 {"--steps", "20"},    {"--langevin-steps", "3"},
                                                                 {"--log-every", "5"}, {"--threads", "1"}};
    for (const auto& [option, value] : small) {
      const bool overridden = std::ranges::find(more, option) != more.end();
      const bool shape_given = option == "--hidden" && std::ranges::find(more, "--init-model") != more.end();
      if (!overridden && !shape_given) arguments.insert(arguments.end(), {option, value});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return succeed(arguments);
  }
};

TEST_F(Train, IsTheLibrarysTrainerWithItsDefaults) {
  write_ring("x.npy");
  const Outcome outcome = train({"--out", "m.safetensors", "--seed", "6"});
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("20 iterations in"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("acceptance"), std::string::npos);
  EXPECT_NE(outcome.err.find("energy gap"), std::string::npos);
  EXPECT_NE(outcome.err.find("restarts 0"), std::string::npos);
  EXPECT_NE(outcome.err.find("wrote m.safetensors"), std::string::npos);

  const Matrix x = read_matrix(path("x.npy"));
  TrainerOptions options = TrainerOptions::defaults(2);
  options.batch_size = 16;
  options.iterations = 20;
  options.log_every = 5;
  options.objective.n_steps = 3;
  options.seed = 6;
  MlpShape shape;
  shape.dim = 2;
  shape.hidden = {8, 8};
  shape.confinement = default_confinement(2);
  Mlp start = Mlp::random(shape, 6, default_first_layer_scale(2));
  start.set_standardization(standardization_of(x));
  Trainer trainer(start, x, options, Device::cpu());
  trainer.fit();
  const Mlp expected = trainer.model(), got = Mlp::load(path("m.safetensors"));
  EXPECT_TRUE(std::ranges::equal(got.parameters(), expected.parameters()));
  EXPECT_EQ(got.standardization(), expected.standardization());
  EXPECT_EQ(got.shape(), expected.shape());
  EXPECT_EQ(got.notes(), expected.notes());
  EXPECT_EQ(got.notes().at("sampler"), "mala");
}

TEST_F(Train, EveryOptionReachesTheTrainer) {
  write_ring("x.npy");
  // Each changes something that a model file or the log shows; equal files would mean a dead option.
  const std::vector<std::vector<std::string>> variants{
      {},
      {"--seed", "1"},
      {"--activation", "tanh"},
      {"--confinement", "1"},
      {"--init-scale", "2"},
      {"--no-standardize"},
      {"--sampler", "langevin"},
      {"--sampler", "langevin", "--noise-scale", "0.05"},
      {"--step-size", "0.2"},
      {"--jump-prob", "0.9"},
      {"--difference-prob", "0.9"},
      {"--grad-clip", "0.01"},
      {"--clamp", "-9,0.5"},
      {"--chain-start", "data"},
      {"--chain-start", "fresh"},
      {"--buffer-size", "16"},
      {"--buffer-start", "gaussian"},
      {"--buffer-start", "data"},
      {"--reinit-prob", "1"},
      {"--target-acceptance", "0.95"},
      {"--target-acceptance", "off"},
      {"--learning-rate", "0.1"},
      {"--decay", "constant"},
      {"--decay", "linear"},
      {"--warmup", "10"},
      {"--beta1", "0.1"},
      {"--beta2", "0.5"},
      {"--weight-decay", "0.5"},
      {"--grad-norm-clip", "0.0001"},
      {"--energy-reg", "1"},
      {"--ema", "0"},
      {"--dequantize", "2"},
      {"--langevin-steps", "4", "--steps", "21"},
  };
  std::set<std::string> models;
  for (const auto& variant : variants) {
    std::vector<std::string> arguments{"train",        "x.npy", "--out", "m.safetensors", "--hidden", "8,8",
                                       "--batch-size", "16",    "-q"};
    if (variant.empty() || variant.front() != "--langevin-steps") {
      arguments.insert(arguments.end(), {"--langevin-steps", "3", "--steps", "20"});
    }
    arguments.insert(arguments.end(), variant.begin(), variant.end());
    EXPECT_EQ(succeed(arguments).err, "") << "--quiet";
    const Mlp model = Mlp::load(path("m.safetensors"));
    std::string bytes(reinterpret_cast<const char*>(model.parameters().data()), model.parameters().size_bytes());
    EXPECT_TRUE(models.insert(bytes).second) << ::testing::PrintToString(variant) << " changed nothing";
  }
}

TEST_F(Train, LogHoldsTheContractsKeys) {
  write_ring("x.npy");
  train({"--out", "m.safetensors", "--log", "log.jsonl"});
  const auto log = read_log("log.jsonl");
  ASSERT_EQ(log.size(), 4u);
  for (std::size_t i = 0; i < log.size(); ++i) {
    EXPECT_EQ(log[i]["iteration"], 5 * (i + 1));
    for (const char* key : {"energy_data", "energy_samples", "energy_gap", "gradient_norm", "restarts", "seconds",
                            "chain_steps_per_second", "acceptance", "step_size"}) {
      EXPECT_TRUE(log[i].contains(key) && log[i][key].is_number()) << key;
    }
    EXPECT_DOUBLE_EQ(log[i]["energy_gap"].get<double>(),
                     log[i]["energy_data"].get<double>() - log[i]["energy_samples"].get<double>());
    EXPECT_GT(log[i]["chain_steps_per_second"].get<double>(), 0.0);
    EXPECT_FALSE(log[i].contains("cross_entropy"));
  }
  EXPECT_GT(log[3]["seconds"].get<double>(), log[0]["seconds"].get<double>());
}

TEST_F(Train, LangevinBringsItsOwnRecipe) {
  write_ring("x.npy");
  train({"--out", "m.safetensors", "--sampler", "langevin", "--steps", "60", "--log", "log.jsonl"});
  double reinitialized = 0;
  for (const Json& line : read_log("log.jsonl")) {
    reinitialized += line["reinitialized"].get<double>();
    EXPECT_EQ(line["jumps_proposed"], 0);
    EXPECT_EQ(line["differences_proposed"], 0);
  }
  // 960 slots drawn, each afresh with probability 0.05: 48, standard deviation 6.75; within 4.9 of them (alpha 1e-6).
  EXPECT_NEAR(reinitialized, 48, 4.9 * 6.75);
  const auto notes = Mlp::load(path("m.safetensors")).notes();
  EXPECT_EQ(notes.at("sampler"), "langevin");
  train({"--out", "m.safetensors", "--sampler", "langevin", "--reinit-prob", "0", "--log", "log.jsonl"});
  EXPECT_EQ(read_log("log.jsonl").back()["reinitialized"], 0);
}

TEST_F(Train, LogitsHeadTakesLabelsFromAColumnOrAFile) {
  std::string table, labels;
  for (int i = 0; i < 60; ++i) {
    const int y = i % 3;
    table += std::to_string(y + 0.01 * i) + "," + std::to_string(0.3 * (i % 7)) + "," + std::to_string(y) + "\n";
    labels += std::to_string(y) + "\n";
  }
  write("table.csv", table);
  write("labels.csv", labels);
  train({"--label-column", "2", "--head", "logits", "--out", "a.safetensors", "--log", "log.jsonl"}, "table.csv");
  train({"--columns", "0:2", "--labels", "labels.csv", "--head", "logits", "--out", "b.safetensors"}, "table.csv");
  EXPECT_EQ(read("a.safetensors"), read("b.safetensors"));
  const Mlp model = Mlp::load(path("a.safetensors"));
  EXPECT_EQ(model.dim(), 2);
  EXPECT_EQ(model.shape().outputs, 3);
  EXPECT_GT(read_log("log.jsonl").back()["cross_entropy"].get<double>(), 0.0);
  // Without labels the number of classes has to be said.
  train({"--columns", "0:2", "--head", "logits", "--classes", "5", "--out", "c.safetensors"}, "table.csv");
  EXPECT_EQ(Mlp::load(path("c.safetensors")).shape().outputs, 5);
}

TEST_F(Train, InitModelIsWhereTrainingStarts) {
  write_ring("x.npy");
  train({"--out", "a.safetensors", "--activation", "tanh"});
  // A rate this small leaves fp32 parameters as they were (the moving average would round them).
  train({"--out", "b.safetensors", "--init-model", "a.safetensors", "--learning-rate", "1e-30", "--steps", "1", "--ema",
         "0"});
  const Mlp a = Mlp::load(path("a.safetensors")), b = Mlp::load(path("b.safetensors"));
  EXPECT_EQ(b.shape(), a.shape());
  EXPECT_TRUE(std::ranges::equal(a.parameters(), b.parameters()));
  EXPECT_EQ(a.standardization(), b.standardization());
}

TEST_F(Train, WarnsAboutAnEnergyThatMayNotBeIntegrable) {
  write_ring("x.npy");
  EXPECT_NE(train({"--out", "m.safetensors", "--confinement", "0"}).err.find("warning: confinement 0"),
            std::string::npos);
  EXPECT_EQ(train({"--out", "m.safetensors", "--confinement", "0", "--clamp", "-4,4"}).err.find("warning"),
            std::string::npos);
  EXPECT_EQ(train({"--out", "m.safetensors", "--confinement", "0", "--quiet"}).err, "");
}

// Rejects a box without data that is trained in without a word.
TEST_F(Train, ABoxHoldsTheDataOrItIsSaid) {
  write("x.csv", "0,0\n1,0\n0,1\n1,2\n");
  const auto in_box = [&](const char* clamp) {
    return std::vector<std::string>{"train",   "x.csv",   "--out",      "m.safetensors", "--hidden",
                                    "4",       "--steps", "2",          "--batch-size",  "2",
                                    "--clamp", clamp,     "--overwrite"};
  };
  EXPECT_EQ(succeed(in_box("0,2")).err.find("lie outside"), std::string::npos);
  EXPECT_NE(succeed(in_box("0,1")).err.find("1 of 4 rows lie outside the box 0,1"), std::string::npos);
  expect_wrong_request(in_box("5,6"), {"--clamp", "holds none of the 4 points"});
}

TEST_F(Train, DivergenceIsExitOneAndWritesNoModel) {
  write_ring("x.npy");
  const Outcome outcome = run({"train", "x.npy", "--hidden", "8", "--steps", "200", "--learning-rate", "1e30",
                               "--activation", "relu", "--out", "m.safetensors"});
  EXPECT_EQ(outcome.status, 1) << outcome.err;
  EXPECT_NE(outcome.err.find("diverged at iteration"), std::string::npos) << outcome.err;
  EXPECT_FALSE(exists("m.safetensors"));
}

TEST_F(Train, DivergenceIsSaidWhileItHappensAndAtTheEnd) {
  write_ring("x.npy");
  const std::vector<std::string> wild{"--learning-rate", "100", "--steps", "60", "--log-every", "10"};
  auto arguments = wild;
  arguments.insert(arguments.end(), {"--out", "m.safetensors"});
  const std::string said = train(arguments).err;
  EXPECT_NE(said.find("the run diverges (what helps: a smaller --learning-rate"), std::string::npos) << said;
  EXPECT_NE(said.find("warning: the run ended diverged"), std::string::npos) << said;
  EXPECT_EQ(said.find("_rate"), std::string::npos) << "an option by its name: " << said;
  // The model knows.
  const Outcome energy = succeed({"energy", "m.safetensors", "x.npy"});
  EXPECT_NE(energy.err.find("its training diverged"), std::string::npos) << energy.err;
  EXPECT_EQ(train({"--out", "n.safetensors"}).err.find("warning"), std::string::npos);
}

TEST_F(Train, OnDivergenceStopsOrRollsBack) {
  write_ring("x.npy");
  const std::vector<std::string> wild{"train",     "x.npy", "--hidden",    "8,8", "--batch-size",     "16",
                                      "--steps",   "60",    "--log-every", "10",  "--langevin-steps", "3",
                                      "--threads", "1"};
  auto stop = wild;
  stop.insert(stop.end(),
              {"--learning-rate", "1e30", "--out", "s.safetensors", "--checkpoint", "c", "--on-divergence", "stop"});
  const Outcome stopped = run(stop);
  EXPECT_EQ(stopped.status, 1) << stopped.err;
  EXPECT_NE(stopped.err.find("back at iteration 0; the model there is in s.safetensors, the run in c"),
            std::string::npos)
      << stopped.err;
  EXPECT_TRUE(Mlp::load(path("s.safetensors")).notes().contains("diverged"));
  EXPECT_NE(succeed({"info", "c"}).out.find("checkpoint.iteration 0"), std::string::npos);

  auto rollback = wild;
  rollback.insert(rollback.end(), {"--learning-rate", "100", "--out", "r.safetensors", "--log", "r.jsonl",
                                   "--on-divergence", "rollback"});
  const Outcome rolled = succeed(rollback);
  EXPECT_NE(rolled.err.find("warning: rollback 1 of 5: back to iteration 0, learning rate 25"), std::string::npos)
      << rolled.err;
  EXPECT_FALSE(Mlp::load(path("r.safetensors")).notes().contains("diverged"));
  const auto log = read_log("r.jsonl");
  ASSERT_EQ(log.size(), 6u) << "lines that were undone are not there";
  EXPECT_EQ(log.back()["iteration"], 60);
  EXPECT_GE(log.back()["rollbacks"].get<int>(), 1);
}

}  // namespace
}  // namespace ebm::test
