#include <algorithm>

#include "ebmcuda/files.hpp"
#include "ebmcuda/sampler.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class Sample : public ProgramTest {
 protected:
  Mlp write_model(const std::map<std::string, std::string>& notes = {}) const {
    MlpShape shape;
    shape.dim = 2;
    shape.hidden = {8, 8};
    shape.confinement = 0.5f;
    Mlp model = Mlp::random(shape, 2);
    model.notes() = notes;
    model.save(path("m.safetensors"));
    return model;
  }
};

TEST_F(Sample, IsTheLibrarysSampleWithEveryOption) {
  const Mlp model = write_model();
  const Outcome outcome =
      succeed({"sample",    "m.safetensors", "--out",       "x.npy", "--chains",      "20",  "--langevin-steps", "15",
               "--sampler", "langevin",      "--step-size", "0.02",  "--noise-scale", "0.1", "--grad-clip",      "0.5",
               "--clamp",   "-1,1.5",        "--seed",      "9",     "--first-chain", "5",   "--first-step",     "7",
               "--energy",  "e.npy",         "--threads",   "1"});
  LangevinDynamics langevin{.step_size = 0.02f, .noise_scale = 0.1f, .grad_clip = 0.5f, .clamp = Box{{-1}, {1.5f}}};
  SampleOptions options;
  options.n_chains = 20;
  options.n_steps = 15;
  options.seed = 9;
  options.first_chain = 5;
  options.first_step = 7;
  const SampleResult expected = sample(model, langevin, options, Device::cpu());
  EXPECT_EQ(read_matrix(path("x.npy")), expected.x);
  const Matrix written = read_matrix(path("e.npy"));
  EXPECT_TRUE(std::ranges::equal(written.values(), expected.energy));
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["n_chains"], 20);
  EXPECT_EQ(json["n_steps"], 15);
  EXPECT_EQ(json["sampler"], "langevin");
  EXPECT_NEAR(json["temperature"].get<double>(), 0.01 / 0.04, 1e-6);
  EXPECT_EQ(json["restarts"], 0);
  EXPECT_FALSE(json.contains("acceptance")) << "langevin accepts every step";
}

TEST_F(Sample, FollowsTheModelsNotesAndOptionsOverrideThem) {
  write_model({{"sampler", "langevin"}, {"step_size", "0.03"}, {"noise_scale", "0.05"}});
  const auto summary = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"sample", "m.safetensors",    "--out", "x.npy", "--chains",
                                       "4",      "--langevin-steps", "3"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Json::parse(succeed(arguments).out);
  };
  Json json = summary({});
  EXPECT_EQ(json["sampler"], "langevin");
  EXPECT_FLOAT_EQ(json["step_size"].get<float>(), 0.03f);
  EXPECT_FLOAT_EQ(json["noise_scale"].get<float>(), 0.05f);
  // The noise was noted for that step; with another one the temperature is 1 again.
  json = summary({"--step-size", "0.08"});
  EXPECT_FLOAT_EQ(json["noise_scale"].get<float>(), 0.4f);
  json = summary({"--sampler", "mala", "--jump-prob", "0.25"});
  EXPECT_EQ(json["sampler"], "mala");
  EXPECT_EQ(json["jump_prob"], 0.25);
  EXPECT_GT(json["acceptance"].get<double>(), 0.0);
  write_model();
  EXPECT_EQ(summary({})["sampler"], "mala");
  EXPECT_EQ(summary({"--noise-scale", "0.1"})["sampler"], "langevin") << "only langevin has a noise scale";
}

TEST_F(Sample, GoesOnFromAnEarlierEndWithTheSameBits) {
  write_model();
  const std::vector<std::string> base{"sample", "m.safetensors", "--sampler", "mala", "--step-size", "0.1", "--chains"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> all = base;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  succeed(with({"16", "--langevin-steps", "30", "--out", "whole.npy"}));
  succeed(with({"16", "--langevin-steps", "12", "--out", "half.npy"}));
  succeed(with({"16", "--langevin-steps", "18", "--init", "half.npy", "--first-step", "12", "--out", "rest.npy"}));
  EXPECT_EQ(read("whole.npy"), read("rest.npy"));
  EXPECT_NE(read("whole.npy"), read("half.npy"));
  // And chains 8 .. 15 alone are the second half of all sixteen.
  succeed(with({"8", "--first-chain", "8", "--langevin-steps", "30", "--out", "last.npy"}));
  const Matrix last = read_matrix(path("last.npy")), whole = read_matrix(path("whole.npy"));
  EXPECT_TRUE(std::ranges::equal(last.values(), whole.view().slice(8, 16).values()));
}

TEST_F(Sample, TrajectoryStacksKeptStepsAndReportsDiagnostics) {
  write_model();
  const Outcome outcome = succeed({"sample", "m.safetensors", "--chains", "6", "--langevin-steps", "40", "--thin", "10",
                                   "--trajectory", "t.npy", "--out", "x.npy"});
  const Matrix trajectory = read_matrix(path("t.npy")), last = read_matrix(path("x.npy"));
  ASSERT_EQ(trajectory.rows(), 24u);
  EXPECT_TRUE(std::ranges::equal(trajectory.view().slice(18, 24).values(), last.values()));
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["kept_steps"], 4);
  EXPECT_EQ(json["effective_sample_size"].size(), 2u);
  EXPECT_EQ(json["split_rhat"].size(), 2u);
}

TEST_F(Sample, WithoutOutRowsGoToStdoutAndTheSummaryToStderr) {
  write_model();
  const Outcome outcome = succeed({"sample", "m.safetensors", "--chains", "5", "--langevin-steps", "4"});
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 5);
  EXPECT_NE(outcome.err.find("\"n_chains\": 5"), std::string::npos);
  EXPECT_EQ(succeed({"sample", "m.safetensors", "--chains", "5", "--langevin-steps", "4", "-q"}).err, "");
}

TEST_F(Sample, ZeroStepsGiveTheUniformStart) {
  const Mlp model = write_model();
  succeed({"sample", "m.safetensors", "--chains", "9", "--langevin-steps", "0", "--seed", "3", "--init", "uniform",
           "--out", "x.npy", "--precision", "fp32"});
  EXPECT_EQ(read_matrix(path("x.npy")), uniform_start(model, 9, 3));
}

TEST_F(Sample, WarnsWhenNothingConfinesTheChains) {
  gaussian_model(2, 0.0f).save(path("flat.safetensors"));
  const std::vector<std::string> arguments{
      "sample", "flat.safetensors", "--chains", "2", "--langevin-steps", "1", "--out", "x.npy"};
  EXPECT_NE(succeed(arguments).err.find("warning: confinement 0"), std::string::npos);
  auto boxed = arguments;
  boxed.insert(boxed.end(), {"--clamp", "-4,4"});
  EXPECT_EQ(succeed(boxed).err.find("warning"), std::string::npos);
}

}  // namespace
}  // namespace ebm::test
