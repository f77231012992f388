#include <cmath>
#include <numbers>

#include "ebmcuda/ensemble.hpp"
#include "ebmcuda/files.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class EnsembleCommands : public ProgramTest {
 protected:
  void write_rows(const std::string& name, const Matrix& rows) const { write_matrix(path(name), rows); }
  // N(-1, 1) and N(1, 0.25) in every column.
  void write_two(int dim = 2) const {
    for (int m = 0; m < 2; ++m) {
      Mlp model = gaussian_model(dim);
      const auto d = static_cast<std::size_t>(dim);
      model.set_standardization(
          Standardization{std::vector<float>(d, m == 0 ? -1.0f : 1.0f), std::vector<float>(d, m == 0 ? 1.0f : 0.5f)});
      model.save(path(m == 0 ? "a.safetensors" : "b.safetensors"));
    }
  }
  static double log_p(double x, double y) {
    const auto normal = [&](double mean, double std) {
      const double square = (x - mean) * (x - mean) + (y - mean) * (y - mean);
      return std::exp(-square / (2 * std * std)) / (2 * std::numbers::pi * std * std);
    };
    return std::log((normal(-1, 1) + normal(1, 0.5)) / 2);
  }
};

TEST_F(EnsembleCommands, EvaluateAndScoreByTheAverage) {
  write_two();
  const Matrix x(3, 2, {0.5f, -0.25f, 1, 1, -2, 0.5f});
  write_matrix(path("x.npy"), x);
  const Json json = Json::parse(
      succeed({"evaluate", "a.safetensors", "b.safetensors", "x.npy", "--no-baselines", "--save-log-z"}).out);
  double mean = 0;
  for (std::size_t i = 0; i < 3; ++i) mean += log_p(static_cast<double>(x(i, 0)), static_cast<double>(x(i, 1))) / 3;
  EXPECT_NEAR(json["mean_log_likelihood"].get<double>(), mean, 1e-4);
  ASSERT_EQ(json["members"].size(), 2u);
  EXPECT_EQ(json["members"][1]["file"], "b.safetensors");
  EXPECT_NEAR(json["members"][1]["log_z"].get<double>(), std::log(2 * std::numbers::pi * 0.25), 1e-4);
  EXPECT_GE(mean, (json["members"][0]["mean_log_likelihood"].get<double>() +
                   json["members"][1]["mean_log_likelihood"].get<double>()) /
                      2);
  EXPECT_LT(json["mean_log_likelihood_log_z_error"].get<double>(), 1e-4);
  // What each comes to alone is what it has here.
  const Json alone = Json::parse(succeed({"evaluate", "b.safetensors", "x.npy", "--no-baselines"}).out);
  EXPECT_EQ(alone["log_z"], json["members"][1]["log_z"]);
  EXPECT_EQ(alone["mean_log_likelihood"], json["members"][1]["mean_log_likelihood"]);

  const Json scores = Json::parse(succeed({"score", "a.safetensors", "b.safetensors", "x.npy", "--out", "s.npy"}).out);
  EXPECT_EQ(scores["columns"], (Json{"energy", "log_p"}));
  const Matrix s = read_matrix(path("s.npy"));
  for (std::size_t i = 0; i < 3; ++i) {
    const double expected = log_p(static_cast<double>(x(i, 0)), static_cast<double>(x(i, 1)));
    EXPECT_NEAR(static_cast<double>(s(i, 1)), expected, 1e-4);
    EXPECT_NEAR(static_cast<double>(s(i, 0)), -expected, 1e-4);
  }
}

TEST_F(EnsembleCommands, SampleDrawsEveryMemberAsOften) {
  write_two();
  const Json json = Json::parse(succeed({"sample", "a.safetensors", "b.safetensors", "--chains", "40", "--out", "x.npy",
                                         "--langevin-steps", "60", "--sampler", "hmc", "--seed", "3"})
                                    .out);
  EXPECT_EQ(json["n_chains"], 40);
  EXPECT_EQ(json["members"], 2);
  SampleOptions options;
  options.n_chains = 40;
  options.n_steps = 60;
  options.seed = 3;
  const std::vector<Mlp> models{Mlp::load(path("a.safetensors")), Mlp::load(path("b.safetensors"))};
  EXPECT_EQ(read_matrix(path("x.npy")), sample(models, {Hmc{}, Hmc{}}, options, Device::cpu()).x);
}

TEST_F(EnsembleCommands, PlotAndInfoTakeSeveralToo) {
  write_two();
  succeed({"plot", "a.safetensors", "b.safetensors", "--chains", "20", "--langevin-steps", "5", "--out", "p.png"});
  EXPECT_TRUE(exists("p.png"));
  const Json info = Json::parse(succeed({"info", "a.safetensors", "b.safetensors", "--json"}).out);
  ASSERT_EQ(info.size(), 2u);
  EXPECT_EQ(info[1]["file"], "b.safetensors");
  EXPECT_EQ(info[0]["dim"], 2);
}

TEST_F(EnsembleCommands, WhatOneModelAloneCanDoIsSaid) {
  write_two();
  gaussian_model(3).save(path("three.safetensors"));
  write_rows("x.npy", Matrix(2, 2, {0, 1, 1, 0}));
  write_rows("y.npy", Matrix(2, 1));
  const std::string a = "a.safetensors", b = "b.safetensors";
  expect_wrong_request({"evaluate", a, "three.safetensors", "x.npy"}, {"MODEL = three.safetensors", "D = 3", "D = 2"});
  expect_wrong_request({"score", a, b, "x.npy"}, {"MODEL = a.safetensors", "--save-log-z"});
  expect_wrong_request({"sample", a, b, "--fix", "0=x.npy", "--out", "s.npy"}, {"--fix", "one model"});
  expect_wrong_request({"sample", a, b, "--modes", "--out", "s.npy"}, {"--modes", "one model"});
  expect_wrong_request({"evaluate", a, b, "x.npy", "--out-of-distribution", "x.npy"}, {"--out-of-distribution", "one"});
  expect_wrong_request({"plot", "x.npy", "x.npy", "--out", "p.png"}, {"too many"});
}

// Members are the runs of their seeds; a run of several that is stopped goes on with the bits of one that is not.
TEST_F(EnsembleCommands, TrainsMembersBitForBit) {
  write_ring("x.npy");
  const auto train = [&](const std::vector<std::string>& more, const std::string& name, std::uint64_t seed = 5) {
    std::vector<std::string> all{"train", "x.npy"};
    const std::vector<std::pair<std::string, std::string>> options{{"--out", name + ".safetensors"},
                                                                   {"--hidden", "8"},
                                                                   {"--batch-size", "16"},
                                                                   {"--langevin-steps", "2"},
                                                                   {"--steps", "20"},
                                                                   {"--seed", std::to_string(seed)},
                                                                   {"--threads", "1"}};
    for (const auto& [option, value] : options) all.insert(all.end(), {option, value});
    all.insert(all.end(), more.begin(), more.end());
    return succeed(all);
  };
  train({"--members", "2", "--log", "whole.jsonl"}, "whole");
  EXPECT_FALSE(exists("whole.safetensors"));
  EXPECT_TRUE(exists("whole.0.jsonl") && exists("whole.1.jsonl"));
  EXPECT_NE(read("whole.0.safetensors"), read("whole.1.safetensors"));
  train({}, "zero");
  EXPECT_EQ(read("zero.safetensors"), read("whole.0.safetensors"));
  train({}, "one", member_seed(5, 1));
  EXPECT_EQ(read("one.safetensors"), read("whole.1.safetensors"));

  train({"--members", "2", "--checkpoint", "c.safetensors", "--stop-at", "7"}, "parts");
  EXPECT_TRUE(exists("c.0.safetensors") && exists("c.1.safetensors"));
  EXPECT_FALSE(exists("parts.0.safetensors"));
  succeed(
      {"train", "x.npy", "--out", "parts.safetensors", "--members", "2", "--checkpoint", "c.safetensors", "--resume"});
  EXPECT_EQ(read("parts.0.safetensors"), read("whole.0.safetensors"));
  EXPECT_EQ(read("parts.1.safetensors"), read("whole.1.safetensors"));
  expect_wrong_request({"train", "x.npy", "--out", "m.safetensors", "--members", "0"}, {"--members = 0", "1 .. 64"});
}

// One well: one mode. Two, from chains that do not move: two modes, and that they disagree.
TEST_F(EnsembleCommands, SampleReportsModes) {
  gaussian_model(2).save(path("m.safetensors"));
  Json json = Json::parse(succeed({"sample", "m.safetensors", "--chains", "30", "--langevin-steps", "80", "--sampler",
                                   "hmc", "--modes", "--out", "x.npy"})
                              .out);
  EXPECT_EQ(json["modes"]["found"], 1);
  EXPECT_EQ(json["modes"]["modes"][0]["mass"], 1);
  EXPECT_EQ(json["modes"]["transitions"][0][0], 30 * 19);
  EXPECT_TRUE(json["modes"]["disagreement"].is_null());
  EXPECT_NEAR(json["modes"]["modes"][0]["position"][0].get<double>(), 0, 2e-3);

  // E = x^2 / 8 + 12 (tanh(3 x + 6) - tanh(3 x - 6)): a wall of 24 between -2 and 2, and a well on either side.
  MlpShape shape;
  shape.dim = 1;
  shape.hidden = {2};
  shape.activation = Activation::tanh;
  shape.confinement = 0.25f;
  Mlp wells(shape);
  const std::vector<float> parameters{3, 3, 6, -6, 12, -12, 0};
  std::ranges::copy(parameters, wells.parameters().begin());
  wells.save(path("wells.safetensors"));
  const Outcome outcome = succeed({"sample", "wells.safetensors", "--chains", "60", "--langevin-steps", "80",
                                   "--sampler", "mala", "--step-size", "0.001", "--modes", "--out", "x.npy"});
  json = Json::parse(outcome.out);
  EXPECT_GE(json["modes"]["found"].get<int>(), 2);
  EXPECT_FALSE(json["modes"]["disagreement"].is_null());
  EXPECT_NE(outcome.err.find("chains disagree"), std::string::npos);
}

}  // namespace
}  // namespace ebm::test
