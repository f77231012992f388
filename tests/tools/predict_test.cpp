#include <cmath>

#include "ebmcuda/files.hpp"
#include "tests/evaluation/closed_forms.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

// Two Gaussians at +-1 with equal weights: p(y = 0 | x) is the sigmoid of 2 x.
class Predict : public ProgramTest {
 protected:
  Predict() {
    gaussian_mixture(Matrix(2, 1, {1, -1}), {0, 0}, 1).save(path("jem.safetensors"));
    write("x.csv", "1\n-0.5\n0.25\n-2\n");
    write("y.csv", "0\n1\n1\n1\n");
  }
  static double p0(double x) { return 1 / (1 + std::exp(-2 * x)); }
};

TEST_F(Predict, IsBayesRule) {
  const Json json =
      Json::parse(succeed({"predict", "jem.safetensors", "x.csv", "--out", "p.npy", "--labels-out", "l.npy"}).out);
  EXPECT_EQ(json["classes"], 2);
  EXPECT_EQ(json["rows_of_class"], Json({2, 2}));
  EXPECT_EQ(read_labels(path("l.npy")), (std::vector<int>{0, 1, 0, 1}));
  const Matrix p = read_matrix(path("p.npy"));
  const double xs[] = {1, -0.5, 0.25, -2};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(static_cast<double>(p(i, 0)), p0(xs[i]), 1e-6) << i;
    EXPECT_NEAR(static_cast<double>(p(i, 0) + p(i, 1)), 1, 1e-6) << i;
  }
}

TEST_F(Predict, WithoutAFileGivesLabelAndProbabilitiesALine) {
  const std::string out = succeed({"predict", "jem.safetensors", "x.csv", "-q"}).out;
  EXPECT_TRUE(out.starts_with("0,0.88")) << out;
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 4);
}

TEST_F(Predict, NamesTheClassesThatTrainingNumbered) {
  Mlp model = Mlp::load(path("jem.safetensors"));
  model.notes()["classes"] = R"(["cat","dog"])";
  model.save(path("named.safetensors"));
  EXPECT_EQ(Json::parse(succeed({"predict", "named.safetensors", "x.csv", "--out", "p.csv"}).out)["class_names"],
            Json({"cat", "dog"}));
}

TEST_F(Predict, WrongRequests) {
  gaussian_model(1).save(path("m.safetensors"));
  expect_wrong_request({"predict", "m.safetensors", "x.csv", "--out", "p.npy"}, {"m.safetensors", "scalar head"});
  expect_wrong_request({"predict", "jem.safetensors", "y.csv", "--out", "p.txt"}, {"--out", ".npy or .csv"});
  write("wide.csv", "1,2\n");
  expect_wrong_request({"predict", "jem.safetensors", "wide.csv", "--out", "p.npy"}, {"1 x 2", "D = 1"});
  expect_wrong_request({"predict", "jem.safetensors", "x.csv", "--labels-out", "x.csv"}, {"--labels-out"});
}

// At T = 2 the odds are the root of what they were.
TEST_F(Predict, AtATemperature) {
  succeed({"predict", "jem.safetensors", "x.csv", "--temperature", "2", "--out", "p.npy"});
  const Matrix p = read_matrix(path("p.npy"));
  const double xs[] = {1, -0.5, 0.25, -2};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(static_cast<double>(p(i, 0)), p0(xs[i] / 2), 1e-6) << i;
  expect_wrong_request({"predict", "jem.safetensors", "x.csv", "--temperature", "0", "--out", "q.npy"},
                       {"--temperature = 0", "> 0"});
}

// Labels that are right less often than p says: the temperature of held-out rows is above 1, and lowers the
// cross-entropy.
TEST_F(Predict, EvaluateFitsATemperature) {
  std::string x, y, both;
  for (int i = 0; i < 200; ++i) {
    const double v = (i % 20 - 9.5) / 4;
    const int right = v > 0 ? 0 : 1, label = i % 7 == 0 ? 1 - right : right;
    x += std::to_string(v) + "\n";
    y += std::to_string(label) + "\n";
    both += std::to_string(v) + "," + std::to_string(label) + "\n";
  }
  write("hx.csv", x);
  write("hy.csv", y);
  write("both.csv", both);
  const auto classification = [&](std::vector<std::string> more) {
    std::vector<std::string> all{"evaluate", "jem.safetensors"};
    all.insert(all.end(), more.begin(), more.end());
    all.push_back("--no-baselines");
    return Json::parse(succeed(all).out)["classification"];
  };
  const Json json =
      classification({"hx.csv", "--labels", "hy.csv", "--calibrate", "hx.csv", "--calibrate-labels", "hy.csv"});
  const Json& scaled = json["temperature_scaled"];
  EXPECT_GT(scaled["temperature"].get<double>(), 1.2);
  EXPECT_EQ(scaled["fitted_on"], 200);
  EXPECT_LT(scaled["cross_entropy"].get<double>(), json["cross_entropy"].get<double>());
  EXPECT_EQ(scaled["accuracy"], json["accuracy"]);
  EXPECT_EQ(classification({"both.csv", "--label-column", "1", "--calibrate", "both.csv"})["temperature_scaled"],
            scaled);
  expect_wrong_request({"evaluate", "jem.safetensors", "x.csv", "--calibrate", "hx.csv"}, {"--calibrate", "labels"});
  expect_wrong_request({"evaluate", "jem.safetensors", "x.csv", "--labels", "y.csv", "--calibrate-labels", "hy.csv"},
                       {"--calibrate-labels", "needs --calibrate"});
}

TEST_F(Predict, EvaluateJudgesTheProbabilities) {
  const Json json = Json::parse(
      succeed({"evaluate", "jem.safetensors", "x.csv", "--labels", "y.csv", "--no-baselines"}).out)["classification"];
  EXPECT_EQ(json["accuracy"], 0.75);
  const double p[] = {p0(1), 1 - p0(-0.5), 1 - p0(0.25), 1 - p0(-2)};
  double nll = 0, brier = 0;
  for (const double v : p) {
    nll -= std::log(v) / 4;
    brier += 2 * (1 - v) * (1 - v) / 4;
  }
  EXPECT_NEAR(json["cross_entropy"].get<double>(), nll, 1e-6);
  EXPECT_NEAR(json["brier"].get<double>(), brier, 1e-6);
  for (const char* name : {"accuracy", "cross_entropy", "brier", "calibration_error"}) {
    const Json& interval = json[std::string(name) + "_interval"];
    EXPECT_LE(interval[0], json[name]) << name;
    EXPECT_GE(interval[1], json[name]) << name;
  }
}

TEST_F(Predict, EvaluateTellsPointsOfAnotherKindApart) {
  write("other.csv", "9\n-9\n0\n");
  const Json json = Json::parse(
      succeed({"evaluate", "jem.safetensors", "x.csv", "--no-baselines", "--out-of-distribution", "other.csv"})
          .out)["out_of_distribution"];
  EXPECT_EQ(json["n"], 3);
  // The far points lie above all four energies; 0 is where the density is highest.
  EXPECT_NEAR(json["auroc_energy"].get<double>(), (4 + 4 + 0) / 12.0, 1e-9);
  // Far from both centres the classifier is certain: by confidence they look more normal than any.
  EXPECT_NEAR(json["auroc_max_probability"].get<double>(), 4 / 12.0, 1e-9);
  const Json scalar = [&] {
    gaussian_model(1).save(path("m.safetensors"));
    return Json::parse(
        succeed({"evaluate", "m.safetensors", "x.csv", "--no-baselines", "--out-of-distribution", "other.csv"})
            .out)["out_of_distribution"];
  }();
  EXPECT_FALSE(scalar.contains("auroc_max_probability"));
  expect_wrong_request({"evaluate", "jem.safetensors", "x.csv", "--out-of-distribution", "missing.csv"},
                       {"missing.csv"});
}

TEST_F(Predict, ReliabilityIsDrawn) {
  succeed({"plot", "jem.safetensors", "--reliability", "--data", "x.csv", "--labels", "y.csv", "--out", "r.png"});
  EXPECT_TRUE(read("r.png").starts_with("\x89PNG"));
  expect_wrong_request({"plot", "jem.safetensors", "--reliability", "--out", "q.png"}, {"--reliability", "--labels"});
  expect_wrong_request({"plot", "x.csv", "--reliability", "--out", "q.png"}, {"--reliability", "no model"});
  expect_wrong_request({"plot", "jem.safetensors", "--labels", "y.csv", "--out", "q.png"},
                       {"--labels", "--reliability"});
  gaussian_model(1).save(path("m.safetensors"));
  expect_wrong_request(
      {"plot", "m.safetensors", "--reliability", "--data", "x.csv", "--labels", "y.csv", "--out", "q.png"},
      {"--reliability", "scalar head"});
}

}  // namespace
}  // namespace ebm::test
