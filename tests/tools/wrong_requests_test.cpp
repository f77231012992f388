// Every kind of wrong request: exit 2, a message that names what was wrong, its value and what is allowed, and nothing
// written. expect_wrong_request compares the whole directory before and after.
#include "ebmcuda/files.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class WrongRequests : public ProgramTest {
 protected:
  WrongRequests() {
    write_ring("x.npy");
    gaussian_model(2).save(path("m.safetensors"));
    const Matrix wide(5, 3);
    write_matrix(path("wide.npy"), wide);
    write("nan.csv", "1,2\n3,nan\n");
    write("text.csv", "1,2\n3,four\n");
    write("ragged.csv", "1,2\n3\n");
    write("empty.csv", "");
    write("labels.csv", "0\n1\n");
    fs::create_directory(path("directory"));
  }
  std::vector<std::string> train(std::vector<std::string> more) const {
    more.insert(more.begin(), {"train", "x.npy", "--out", "new.safetensors", "--steps", "5"});
    return more;
  }
};

TEST_F(WrongRequests, Commands) {
  expect_wrong_request({}, {"ebm"});
  expect_wrong_request({"fly"}, {"fly"});
  expect_wrong_request({"--fly"}, {"--fly"});
  expect_wrong_request({"--fly", "info"}, {"--fly"});
  for (const std::string command : {"train", "sample", "energy", "evaluate", "score", "predict", "plot", "data"}) {
    expect_wrong_request({command}, {"ebm " + command, "required"});
  }
}

TEST_F(WrongRequests, UnknownOptionsAndSurplusArguments) {
  expect_wrong_request(train({"--log=", "--threads", "1"}), {"--log = \"\"", "must name a file"});
  expect_wrong_request(train({"--learning-rate=", "--threads", "1"}), {"--learning-rate", "must be a number"});
  expect_wrong_request(train({"--stepsize", "0.1"}), {"--stepsize", "did you mean --step-size"});
  expect_wrong_request(train({"--zzzzqqqq"}), {"--zzzzqqqq", "unknown"});
  expect_wrong_request({"energy", "m.safetensors", "x.npy", "extra"}, {"extra", "too many"});
  expect_wrong_request({"sample", "m.safetensors", "extra", "--out", "o.npy"}, {"extra", "cannot open"});
  expect_wrong_request(train({"--steps", "6"}), {"--steps is given more than once"});
  expect_wrong_request({"train", "x.npy", "--out"}, {"--out"});
}

TEST_F(WrongRequests, MissingRequiredOptions) {
  expect_wrong_request({"train", "x.npy"}, {"--out"});
  expect_wrong_request({"plot", "m.safetensors"}, {"--out"});
  expect_wrong_request({"data", "rings", "--out", "o.npy"}, {"--n"});
}

TEST_F(WrongRequests, DataFiles) {
  for (const std::string command : {"train", "evaluate", "energy", "score"}) {
    std::vector<std::string> base{command};
    if (command != "train") base.push_back("m.safetensors");
    const auto with = [&](const std::string& file) {
      auto arguments = base;
      arguments.push_back(file);
      if (command != "evaluate") arguments.insert(arguments.end(), {"--out", "o.npy"});
      return arguments;
    };
    expect_wrong_request(with("missing.npy"), {"missing.npy"});
    expect_wrong_request(with("nan.csv"), {"nan.csv", "nan", "row 1, column 1"});
    expect_wrong_request(with("text.csv"), {"text.csv"});
    expect_wrong_request(with("ragged.csv"), {"ragged.csv"});
    expect_wrong_request(with("empty.csv"), {"empty.csv"});
    expect_wrong_request(with("m.safetensors"), {"m.safetensors"});
  }
}

TEST_F(WrongRequests, DimensionsThatDiffer) {
  for (const std::string command : {"energy", "evaluate", "score"}) {
    expect_wrong_request({command, "m.safetensors", "wide.npy"}, {"wide.npy", "5 x 3", "D = 2"});
  }
  expect_wrong_request({"sample", "m.safetensors", "--init", "wide.npy", "--out", "o.npy"},
                       {"--init", "5 x 3", "D = 2"});
  expect_wrong_request({"evaluate", "m.safetensors", "x.npy", "--train", "wide.npy"}, {"--train", "5 x 3"});
  expect_wrong_request({"train", "wide.npy", "--init-model", "m.safetensors", "--out", "o.safetensors"},
                       {"--init-model", "5 x 3"});
  expect_wrong_request({"plot", "m.safetensors", "--samples", "wide.npy", "--out", "o.png"}, {"--samples", "5 x 3"});
  expect_wrong_request({"plot", "m.safetensors", "--data", "wide.npy", "--samples", "x.npy", "--out", "o.png"},
                       {"wide.npy", "5 x 3"});
  expect_wrong_request({"plot", "wide.npy", "--image", "2x2", "--out", "o.png"}, {"--image", "2x2", "3"});
}

TEST_F(WrongRequests, Columns) {
  for (const char* columns : {"0:3", "5", "2:1", "a:b", "1:", "", "0,,1", "-1:2"}) {
    if (std::string(columns) == "1:") continue;  // good
    expect_wrong_request(train({"--columns", columns}), {"--columns"});
  }
  expect_wrong_request(train({"--label-column", "2"}), {"--label-column = 2", "0 .. 1"});
  expect_wrong_request(train({"--label-column", "0", "--head", "logits"}), {"row"});  // x.npy holds no whole numbers
}

TEST_F(WrongRequests, Labels) {
  expect_wrong_request(train({"--labels", "labels.csv"}), {"--labels", "200"});
  write("table.csv", "0.5,0\n0.25,1\n0.75,1\n");
  expect_wrong_request({"train", "table.csv", "--label-column", "1", "--out", "o.safetensors"},
                       {"labels", "scalar head"});
  expect_wrong_request(
      {"train", "table.csv", "--label-column", "1", "--labels", "labels.csv", "--out", "o.safetensors"}, {"--labels"});
  expect_wrong_request({"train", "table.csv", "--head", "logits", "--out", "o.safetensors"}, {"--classes"});
  expect_wrong_request({"train", "table.csv", "--classes", "3", "--out", "o.safetensors"}, {"--classes", "logits"});
  expect_wrong_request(
      {"train", "table.csv", "--label-column", "1", "--head", "logits", "--classes", "1", "--out", "o.safetensors"},
      {"--classes"});
  gaussian_model(1).save(path("one.safetensors"));
  expect_wrong_request({"energy", "one.safetensors", "table.csv", "--label-column", "1"}, {"logits"});
  expect_wrong_request({"evaluate", "one.safetensors", "table.csv", "--label-column", "1"}, {"labels", "scalar head"});
  expect_wrong_request({"data", "table.csv", "--out", "o.npy", "--labels-out", "y.npy"}, {"--labels-out"});
}

TEST_F(WrongRequests, NumbersOutOfRange) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> bad{
      {"--hidden", {"0", "8,0", "-3", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "8,,8", "", "x", "1.5", "9999999"}},
      {"--confinement", {"-1", "nan", "inf", "x"}},
      {"--init-scale", {"0", "-1", "nan"}},
      {"--step-size", {"-1", "0", "nan", "inf", "x", ""}},
      {"--noise-scale", {"-1", "nan"}},
      {"--jump-prob", {"-0.1", "1.5", "nan"}},
      {"--grad-clip", {"0", "-1", "nan"}},
      {"--clamp", {"1,-1", "1", "a,b", "0,nan", "1,1", "1,2,3"}},
      {"--langevin-steps", {"0", "-1", "1.5", "x", "99999999999999999999"}},
      {"--buffer-size", {"0", "-1"}},
      {"--reinit-prob", {"-0.1", "1.1", "nan"}},
      {"--difference-prob", {"-0.1", "1.1"}},
      {"--target-acceptance", {"0", "1", "-1", "x"}},
      {"--batch-size", {"0", "-5", "x"}},
      {"--learning-rate", {"0", "-1", "nan"}},
      {"--warmup", {"-1"}},
      {"--beta1", {"1", "-0.1"}},
      {"--beta2", {"1"}},
      {"--weight-decay", {"-1"}},
      {"--grad-norm-clip", {"-1", "nan"}},
      {"--energy-reg", {"-1"}},
      {"--ema", {"1", "-0.1", "nan"}},
      {"--dequantize", {"-1", "nan"}},
      {"--log-every", {"0"}},
      {"--seed", {"-1", "x", "1.5"}},
      {"--threads", {"-1", "5000", "x"}},
      {"--device", {"tpu", "cuda:x"}},
      {"--precision", {"fp64", "fp16"}},
      {"--activation", {"swish"}},
      {"--head", {"two"}},
      {"--sampler", {"nuts", "Tempering"}},
      {"--decay", {"step"}},
      {"--chain-start", {"cold"}},
      {"--buffer-start", {"warm", ""}},
      {"--checkpoint-every", {"10"}},  // without --checkpoint
      {"--stop-at", {"10"}},
  };
  for (const auto& [option, values] : bad) {
    for (const std::string& value : values) {
      const bool on_gpu = option == "--precision" && value == "fp16";
      auto arguments = train({option, value});
      if (on_gpu) arguments.insert(arguments.end(), {"--device", "cpu"});
      expect_wrong_request(arguments, {option});
    }
  }
  expect_wrong_request(train({"--buffer-size", "8"}), {"--batch-size", "buffer_size = 8"});
  expect_wrong_request({"train", "x.npy", "--out", "o.safetensors", "--steps", "0"}, {"--steps", ">= 1"});
  expect_wrong_request(train({"--checkpoint", "c.safetensors", "--checkpoint-every", "0"}), {"--checkpoint-every"});
  expect_wrong_request(train({"--checkpoint", "c.safetensors", "--stop-at", "0"}), {"--stop-at"});
}

TEST_F(WrongRequests, OptionsThatDoNotGoTogether) {
  expect_wrong_request(train({"--sampler", "mala", "--noise-scale", "0.1"}), {"--noise-scale", "langevin"});
  expect_wrong_request(train({"--sampler", "langevin", "--jump-prob", "0.1"}), {"--jump-prob", "mala"});
  expect_wrong_request(train({"--sampler", "langevin", "--difference-prob", "0.1"}), {"--difference-prob", "mala"});
  expect_wrong_request(train({"--sampler", "langevin", "--target-acceptance", "0.7"}), {"--target-acceptance", "mala"});
  expect_wrong_request(train({"--chain-start", "data", "--buffer-size", "500"}), {"--buffer-size", "persistent"});
  expect_wrong_request(train({"--chain-start", "fresh", "--reinit-prob", "0.1"}), {"--reinit-prob", "persistent"});
  expect_wrong_request(train({"--chain-start", "data", "--buffer-start", "data"}),
                       {"--buffer-start = data", "persistent"});
  expect_wrong_request(train({"--init-model", "m.safetensors", "--hidden", "9"}), {"--hidden = 9", "--init-model"});
  expect_wrong_request(train({"--init-model", "m.safetensors", "--init-scale", "2"}), {"--init-scale"});
  expect_wrong_request(train({"--init-model", "m.safetensors", "--standardize"}), {"--transform", "--init-model"});
  expect_wrong_request({"evaluate", "m.safetensors", "x.npy", "--density", "cubes"}, {"--density", "two_moons"});
  gaussian_model(3).save(path("three.safetensors"));
  expect_wrong_request({"evaluate", "three.safetensors", "wide.npy", "--method", "quadrature"}, {"--method", "D = 3"});
  expect_wrong_request({"evaluate", "three.safetensors", "wide.npy", "--density", "rings"}, {"--density", "D = 3"});
  expect_wrong_request({"data", "rings", "--n", "5", "--columns", "0"}, {"--columns", "density"});
  expect_wrong_request({"data", "x.npy", "--first", "5"}, {"--first", "density"});
  expect_wrong_request({"data", "x.npy", "--held-out-share", "0.5"}, {"--held-out-share", "--held-out"});
}

TEST_F(WrongRequests, OfTheOtherCommands) {
  const std::vector<std::vector<std::string>> sample{{"--chains", "0"},
                                                     {"--chains", "-4"},
                                                     {"--langevin-steps", "-1"},
                                                     {"--first-chain", "72057594037927936"},
                                                     {"--first-step", "x"},
                                                     {"--init", "missing.npy"},
                                                     {"--init", "nan.csv"},
                                                     {"--step-size", "-1"},
                                                     {"--thin", "0"},
                                                     {"--thin", "600"},
                                                     {"--sampler", "nuts"},
                                                     {"--clamp", "3,2"},
                                                     {"--noise-scale", "-1"}};
  for (const auto& options : sample) {
    std::vector<std::string> arguments{"sample", "m.safetensors", "--out", "o.npy"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const bool missing = options.back().starts_with("missing");
    expect_wrong_request(arguments, {missing ? options.back() : options.front()});
  }
  expect_wrong_request({"sample", "m.safetensors", "--sampler", "tempering", "--inverse-temperatures", "1"},
                       {"--inverse-temperatures = 1", "2 or more"});
  expect_wrong_request({"sample", "m.safetensors", "--init", "x.npy", "--chains", "7"}, {"--chains = 7", "200"});
  const std::vector<std::vector<std::string>> evaluate{{"--method", "guess"},  {"--ais-temperatures", "1"},
                                                       {"--ais-chains", "1"},  {"--quadrature-points", "1"},
                                                       {"--dequantize", "-1"}, {"--train", "missing.npy"}};
  for (const auto& options : evaluate) {
    std::vector<std::string> arguments{"evaluate", "m.safetensors", "x.npy"};
    if (options.front().starts_with("--ais")) arguments.insert(arguments.end(), {"--method", "ais"});
    arguments.insert(arguments.end(), options.begin(), options.end());
    const bool missing = options.back().starts_with("missing");
    expect_wrong_request(arguments, {missing ? options.back() : options.front()});
  }
  const std::vector<std::vector<std::string>> plot{{"--image", "8"},       {"--image", "0x4"},       {"--range", "1"},
                                                   {"--range", "2,1"},     {"--colormap", "jet"},    {"--chains", "-1"},
                                                   {"--density", "cubes"}, {"--data", "missing.npy"}};
  for (const auto& options : plot) {
    std::vector<std::string> arguments{"plot", "x.npy", "--out", "o.png"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const bool missing = options.back().starts_with("missing");
    expect_wrong_request(arguments, {missing ? options.back() : options.front()});
  }
  expect_wrong_request({"plot", "x.npy", "--per-row", "0", "--image", "1x2", "--out", "o.png"}, {"--per-row"});
  expect_wrong_request({"plot", "x.txt", "--out", "o.png"}, {"x.txt", ".safetensors"});
  expect_wrong_request({"plot", "missing.jsonl", "--out", "o.png"}, {"missing.jsonl"});
  write("bad.jsonl", "{\"iteration\": 1}\n");
  expect_wrong_request({"plot", "bad.jsonl", "--out", "o.png"}, {"bad.jsonl", "line 1"});
  const std::vector<std::vector<std::string>> data{{"--n", "0"}, {"--n", "-1"}, {"--n", "x"}, {"--first", "-1"}};
  for (const auto& options : data) {
    std::vector<std::string> arguments{"data", "rings"};
    if (options.front() != "--n") arguments.insert(arguments.end(), {"--n", "5"});
    arguments.insert(arguments.end(), options.begin(), options.end());
    const bool missing = options.back().starts_with("missing");
    expect_wrong_request(arguments, {missing ? options.back() : options.front()});
  }
  expect_wrong_request({"data", "moons", "--n", "5"}, {"moons", "two_moons"});
  expect_wrong_request({"data", "x.npy", "--n", "201"}, {"--n = 201", "200"});
  for (const char* share : {"0", "1", "-1", "nan", "0.0001"}) {
    expect_wrong_request({"data", "x.npy", "--held-out", "h.npy", "--held-out-share", share}, {"--held-out-share"});
  }
  expect_wrong_request({"info", "missing.safetensors"}, {"missing.safetensors"});
}

TEST_F(WrongRequests, Outputs) {
  expect_wrong_request({"train", "x.npy", "--out", "none/m.safetensors"},
                       {"--out = none/m.safetensors", "no directory none"});
  expect_wrong_request(train({"--log", "none/log.jsonl"}), {"--log"});
  expect_wrong_request(train({"--checkpoint", "none/c"}), {"--checkpoint"});
  expect_wrong_request({"train", "x.npy", "--out", "directory"}, {"--out", "not a regular file"});
  expect_wrong_request({"train", "x.npy", "--out", "/dev/null"}, {"--out", "not a regular file"});
  expect_wrong_request({"train", "x.npy", "--out", "./x.npy"}, {"--out", "also an input"});
  expect_wrong_request(train({"--log", "./new.safetensors"}), {"--log", "also --out"});
  expect_wrong_request({"sample", "m.safetensors", "--out", "o.txt"}, {"--out", ".npy or .csv"});
  expect_wrong_request({"sample", "m.safetensors", "--out", "o.npy", "--trajectory", "none/t.npy"}, {"--trajectory"});
  expect_wrong_request({"sample", "m.safetensors", "--out", "o.npy", "--energy", "o.npy"}, {"--energy", "also --out"});
  expect_wrong_request({"energy", "m.safetensors", "x.npy", "--gradient", "none/g.npy"}, {"--gradient"});
  expect_wrong_request({"plot", "x.npy", "--out", "o.jpg"}, {"--out", ".png"});
  expect_wrong_request({"data", "rings", "--n", "3", "--out", ""}, {"--out"});
  expect_wrong_request({"data", "x.npy", "--out", "o.npy", "--held-out", "o.npy"}, {"--held-out", "also --out"});
}

TEST_F(WrongRequests, BadModelFiles) {
  write("junk.safetensors", "this is no model");
  for (const char* file : {"junk.safetensors", "missing.safetensors"}) {
    expect_wrong_request({"sample", file, "--out", "o.npy"}, {file});
    expect_wrong_request({"energy", file, "x.npy"}, {file});
    expect_wrong_request({"evaluate", file, "x.npy"}, {file});
    expect_wrong_request({"plot", file, "--out", "o.png"}, {file});
  }
}

}  // namespace
}  // namespace ebm::test
