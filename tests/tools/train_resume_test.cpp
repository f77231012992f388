#include <algorithm>

#include "tools/program.hpp"

namespace ebm::test {
namespace {

class TrainResume : public ProgramTest {
 protected:
  TrainResume() { write_ring("x.npy"); }

  // The same run every time, 40 iterations; `more` is appended.
  static std::vector<std::string> arguments(std::vector<std::string> more, const std::string& name) {
    std::vector<std::string> all{"train", "x.npy", "--out", name + ".safetensors", "--log", name + ".jsonl"};
    const std::vector<std::pair<std::string, std::string>> small{
        {"--hidden", "8,8"},  {"--batch-size", "16"}, {"--langevin-steps", "3"}, {"--steps", "40"},
        {"--log-every", "5"}, {"--seed", "4"},        {"--threads", "1"}};
    for (const auto& [option, value] : small) {
      if (std::ranges::find(more, option) == more.end()) all.insert(all.end(), {option, value});
    }
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  static std::vector<Json> without_times(std::vector<Json> log) {
    for (Json& line : log) {
      line.erase("seconds");
      line.erase("chain_steps_per_second");
    }
    return log;
  }
};

TEST_F(TrainResume, GivesTheBitsAndTheLogOfAnUnstoppedRun) {
  succeed(arguments({}, "whole"));
  // 13 and 27 are no multiples of the logging interval; 40 is the end.
  const std::vector<std::string> checkpoint{"--checkpoint", "c.safetensors"};
  for (const char* stop : {"13", "27"}) {
    auto more = checkpoint;
    more.insert(more.end(), {"--stop-at", stop, "--threads", "1"});
    if (std::string(stop) != "13") more.push_back("--resume");
    const Outcome outcome = succeed(arguments(more, "parts"));
    EXPECT_NE(outcome.err.find("stopped at iteration " + std::string(stop)), std::string::npos) << outcome.err;
    EXPECT_FALSE(exists("parts.safetensors"));
  }
  succeed(arguments({"--checkpoint", "c.safetensors", "--resume", "--threads", "2"}, "parts"));
  EXPECT_EQ(read("whole.safetensors"), read("parts.safetensors"));
  EXPECT_EQ(without_times(read_log("whole.jsonl")), without_times(read_log("parts.jsonl")));
  const auto log = read_log("parts.jsonl");
  EXPECT_GE(log.back()["seconds"].get<double>(), log.front()["seconds"].get<double>()) << "time goes on";
}

TEST_F(TrainResume, ReplicasGoOnToo) {
  const std::vector<std::string> tempering{"--sampler", "tempering", "--replicas", "3", "--swap-every", "2"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), tempering.begin(), tempering.end());
    return more;
  };
  const Outcome whole = succeed(arguments(with({}), "whole"));
  EXPECT_NE(whole.err.find("swaps of neighbouring replicas accepted"), std::string::npos) << whole.err;
  succeed(arguments(with({"--checkpoint", "c.safetensors", "--stop-at", "13"}), "parts"));
  const std::string info = succeed({"info", "c.safetensors"}).out;
  EXPECT_NE(info.find("tempering"), std::string::npos) << info;
  // What a checkpoint says of replicas need not be said again.
  succeed(arguments({"--checkpoint", "c.safetensors", "--resume"}, "parts"));
  EXPECT_EQ(read("whole.safetensors"), read("parts.safetensors"));
  const auto log = read_log("whole.jsonl");
  EXPECT_EQ(without_times(log), without_times(read_log("parts.jsonl")));
  EXPECT_GT(log.front()["swaps_proposed"].get<int>(), 0);
  EXPECT_EQ(log.front()["proposed"].get<int>() + log.front()["jumps_proposed"].get<int>() +
                log.front()["differences_proposed"].get<int>(),
            5 * 16 * 3 * 3);  // iterations, chains, transitions, replicas
  const std::vector<std::pair<std::string, std::string>> contradictions{{"--replicas", "4"},
                                                                        {"--swap-every", "3"},
                                                                        {"--hottest", "0.2"},
                                                                        {"--local-sampler", "hmc"},
                                                                        {"--sampler", "mala"}};
  for (const auto& [option, value] : contradictions) {
    expect_wrong_request(
        {"train", "x.npy", "--out", "m.safetensors", "--checkpoint", "c.safetensors", "--resume", option, value},
        {option + " = ", "the checkpoint was made with"});
  }
}

TEST_F(TrainResume, CutsWhatTheLogHoldsBeyondTheCheckpoint) {
  succeed(arguments({}, "whole"));
  succeed(arguments({"--checkpoint", "c.safetensors", "--stop-at", "12"}, "parts"));
  // A run that went on to 20, wrote its log, and crashed before the next checkpoint, in the middle of a line.
  std::string log = read("parts.jsonl");
  log += R"({"iteration":15,"seconds":9,"energy_gap":99})";
  log += "\n{\"iteration\":20,\"sec";
  write("parts.jsonl", log);
  succeed(arguments({"--checkpoint", "c.safetensors", "--resume"}, "parts"));
  EXPECT_EQ(without_times(read_log("whole.jsonl")), without_times(read_log("parts.jsonl")));
}

TEST_F(TrainResume, CheckpointEveryLeavesTheBitsAlone) {
  succeed(arguments({}, "whole"));
  succeed(arguments({"--checkpoint", "c.safetensors", "--checkpoint-every", "7"}, "often"));
  EXPECT_EQ(read("whole.safetensors"), read("often.safetensors"));
  EXPECT_EQ(without_times(read_log("whole.jsonl")), without_times(read_log("often.jsonl")));
  // A finished run resumes to itself.
  succeed(arguments({"--checkpoint", "c.safetensors", "--resume"}, "often"));
  EXPECT_EQ(read("whole.safetensors"), read("often.safetensors"));
}

TEST_F(TrainResume, SurvivesBeingKilled) {
  // Long, and with a checkpoint every 25 iterations, so that the kill comes well before the end.
  const std::vector<std::string> run{"--steps", "4000", "--checkpoint", "c.safetensors", "--checkpoint-every"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), run.begin(), run.end());
    return arguments(more, "parts");
  };
  succeed(arguments({"--steps", "4000"}, "whole"));
  const Outcome killed = run_and_signal(with({"25"}), "c.safetensors", SIGKILL);
  ASSERT_EQ(killed.status, 128 + SIGKILL);
  EXPECT_FALSE(exists("parts.safetensors"));
  succeed(with({"4000", "--resume"}));
  EXPECT_EQ(read("whole.safetensors"), read("parts.safetensors"));
  EXPECT_EQ(without_times(read_log("whole.jsonl")), without_times(read_log("parts.jsonl")));
}

TEST_F(TrainResume, SignalsStopWithACheckpointAndAMessage) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const Outcome stopped = run_and_signal(arguments({"--steps", "1000000", "--checkpoint", "c.safetensors"}, "long"),
                                           "long.jsonl", signal);
    EXPECT_EQ(stopped.status, 1);
    EXPECT_NE(stopped.err.find("go on with --resume"), std::string::npos) << stopped.err;
    EXPECT_TRUE(exists("c.safetensors"));
    EXPECT_FALSE(exists("long.safetensors"));
    succeed(arguments({"--steps", "1000000", "--checkpoint", "c.safetensors", "--resume", "--stop-at", "1"}, "long"));
    fs::remove(path("c.safetensors"));
    fs::remove(path("long.jsonl"));
  }
}

TEST_F(TrainResume, SignalsWithoutACheckpointLeaveTheModelSoFar) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const Outcome stopped = run_and_signal(arguments({"--steps", "1000000"}, "long"), "long.jsonl", signal);
    EXPECT_EQ(stopped.status, 1);
    EXPECT_NE(stopped.err.find("the unfinished model is in long.safetensors"), std::string::npos) << stopped.err;
    const std::string unfinished = Mlp::load(path("long.safetensors")).notes().at("unfinished");
    EXPECT_TRUE(unfinished.starts_with("iteration ") && unfinished.ends_with(" of 1000000")) << unfinished;
    EXPECT_NE(succeed({"info", "long.safetensors"}).out.find("notes.unfinished"), std::string::npos);
    fs::remove(path("long.safetensors"));
    fs::remove(path("long.jsonl"));
  }
  succeed(arguments({}, "whole"));
  EXPECT_FALSE(Mlp::load(path("whole.safetensors")).notes().contains("unfinished"));
}

TEST_F(TrainResume, AVanishedTerminalIsAHangUp) {
  const Outcome stopped = run_and_hang_up(arguments({"--steps", "1000000"}, "long"), "long.jsonl");
  EXPECT_EQ(stopped.status, 1);
  EXPECT_TRUE(exists("long.safetensors"));
}

TEST_F(TrainResume, AnIgnoredHangUpStaysIgnored) {
  // As under nohup. The log appears, the signal comes, and the run goes to its end.
  write("run.sh", R"(trap '' HUP
"$1" train x.npy --out n.safetensors --log n.jsonl --hidden 8 --batch-size 16 --steps 3000 --log-every 5 --threads 1 &
child=$!
while [ ! -s n.jsonl ]; do sleep 0.01; done
kill -HUP $child
wait $child)");
  EXPECT_EQ(run_script("sh run.sh \"$0\"").status, 0);
  EXPECT_FALSE(Mlp::load(path("n.safetensors")).notes().contains("unfinished"));
}

TEST_F(TrainResume, ContradictionsNameTheOption) {
  succeed(arguments({"--checkpoint", "c.safetensors", "--stop-at", "10"}, "parts"));
  const std::string log = read("parts.jsonl");
  const auto expect = [&](std::vector<std::string> more, const std::vector<std::string>& parts) {
    std::vector<std::string> all{"train",         "x.npy",    "--out", "m.safetensors", "--checkpoint",
                                 "c.safetensors", "--resume", "--log", "parts.jsonl"};
    all.insert(all.end(), more.begin(), more.end());
    expect_wrong_request(all, parts);
  };
  const std::vector<std::pair<std::string, std::string>> contradictions{
      {"--hidden", "9,9"},
      {"--activation", "relu"},
      {"--confinement", "2"},
      {"--sampler", "langevin"},
      {"--step-size", "0.3"},
      {"--jump-prob", "0.33"},
      {"--grad-clip", "1"},
      {"--clamp", "-9,9"},
      {"--chain-start", "fresh"},
      {"--langevin-steps", "4"},
      {"--buffer-size", "99"},
      {"--buffer-start", "data"},
      {"--reinit-prob", "0.5"},
      {"--energy-reg", "1"},
      {"--difference-prob", "0.3"},
      {"--steps", "41"},
      {"--batch-size", "17"},
      {"--learning-rate", "1"},
      {"--decay", "linear"},
      {"--warmup", "3"},
      {"--beta1", "0.5"},
      {"--beta2", "0.5"},
      {"--weight-decay", "1"},
      {"--grad-norm-clip", "1"},
      {"--ema", "0.5"},
      {"--dequantize", "1"},
      {"--seed", "5"},
      {"--log-every", "6"},
      {"--target-acceptance", "0.5"},
      {"--on-divergence", "stop"},
      {"--data-noise", "0.1"},
  };
  for (const auto& [option, value] : contradictions)
    expect({option, value}, {option + " = ", "the checkpoint was made with"});
  expect({"--no-standardize"}, {"--transform = none", "the checkpoint was made with standardize"});
  // What agrees is no contradiction.
  succeed(arguments({"--checkpoint", "c.safetensors", "--resume", "--stop-at", "11"}, "parts"));
}

TEST_F(TrainResume, OtherDataOrFilesAreWrongRequests) {
  succeed(arguments({"--checkpoint", "c.safetensors", "--stop-at", "10"}, "parts"));
  write_ring("other.npy", 150);
  expect_wrong_request({"train", "other.npy", "--out", "m.safetensors", "--checkpoint", "c.safetensors", "--resume"},
                       {"DATA (other.npy)", "other data"});
  expect_wrong_request({"train", "x.npy", "--out", "m.safetensors", "--checkpoint", "none.safetensors", "--resume"},
                       {"none.safetensors"});
  expect_wrong_request({"train", "x.npy", "--out", "m.safetensors", "--resume"}, {"--resume", "--checkpoint"});
  write("bad.jsonl", "{\"iteration\":5,\"seconds\":1}\nnot json\n");
  expect_wrong_request(
      {"train", "x.npy", "--out", "m.safetensors", "--checkpoint", "c.safetensors", "--resume", "--log", "bad.jsonl"},
      {"bad.jsonl", "line 2"});
  write("junk.safetensors", "junk");
  expect_wrong_request({"train", "x.npy", "--out", "m.safetensors", "--checkpoint", "junk.safetensors", "--resume"},
                       {"junk.safetensors"});
}

}  // namespace
}  // namespace ebm::test
