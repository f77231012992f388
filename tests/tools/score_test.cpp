#include <cmath>
#include <numbers>

#include "ebmcuda/files.hpp"
#include "ebmcuda/known_log_z.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class Score : public ProgramTest {
 protected:
  // E = x^2 / 2, log Z = log(2 pi) / 2. Held-out energies 0.005 k^2, k = 1 .. 19.
  Score() {
    gaussian_model(1).save(path("m.safetensors"));
    write("x.csv", "0,0\n1,0\n-3,1\n0.5,1\n");
    std::string held_out;
    for (int k = 1; k <= 19; ++k) held_out += std::to_string(0.1 * k) + ",0\n";
    write("v.csv", held_out);
  }
  Matrix table(const std::string& name) const { return read_matrix(path(name)); }
};

TEST_F(Score, GivesEnergiesAndSaysThatLogZIsNotKnown) {
  const Outcome outcome = succeed({"score", "m.safetensors", "x.csv", "--columns", "0"});
  EXPECT_EQ(outcome.out, "0\n0.5\n4.5\n0.125\n");
  EXPECT_NE(outcome.err.find("--save-log-z"), std::string::npos) << outcome.err;
}

TEST_F(Score, LogPIsExactOnceEvaluateHasSavedLogZ) {
  const std::string before = read("m.safetensors");
  const Json judged = Json::parse(
      succeed({"evaluate", "m.safetensors", "x.csv", "--columns", "0", "--no-baselines", "--save-log-z"}).out);
  EXPECT_NE(read("m.safetensors"), before);
  const Json json = Json::parse(succeed({"score", "m.safetensors", "x.csv", "--columns", "0", "--out", "s.npy"}).out);
  EXPECT_EQ(json["columns"], Json({"energy", "log_p"}));
  EXPECT_EQ(json["log_z"], judged["log_z"]);
  EXPECT_EQ(json["log_z_stderr"], judged["log_z_stderr"]);
  const Matrix s = table("s.npy");
  ASSERT_EQ(s.cols(), 2u);
  const double log_z = 0.5 * std::log(2 * std::numbers::pi);
  for (std::size_t i = 0; i < s.rows(); ++i) {
    EXPECT_NEAR(static_cast<double>(s(i, 1)), -static_cast<double>(s(i, 0)) - log_z, 1e-5) << i;
  }
  // What was saved goes along, and the model is the same otherwise.
  succeed({"export", "m.safetensors", "--out", "copy.safetensors"});
  const Mlp copy = Mlp::load(path("copy.safetensors"));
  EXPECT_TRUE(noted_log_z(copy).has_value());
  EXPECT_EQ(noted_log_z(copy)->method, "quadrature");
}

TEST_F(Score, ALogZOfAnotherModelIsNotUsed) {
  succeed({"evaluate", "m.safetensors", "x.csv", "--columns", "0", "--no-baselines", "--save-log-z"});
  Mlp model = Mlp::load(path("m.safetensors"));
  model.parameters()[0] = 0.25f;
  model.save(path("m.safetensors"));
  const Outcome outcome = succeed({"score", "m.safetensors", "x.csv", "--columns", "0", "--out", "s.csv"});
  EXPECT_TRUE(Json::parse(outcome.out)["log_z"].is_null());
  EXPECT_NE(outcome.err.find("of another model"), std::string::npos) << outcome.err;
}

TEST_F(Score, ARefusedLogZIsNotSaved) {
  gaussian_model(1, 0.0f).save(path("flat.safetensors"));
  const std::string before = read("flat.safetensors");
  EXPECT_EQ(run({"evaluate", "flat.safetensors", "v.csv", "--columns", "0", "--no-baselines", "--save-log-z"}).status,
            1);
  EXPECT_EQ(read("flat.safetensors"), before);
}

TEST_F(Score, PercentilesAndThresholdComeFromHeldOutRows) {
  const Json json = Json::parse(succeed({"score", "m.safetensors", "x.csv", "--columns", "0", "--held-out", "v.csv",
                                         "--false-alarm-rate", "0.05", "--out", "s.csv"})
                                    .out);
  EXPECT_EQ(json["columns"], Json({"energy", "percentile", "anomaly"}));
  EXPECT_EQ(json["held_out"]["n"], 19);
  // ceil(0.95 * 20) = 19: the largest of the 19.
  EXPECT_NEAR(json["held_out"]["threshold"].get<double>(), 0.5 * 1.9 * 1.9, 1e-6);
  EXPECT_EQ(json["held_out"]["anomalies"], 1);
  const Matrix s = table("s.csv");
  EXPECT_EQ(s(0, 1), 0.0f);
  EXPECT_NEAR(static_cast<double>(s(1, 1)), 100 * 9.5 / 19, 1e-4);  // 1.0 is the tenth
  EXPECT_EQ(s(2, 1), 100.0f);
  EXPECT_EQ(s(0, 2), 0.0f);
  EXPECT_EQ(s(2, 2), 1.0f);
}

TEST_F(Score, LabelsGiveAurocAndAPicture) {
  const Outcome outcome = succeed({"score", "m.safetensors", "x.csv", "--label-column", "1", "--held-out", "v.csv",
                                   "--out", "s.csv", "--picture", "roc.png"});
  const Json detection = Json::parse(outcome.out)["detection"];
  EXPECT_EQ(detection["normal"], 2);
  EXPECT_EQ(detection["anomalies"], 2);
  EXPECT_EQ(detection["auroc"], 0.75);  // energies 0 and 0.5 against 4.5 and 0.125
  EXPECT_EQ(detection["false_alarm_rate"], 0.0);
  EXPECT_EQ(detection["detection_rate"], 0.5);
  EXPECT_TRUE(read("roc.png").starts_with("\x89PNG"));
}

TEST_F(Score, OutsideTheModelsBoxEverythingIsAnAnomaly) {
  Mlp model = gaussian_model(1);
  model.notes()["sampler"] = "mala";
  model.notes()["step_size"] = "0.1";
  model.notes()["clamp"] = "-2,2";
  model.save(path("boxed.safetensors"));
  succeed({"evaluate", "boxed.safetensors", "v.csv", "--columns", "0", "--no-baselines", "--save-log-z"});
  const Outcome outcome =
      succeed({"score", "boxed.safetensors", "x.csv", "--columns", "0", "--held-out", "v.csv", "--out", "s.npy"});
  const Matrix s = table("s.npy");
  EXPECT_TRUE(std::isinf(s(2, 0)));
  EXPECT_TRUE(std::isinf(s(2, 1)) && s(2, 1) < 0);
  EXPECT_EQ(s(2, 3), 1.0f);
  // p is normalised in the box.
  EXPECT_NEAR(static_cast<double>(s(0, 1)),
              -std::log(std::sqrt(2 * std::numbers::pi) * std::erf(2 / std::numbers::sqrt2)), 1e-5);
}

TEST_F(Score, DequantizationFollowsTheSeed) {
  const auto scores = [&](const char* seed) {
    return succeed({"score", "m.safetensors", "x.csv", "--columns", "0", "--dequantize", "1", "--seed", seed}).out;
  };
  EXPECT_EQ(scores("1"), scores("1"));
  EXPECT_NE(scores("1"), scores("2"));
}

TEST_F(Score, WrongRequests) {
  const std::vector<std::string> base = {"score", "m.safetensors", "x.csv", "--columns", "0", "--out", "s.csv"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return more;
  };
  expect_wrong_request(with({"--false-alarm-rate", "0.1"}), {"--false-alarm-rate = 0.1", "--held-out"});
  for (const char* rate : {"0", "1", "-1", "nan", "x"}) {
    expect_wrong_request(with({"--held-out", "v.csv", "--false-alarm-rate", rate}), {"--false-alarm-rate"});
  }
  expect_wrong_request(with({"--held-out", "v.csv", "--false-alarm-rate", "0.01"}),
                       {"--false-alarm-rate = 0.01", "99 held-out points or more", "19"});
  expect_wrong_request(with({"--picture", "p.png"}), {"--picture", "--labels"});
  expect_wrong_request(with({"--picture", "p.jpg"}), {"--picture", ".png"});
  expect_wrong_request(with({"--held-out", "s.csv"}), {"s.csv"});
  write("y.csv", "0\n2\n1\n0\n");
  expect_wrong_request(with({"--labels", "y.csv"}), {"labels = 2", "0 (normal) or 1 (anomaly)"});
  write("y.csv", "1\n1\n1\n1\n");
  expect_wrong_request(with({"--labels", "y.csv"}), {"labels", "both"});
  expect_wrong_request({"evaluate", "m.safetensors", "x.csv", "--columns", "0", "--save-log-z", "--clamp", "-1,1"},
                       {"--clamp", "--save-log-z"});
  succeed({"train", "v.csv", "--columns", "0", "--out", "t.safetensors", "--checkpoint", "c", "--steps", "2",
           "--hidden", "4", "--langevin-steps", "1", "--batch-size", "4", "--buffer-size", "8", "-q"});
  expect_wrong_request({"evaluate", "c", "x.csv", "--columns", "0", "--save-log-z"},
                       {"--save-log-z = c", "checkpoint", "ebm export"});
}

}  // namespace
}  // namespace ebm::test
