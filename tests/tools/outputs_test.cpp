// Outputs that can't be written are found before work, and nothing of worth is replaced without a word.
#include <algorithm>

#include "tools/program.hpp"

namespace ebm::test {
namespace {

class OutputFiles : public ProgramTest {
 protected:
  OutputFiles() { write_ring("x.npy"); }
  static std::vector<std::string> train(std::vector<std::string> more) {
    more.insert(more.begin(), {"train", "x.npy", "--hidden", "8", "--batch-size", "16", "--langevin-steps", "2"});
    if (std::ranges::find(more, "--steps") == more.end()) more.insert(more.end(), {"--steps", "10"});
    return more;
  }
};

TEST_F(OutputFiles, LinksThatLeadNowhereAndNamesTooLong) {
  fs::create_symlink("nowhere", path("dangling"));
  fs::create_symlink("loop", path("loop"));
  const std::string name(256, 'a');
  for (const std::string& bad : {std::string("dangling"), std::string("loop"), name}) {
    expect_wrong_request(train({"--out", bad}), {"--out"});
    expect_wrong_request(train({"--out", "m", "--checkpoint", bad}), {"--checkpoint"});
    expect_wrong_request(train({"--out", "m", "--log", bad}), {"--log"});
  }
  fs::create_symlink("nowhere.npy", path("dangling.npy"));
  expect_wrong_request({"data", "rings", "--n", "5", "--out", "dangling.npy"}, {"--out", "symbolic link"});
  expect_wrong_request({"data", "rings", "--n", "5", "--out", std::string(252, 'a') + ".npy"}, {"--out", "too long"});
  expect_wrong_request(train({"--out", "x.npy/m"}), {"--out", "no directory"});
  expect_wrong_request(train({"--out", "m/"}), {"--out"});
  // The longest name and a link to a file are good.
  const std::string longest = std::string(251, 'a') + ".npy";
  succeed({"data", "rings", "--n", "5", "--out", longest});
  EXPECT_TRUE(exists(longest));
  write("real.npy", "");
  fs::create_symlink("real.npy", path("link.npy"));
  succeed({"data", "rings", "--n", "5", "--out", "link.npy"});
  EXPECT_TRUE(fs::is_symlink(path("link.npy")) && fs::file_size(path("real.npy")) > 0);
  fs::create_symlink("real.png", path("link.png"));
  write("real.png", "");
  succeed({"plot", "x.npy", "--out", "link.png"});
  EXPECT_TRUE(fs::is_symlink(path("link.png")) && fs::file_size(path("real.png")) > 0);
}

TEST_F(OutputFiles, InputsOfEveryKindAreSafe) {
  gaussian_model(2).save(path("g.safetensors"));
  expect_wrong_request(train({"--out", "g.safetensors", "--init-model", "g.safetensors"}), {"--out", "also an input"});
  expect_wrong_request({"sample", "g.safetensors", "--init", "x.npy", "--out", "./x.npy"}, {"--out", "also an input"});
  write("y.csv", "0\n");
  expect_wrong_request({"data", "x.npy", "--labels", "y.csv", "--out", "y.csv"}, {"--out", "also an input"});
}

TEST_F(OutputFiles, NoRoomIsFoundBeforeWork) {
  gaussian_model(2).save(path("g.safetensors"));
  // 8 TB: more than the disk of a machine that runs this.
  expect_wrong_request({"data", "rings", "--n", "1e12", "--out", "huge.npy"}, {"--out", "8 TB", "free"});
  expect_wrong_request({"sample", "g.safetensors", "--chains", "1000000", "--langevin-steps", "1000000", "--thin", "1",
                        "--trajectory", "huge.npy", "--out", "o.npy"},
                       {"--trajectory", "free"});
  expect_wrong_request({"sample", "g.safetensors", "--chains", "4", "--langevin-steps", "9223372036854775807", "--thin",
                        "1", "--trajectory", "huge.npy", "--out", "o.npy"},
                       {"--trajectory", "free"});
  const auto before = contents();
  for (const char* option : {"--out", "--checkpoint"}) {
    // 512 bytes (a unit of ulimit -f in POSIX sh) hold neither 33 parameters with Adam's moments nor a wider network.
    const std::string hidden = option == std::string("--out") ? "64,64" : "8";
    const Outcome outcome =
        run_script("ulimit -f 1; \"$0\" train x.npy --steps 10 --hidden " + hidden + " --out m --checkpoint c");
    EXPECT_EQ(outcome.status, 2) << outcome.err;
    EXPECT_NE(outcome.err.find(std::string(option) + " = "), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("ulimit -f"), std::string::npos) << outcome.err;
  }
  EXPECT_TRUE(contents() == before);
}

TEST_F(OutputFiles, AnUnfinishedRunIsNotOverwritten) {
  succeed(train({"--out", "m", "--checkpoint", "c", "--stop-at", "5"}));
  expect_wrong_request(train({"--out", "m", "--checkpoint", "c", "--stop-at", "2"}),
                       {"--checkpoint = c", "iteration 5 of 10", "--resume", "--overwrite"});
  succeed(train({"--out", "m", "--checkpoint", "c", "--stop-at", "2", "--overwrite"}));
  succeed(train({"--out", "m", "--checkpoint", "c", "--resume"}));
  succeed(train({"--out", "m", "--checkpoint", "c"}));  // a finished one may be
}

TEST_F(OutputFiles, ForeignFilesAreNotOverwritten) {
  write("notes.txt", "precious");
  gaussian_model(2).save(path("g.safetensors"));
  for (const char* option : {"--out", "--checkpoint", "--log"}) {
    std::vector<std::string> arguments = train({option, "notes.txt"});
    if (option != std::string("--out")) arguments.insert(arguments.end(), {"--out", "m"});
    expect_wrong_request(arguments, {std::string(option) + " = notes.txt", "--overwrite"});
  }
  expect_wrong_request(train({"--out", "m", "--checkpoint", "g.safetensors"}), {"--checkpoint", "no checkpoint"});
  succeed(train({"--out", "m", "--checkpoint", "c", "--log", "l.jsonl"}));
  expect_wrong_request(train({"--out", "c"}), {"--out = c", "holds a checkpoint"});
  expect_wrong_request(train({"--out", "m", "--log", "m"}), {"--log = m", "also --out"});
  expect_wrong_request({"export", "c", "--out", "notes.txt"}, {"--out", "--overwrite"});
  succeed(train({"--out", "m", "--log", "l.jsonl"}));  // a model and a log may be replaced
  write("empty", "");
  succeed(train({"--out", "empty"}));
  succeed(train({"--out", "m", "--checkpoint", "notes.txt", "--overwrite"}));
}

TEST_F(OutputFiles, AFinishedRunGoesOnToMoreSteps) {
  const std::vector<std::string> constant{"--decay", "constant", "--out", "parts", "--checkpoint", "c"};
  succeed(train({"--decay", "constant", "--out", "whole", "--steps", "20"}));
  succeed(train(constant));
  auto more = constant;
  more.insert(more.end(), {"--resume", "--steps", "20"});
  const Outcome outcome = succeed(train(more));
  EXPECT_NE(outcome.err.find("goes on to 20"), std::string::npos) << outcome.err;
  EXPECT_EQ(read("whole"), read("parts"));
  more.back() = "19";
  expect_wrong_request(train(more), {"--steps = 19", "20"});
}

TEST_F(OutputFiles, TheModelOfACheckpointServesEveryCommand) {
  succeed(train({"--out", "m", "--checkpoint", "c.safetensors", "--stop-at", "5"}));
  const Outcome exported = succeed({"export", "c.safetensors", "--out", "e"});
  EXPECT_NE(exported.err.find("unfinished run, iteration 5 of 10"), std::string::npos) << exported.err;
  EXPECT_EQ(Mlp::load(path("e")).notes().at("unfinished"), "iteration 5 of 10");
  EXPECT_EQ(succeed({"energy", "c.safetensors", "x.npy"}).out, succeed({"energy", "e", "x.npy"}).out);
  succeed({"sample", "c.safetensors", "--chains", "3", "--langevin-steps", "2"});
  succeed({"evaluate", "c.safetensors", "x.npy", "--no-baselines"});
  succeed({"plot", "c.safetensors", "--chains", "3", "--langevin-steps", "2", "--out", "p.png"});
  succeed(train({"--out", "n", "--checkpoint", "c.safetensors", "--resume"}));
  succeed({"export", "c.safetensors", "--out", "e"});
  EXPECT_EQ(read("e"), read("n")) << "of a finished run: the model that it wrote";
}

TEST_F(OutputFiles, InfoReadsCheckpointsAndForeignFiles) {
  succeed(train({"--out", "m", "--checkpoint", "c", "--stop-at", "5", "--learning-rate", "0.5"}));
  const Json json = Json::parse(succeed({"info", "c", "--json"}).out);
  EXPECT_EQ(json["checkpoint"]["iteration"], 5);
  EXPECT_EQ(json["checkpoint"]["iterations"], 10);
  EXPECT_EQ(json["settings"]["learning-rate"], "0.5");
  EXPECT_EQ(json["shape"], "2-8-1");
  EXPECT_EQ(json["tensors"][0]["name"], "adam.m");
  EXPECT_NE(succeed({"info", "c"}).out.find("checkpoint.iteration 5"), std::string::npos);

  // No model at all, with a name that would clear a terminal.
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a\u001b[2Jb":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  write("foreign", bytes + header + std::string(12, '\1'));
  const Json foreign = Json::parse(succeed({"info", "foreign", "--json"}).out);
  EXPECT_EQ(foreign["tensors"][0]["dtype"], "BF16");
  EXPECT_EQ(foreign["tensors"][0]["shape"], (Json{2, 3}));
  EXPECT_EQ(foreign["metadata"]["format"], "pt");
  EXPECT_TRUE(foreign["model"].is_null());
  const std::string text = succeed({"info", "foreign"}).out;
  EXPECT_NE(text.find("BF16 [2,3]"), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace ebm::test
