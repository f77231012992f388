// ebm train --held-out: the log, what is said and saved, resumed runs, wrong requests.
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class HeldOutOption : public ProgramTest {
 protected:
  HeldOutOption() {
    write_ring("x.npy");
    write_ring("v.npy", 60);
  }
  static std::vector<std::string> train(std::vector<std::string> more) {
    std::vector<std::string> all{
        "train", "x.npy",        "--out", "m.safetensors",    "--hidden", "8,8",         "--steps",
        "40",    "--batch-size", "16",    "--langevin-steps", "3",        "--log-every", "5",
        "--log", "l.jsonl"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

TEST_F(HeldOutOption, LogHasTheGapAndTheLikelihoodOfTheChecks) {
  const Outcome outcome = succeed(train({"--held-out", "v.npy"}));
  EXPECT_NE(outcome.err.find("held-out log-likelihood"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("the best state is saved"), std::string::npos) << outcome.err;
  const auto log = read_log("l.jsonl");
  ASSERT_EQ(log.size(), 8u);
  double best = -1e9;
  std::int64_t iteration = 0;
  for (const Json& line : log) {
    EXPECT_TRUE(line["held_out_energy_gap"].is_number());
    ASSERT_TRUE(line["held_out_log_likelihood"].is_number()) << "ten checks asked for, eight lines";
    if (line["held_out_log_likelihood"].get<double>() <= best) continue;
    best = line["held_out_log_likelihood"].get<double>();
    iteration = line["iteration"].get<std::int64_t>();
  }
  EXPECT_EQ(Mlp::load(path("m.safetensors")).notes().at("iterations"), std::to_string(iteration));
  succeed(train({}));
  EXPECT_FALSE(read_log("l.jsonl").front().contains("held_out_energy_gap"));
}

TEST_F(HeldOutOption, AShareIsTakenOutOfTheData) {
  const Outcome outcome = succeed(train({"--held-out-share", "0.25"}));
  EXPECT_NE(outcome.err.find("data 150 x 2"), std::string::npos) << outcome.err;
  const std::string whole = read("m.safetensors");
  // The same rows on resuming, the seed left out or not, and the same bits.
  const std::vector<std::string> checkpoint{"--held-out-share", "0.25", "--checkpoint", "c.safetensors"};
  auto first = checkpoint, rest = checkpoint;
  first.insert(first.end(), {"--stop-at", "23"});
  rest.push_back("--resume");
  succeed(train(first));
  succeed(train(rest));
  EXPECT_EQ(read("m.safetensors"), whole);
}

TEST_F(HeldOutOption, KeepLastAndPatienceReachTheRun) {
  succeed(train({"--held-out", "v.npy", "--keep", "last"}));
  EXPECT_EQ(Mlp::load(path("m.safetensors")).notes().at("iterations"), "40");
  // A rate that ruins the model: the first state stays the best, and the run ends there.
  const Outcome outcome = succeed(train({"--held-out", "v.npy", "--learning-rate", "0.3", "--patience", "2"}));
  EXPECT_NE(outcome.err.find("out of patience"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("overfitting"), std::string::npos) << outcome.err;
  EXPECT_LT(read_log("l.jsonl").back()["iteration"].get<int>(), 40);
}

TEST_F(HeldOutOption, WrongRequests) {
  write_ring("other.npy", 70);
  write("wide.csv", "1,2,3\n4,5,6\n");
  expect_wrong_request(train({"--held-out", "v.npy", "--held-out-share", "0.1"}), {"--held-out-share", "--held-out"});
  expect_wrong_request(train({"--held-out-share", "1"}), {"--held-out-share", "(0, 1)"});
  expect_wrong_request(train({"--held-out-share", "0.001"}), {"--held-out-share", "200 rows"});
  expect_wrong_request(train({"--held-out", "wide.csv"}), {"--held-out (wide.csv)", "2 values"});
  expect_wrong_request(train({"--keep", "last"}), {"--keep", "--held-out"});
  expect_wrong_request(train({"--patience", "2"}), {"--patience", "--held-out"});
  expect_wrong_request(train({"--held-out", "v.npy", "--keep", "first"}), {"--keep", "best last"});
  expect_wrong_request(train({"--held-out", "v.npy", "--patience", "-1"}), {"--patience", ">= 0"});
  expect_wrong_request({"train", "x.npy", "--held-out", "v.npy", "--out", "v.npy"}, {"--out"});
  succeed(train({"--held-out", "v.npy", "--checkpoint", "c.safetensors", "--stop-at", "10"}));
  expect_wrong_request(train({"--checkpoint", "c.safetensors", "--resume"}), {"held"});
  expect_wrong_request(train({"--checkpoint", "c.safetensors", "--resume", "--held-out", "other.npy"}), {"held"});
}

}  // namespace
}  // namespace ebm::test
