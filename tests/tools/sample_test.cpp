#include <algorithm>
#include <cmath>

#include "ebmcuda/dataset.hpp"
#include "ebmcuda/files.hpp"
#include "ebmcuda/sampler.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class Sample : public ProgramTest {
 protected:
  void write_rows(const std::string& name, const Matrix& rows) const { write_matrix(path(name), rows); }
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

// Columns of a table of all, a file of those columns alone, names, and gaps: always the library's chains.
TEST_F(Sample, FixHoldsColumnsOfEveryRow) {
  const Mlp model = write_model();
  const float free = std::nanf("");
  write("rows.csv", "x,y\n0.5,1\n-0.25,2\n0.75,3\n");
  write("first.csv", "0.5\n-0.25\n0.75\n");
  write("gaps.csv", "x,y\n0.5,NA\n,2\n0.75,3\n");
  const auto expect = [&](const std::string& fix, std::vector<float> rows, std::int64_t each) {
    SCOPED_TRACE(fix);
    SampleOptions options;
    options.n_steps = 15;
    options.seed = 4;
    options.fixed = Matrix(3 * static_cast<std::size_t>(each), 2);
    for (std::size_t i = 0; i < options.fixed->rows(); ++i) {
      for (std::size_t d = 0; d < 2; ++d) (*options.fixed)(i, d) = rows[i / static_cast<std::size_t>(each) * 2 + d];
    }
    std::vector<std::string> arguments{"sample", "m.safetensors", "--fix", fix,         "--langevin-steps",
                                       "15",     "--seed",        "4",     "--sampler", "mala",
                                       "--out",  "x.npy"};
    if (each > 1) arguments.insert(arguments.end(), {"--chains", std::to_string(each)});
    const Json json = Json::parse(succeed(arguments).out);
    EXPECT_EQ(json["n_chains"], 3 * each);
    EXPECT_EQ(read_matrix(path("x.npy")), sample(model, Mala{}, options, Device::cpu()).x);
  };
  expect("0=rows.csv", {0.5f, free, -0.25f, free, 0.75f, free}, 1);
  expect("x=rows.csv", {0.5f, free, -0.25f, free, 0.75f, free}, 4);
  expect("0=first.csv", {0.5f, free, -0.25f, free, 0.75f, free}, 1);
  expect("1:=first.csv", {free, 0.5f, free, -0.25f, free, 0.75f}, 2);
  expect("gaps.csv", {0.5f, free, free, 2, 0.75f, 3}, 3);
  expect("y=gaps.csv", {free, free, free, 2, free, 3}, 1);
}

// The chains see whole numbers with noise; the rows come out as they were given.
TEST_F(Sample, FixWithNoise) {
  const Mlp model = write_model();
  write_rows("rows.npy", Matrix(2, 2, {1, std::nanf(""), 2, std::nanf("")}));
  const std::vector<std::string> arguments{"sample",
                                           "m.safetensors",
                                           "--fix",
                                           "rows.npy",
                                           "--chains",
                                           "5",
                                           "--out",
                                           "x.npy",
                                           "--sampler",
                                           "mala",
                                           "--trajectory",
                                           "t.npy",
                                           "--thin",
                                           "2",
                                           "--langevin-steps",
                                           "10",
                                           "--dequantize",
                                           "1"};
  succeed(arguments);
  SampleOptions options;
  options.n_steps = 10;
  options.fixed = Matrix(10, 2);
  for (std::size_t i = 0; i < 10; ++i) {
    (*options.fixed)(i, 0) = i < 5 ? 1 : 2;
    (*options.fixed)(i, 1) = std::nanf("");
  }
  options.fixed = dequantized(*options.fixed, 1, 0);
  const Matrix x = read_matrix(path("x.npy")), expected = sample(model, Mala{}, options, Device::cpu()).x;
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(x(i, 0), i < 5 ? 1 : 2);
    EXPECT_EQ(x(i, 1), expected(i, 1));
  }
  const Matrix trajectory = read_matrix(path("t.npy"));
  for (std::size_t i = 0; i < trajectory.rows(); ++i) EXPECT_EQ(trajectory(i, 0), i % 10 < 5 ? 1 : 2);
}

// Whitening mixes columns: the last one is held exactly all the same, and the others follow the conditional law.
TEST_F(Sample, FixesAnyColumnOfAWhitenedModel) {
  Mlp model = gaussian_model(2);
  const Matrix data(4, 2, {-2, -1, 2, 1, -1, 1, 1, -1});
  model.set_transform(Transform::fit(TransformKind::whiten, data));
  model.save(path("w.safetensors"));  // covariance ((2.5, 0.5), (0.5, 1))
  write_rows("rows.npy", Matrix(1, 2, {std::nanf(""), 2.0f}));
  succeed({"sample", "w.safetensors", "--fix", "rows.npy", "--chains", "4000", "--langevin-steps", "60", "--sampler",
           "hmc", "--step-size", "0.4", "--out", "x.npy"});
  const Matrix x = read_matrix(path("x.npy"));
  double mean = 0, square = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    ASSERT_EQ(x(i, 1), 2.0f);
    mean += static_cast<double>(x(i, 0)) / 4000;
    square += static_cast<double>(x(i, 0)) * static_cast<double>(x(i, 0)) / 4000;
  }
  // 5 standard errors; rejects the marginal (0, 2.5), and columns that changed places (0.4, 0.9).
  EXPECT_NEAR(mean, 1.0, 5 * std::sqrt(2.25 / 4000));
  EXPECT_NEAR(square - mean * mean, 2.25, 5 * 2.25 * std::sqrt(2.0 / 4000));
}

TEST_F(Sample, WrongFixesAreNamed) {
  write_model();
  write_rows("rows.npy", Matrix(2, 2, {1, 2, 3, 4}));
  write_rows("three.npy", Matrix(2, 3));
  write_rows("nothing.npy", Matrix(1, 2, {std::nanf(""), std::nanf("")}));
  write_rows("infinite.npy", Matrix(1, 2, {HUGE_VALF, 1}));
  const auto refused = [&](const std::vector<std::string>& more, const std::vector<std::string>& parts) {
    std::vector<std::string> arguments{"sample", "m.safetensors", "--out", "x.npy"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_wrong_request(arguments, parts);
  };
  refused({"--fix", "2=rows.npy"}, {"--fix = 2=rows.npy", "columns 0 .. 1"});
  refused({"--fix", "z=rows.npy"}, {"--fix = z=rows.npy", "z"});
  refused({"--fix", "=rows.npy"}, {"--fix = =rows.npy", "COLUMNS=FILE"});
  refused({"--fix", "three.npy"}, {"--fix = three.npy", "has 3 columns", "the model's 2"});
  refused({"--fix", "0=three.npy"}, {"--fix = 0=three.npy", "has 3 columns", "the 1 that are fixed"});
  refused({"--fix", "nothing.npy"}, {"--fix = nothing.npy", "holds no value"});
  refused({"--fix", "infinite.npy"}, {"--fix = infinite.npy", "row 0, column 0"});
  refused({"--fix", "0=none.npy"}, {"none.npy"});
  refused({"--fix", "0=rows.npy", "--chains", "0"}, {"--chains = 0", "each row"});
  refused({"--dequantize", "1"}, {"--dequantize = 1", "--fix"});
  refused({"--fix", "0=rows.npy", "--clamp", "-1,1", "--sampler", "mala"}, {"--fix", "row 1, column 0", "clamp"});
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
