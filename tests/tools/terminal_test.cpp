// The progress bar: on a terminal only, thrifty, and silent when asked to be.
#include <algorithm>

#include "tools/program.hpp"

namespace ebm::test {
namespace {

class Terminal : public ProgramTest {
 protected:
  Terminal() { write_ring("x.npy"); }
  const std::vector<std::string> train_{"train",
                                        "x.npy",
                                        "--out",
                                        "m.safetensors",
                                        "--hidden",
                                        "8",
                                        "--steps",
                                        "400",
                                        "--threads",
                                        "1",
                                        "--langevin-steps",
                                        "2",
                                        "--batch-size",
                                        "16"};
};

TEST_F(Terminal, ShowsABarThatEndsFull) {
  const Outcome outcome = run_on_terminal(train_);
  EXPECT_EQ(outcome.status, 0);
  EXPECT_NE(outcome.err.find("train [\x1b[36m========================\x1b[0m] 400/400"), std::string::npos)
      << outcome.err;
  // Redrawn in place, and seldom: not once for each of the 400 iterations.
  const auto drawn = std::count(outcome.err.begin(), outcome.err.end(), '\r');
  EXPECT_LT(drawn, 400);
  for (std::size_t at = 0; (at = outcome.err.find("\r", at)) != std::string::npos; ++at) {
    const std::string line = outcome.err.substr(at + 1, outcome.err.find_first_of("\r\n", at + 1) - at - 1);
    EXPECT_LE(line.size(), 100u + 12) << "wider than the terminal (100 columns and the colour codes): " << line;
  }
}

TEST_F(Terminal, RespectsNoColorAndQuiet) {
  const Outcome plain = run_on_terminal(train_, {"NO_COLOR=1"});
  EXPECT_NE(plain.err.find("400/400"), std::string::npos);
  EXPECT_EQ(plain.err.find('\x1b'), std::string::npos) << plain.err;
  EXPECT_EQ(run_on_terminal(train_, {"TERM=dumb"}).err.find('\x1b'), std::string::npos);
  auto quiet = train_;
  quiet.push_back("--quiet");
  EXPECT_EQ(run_on_terminal(quiet).err, "");
}

TEST_F(Terminal, IsLeftAloneWhenStderrIsAFile) {
  const Outcome outcome = succeed(train_);
  EXPECT_EQ(outcome.err.find('\r'), std::string::npos);
  EXPECT_EQ(outcome.err.find("["), std::string::npos) << outcome.err;
}

TEST_F(Terminal, SampleAndEvaluateShowOneToo) {
  gaussian_model(3).save(path("g.safetensors"));
  const Outcome sampled =
      run_on_terminal({"sample", "g.safetensors", "--chains", "50", "--langevin-steps", "200", "--out", "s.npy"});
  EXPECT_NE(sampled.err.find("200/200"), std::string::npos) << sampled.err;
  const Outcome evaluated = run_on_terminal(
      {"evaluate", "g.safetensors", "s.npy", "--ais-temperatures", "50", "--ais-chains", "64", "--no-baselines"});
  EXPECT_NE(evaluated.err.find("50/50"), std::string::npos) << evaluated.err;
}

}  // namespace
}  // namespace ebm::test
