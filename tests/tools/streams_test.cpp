// Messages that can't be written are dropped, and work goes on and is saved; data that can't be written is exit 1.
#include "ebmcuda/files.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class Streams : public ProgramTest {
 protected:
  Streams() {
    write_ring("x.npy");
    gaussian_model(2).save(path("g.safetensors"));
  }
  static constexpr const char* kTrain =
      R"("$0" train x.npy --out m.safetensors --log l.jsonl --checkpoint c --hidden 8 --steps 60 --threads 1 )";
};

TEST_F(Streams, TrainingOutlivesItsMessages) {
  succeed({"train", "x.npy", "--out", "right.safetensors", "--hidden", "8", "--steps", "60", "--threads", "1"});
  for (const std::string lost : {"2>/dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>&1 | true"}) {
    SCOPED_TRACE(lost);
    for (const char* name : {"m.safetensors", "l.jsonl", "c"}) fs::remove(path(name));
    EXPECT_EQ(run_script(kTrain + lost).status, 0);
    EXPECT_EQ(read("m.safetensors"), read("right.safetensors"));
    EXPECT_EQ(read_log("l.jsonl").size(), 2u);  // 50 and 60: and no message among the lines
    EXPECT_TRUE(exists("c"));
  }
}

TEST_F(Streams, RefusalsKeepTheirStatusWithoutAVoice) {
  EXPECT_EQ(run_script(R"("$0" train x.npy --out m --steps 0 2>/dev/full)").status, 2);
  EXPECT_EQ(run_script(R"("$0" train x.npy --out m --steps 0 2>&-)").status, 2);
  EXPECT_EQ(run_script(R"("$0" fly 2>/dev/full)").status, 2);
}

TEST_F(Streams, FilesAreWrittenWhenOnlyMessagesAreLost) {
  EXPECT_EQ(run_script(R"("$0" data rings --n 9 --out d.npy >/dev/full 2>/dev/full)").status, 0);
  EXPECT_EQ(read_matrix(path("d.npy")).rows(), 9u);
  EXPECT_EQ(run_script(R"("$0" energy g.safetensors x.npy --out e.npy >&- 2>&-)").status, 0);
  EXPECT_EQ(read_matrix(path("e.npy")).rows(), 200u);
  EXPECT_EQ(run_script(R"("$0" plot x.npy --out p.png >&- 2>&-)").status, 0);
  EXPECT_TRUE(exists("p.png"));
}

TEST_F(Streams, DataThatCanNotBeWrittenIsAnError) {
  for (const std::string command :
       {"data rings --n 9", "energy g.safetensors x.npy", "sample g.safetensors --chains 4 --langevin-steps 2",
        "evaluate g.safetensors x.npy --no-baselines", "info", "info g.safetensors", "info g.safetensors --json",
        "--help", "train --help", "--version"}) {
    SCOPED_TRACE(command);
    const Outcome full = run_script(R"("$0" )" + command + " >/dev/full");
    EXPECT_EQ(full.status, 1);
    EXPECT_NE(full.err.find("standard output: could not be written: No space left"), std::string::npos) << full.err;
    EXPECT_EQ(run_script(R"("$0" )" + command + " >&-").status, 1);
    EXPECT_EQ(run_script(R"("$0" )" + command + " >/dev/full 2>/dev/full").status, 1);
  }
  // A reader that goes away: a message and a status, not a signal.
  const Outcome gone = run_script(R"({ "$0" data rings --n 100000; echo $? >status; } | head -n 1 >/dev/null)");
  EXPECT_EQ(read("status"), "1\n");
  EXPECT_NE(gone.err.find("Broken pipe"), std::string::npos) << gone.err;
}

TEST_F(Streams, AFileSizeLimitIsAnError) {
  const Outcome limited = run_script(R"(ulimit -f 1; "$0" data rings --n 1000 --first 3 >rows.csv)");
  EXPECT_EQ(limited.status, 1);
  EXPECT_NE(limited.err.find("File too large"), std::string::npos) << limited.err;
}

TEST_F(Streams, AClosedStandardInputIsAnError) {
  const Outcome outcome = run_script(R"("$0" energy g.safetensors - <&-)");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("standard input"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace ebm::test
