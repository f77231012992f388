#include "tools/program.hpp"

namespace ebm::test {
namespace {

class TrainConfig : public ProgramTest {
 protected:
  TrainConfig() { write_ring("x.npy"); }
  Outcome train(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"train", "x.npy", "--config", "c.toml"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return succeed(arguments);
  }
};

constexpr const char* kConfig = R"(# every kind of value; dashes and underscores
hidden = [8, 8]
batch_size = 16
langevin-steps = 3
steps = 10
learning_rate = 1e-2
activation = "tanh"
standardize = false
quiet = true
log = "log.jsonl"
log-every = 5
)";

TEST_F(TrainConfig, FileAndCommandLineAreTheSameRequest) {
  write("c.toml", kConfig);
  EXPECT_EQ(train({"--out", "a.safetensors"}).err, "");
  EXPECT_EQ(read_log("log.jsonl").size(), 2u);
  succeed({"train", "x.npy", "--out", "b.safetensors", "--hidden", "8,8", "--batch-size", "16", "--langevin-steps", "3",
           "--steps", "10", "--learning-rate", "0.01", "--activation", "tanh", "--no-standardize", "--log-every", "5"});
  EXPECT_EQ(read("a.safetensors"), read("b.safetensors"));
}

TEST_F(TrainConfig, CommandLineWins) {
  write("c.toml", kConfig);
  train({"--out", "m.safetensors", "--activation", "elu", "--steps", "15", "--standardize"});
  EXPECT_EQ(read_log("log.jsonl").size(), 3u);
  const Mlp model = Mlp::load(path("m.safetensors"));
  EXPECT_EQ(model.shape().activation, Activation::elu);
  EXPECT_TRUE(model.standardization().has_value());
}

TEST_F(TrainConfig, MayGiveTheRequiredOptionsToo) {
  write("c.toml", std::string(kConfig) + "out = \"from_config.safetensors\"\n");
  train({});
  EXPECT_TRUE(exists("from_config.safetensors"));
}

TEST_F(TrainConfig, BadFilesAreWrongRequests) {
  const auto expect = [&](const std::string& text, const std::vector<std::string>& parts) {
    write("c.toml", text);
    expect_wrong_request({"train", "x.npy", "--out", "m.safetensors", "--config", "c.toml"}, parts);
  };
  expect("hiden = [8]\n", {"c.toml:1", "hiden", "did you mean hidden"});
  expect("steps = 5\nzzzzqqqq = 1\n", {"c.toml:2", "zzzzqqqq", "unknown"});
  expect("[model]\nhidden = [8]\n", {"model", "unknown"});
  expect("step_size = -0.1\n", {"--step-size", "-0.1", "> 0"});
  expect("standardize = 1\n", {"standardize", "true or false"});
  expect("steps = true\n", {"steps", "must be a number"});
  expect("steps = 5\nsteps = 6\n", {"c.toml"});
  expect("batch-size = 8\nbatch_size = 9\n", {"batch", "given twice"});
  expect("steps = \n", {"c.toml", "line"});
  expect("config = \"other.toml\"\n", {"config", "unknown"});
  expect("activation = \"swish\"\n", {"--activation", "swish", "silu"});
  expect_wrong_request({"train", "x.npy", "--out", "m.safetensors", "--config", "missing.toml"},
                       {"missing.toml", "no such file"});
}

}  // namespace
}  // namespace ebm::test
