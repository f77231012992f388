// What the program does with files that are not just numbers: nothing dropped or invented in silence.
#include <cmath>

#include "ebmcuda/files.hpp"
#include "ebmcuda/table.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class Input : public ProgramTest {
 protected:
  static bool says(const Outcome& outcome, const std::string& part) {
    if (outcome.err.find(part) != std::string::npos) return true;
    ADD_FAILURE() << "the message lacks \"" << part << "\": " << outcome.err;
    return false;
  }
  // `rows` points around two centres with a text label and the label again as a number that has a gap.
  void write_flowers(int rows = 40) const {
    std::string text = "id;kind;width;height;class\n";
    for (int i = 0; i < rows; ++i) {
      const double side = i % 2 == 0 ? 1 : -1;
      text += std::to_string(i) + (i % 2 == 0 ? ";iris;" : ";aster;") + std::to_string(side + 0.1 * std::sin(i)) + ";" +
              std::to_string(side + 0.1 * std::cos(i)) + (i % 2 == 0 ? ";0\n" : ";2\n");
    }
    write("flowers.csv", text);
  }
};

// ../shared/cases calls these by name: RUN and RIGHT.
TEST_F(Input, NumericHeaderIsWarnedAbout) {
  write("pandas.csv", "0,1,2\n0.5,1.5,2.5\n1.5,0.5,3.5\n");
  const Outcome outcome = succeed({"data", "pandas.csv"});
  EXPECT_EQ(outcome.out, "0,1,2\n0.5,1.5,2.5\n1.5,0.5,3.5\n");
  says(outcome, "warning: pandas.csv: line 1 is read as a row of data");
  says(outcome, "--header yes");
  says(outcome, "--header no");
  EXPECT_EQ(succeed({"data", "pandas.csv", "--header", "yes"}).out, "0.5,1.5,2.5\n1.5,0.5,3.5\n");
  const Outcome no = succeed({"data", "pandas.csv", "--header", "no"});
  EXPECT_EQ(no.out, outcome.out);
  EXPECT_EQ(no.err, "");
  EXPECT_EQ(succeed({"data", "pandas.csv", "--header", "yes", "--columns", "2"}).out, "2.5\n3.5\n");
}

TEST_F(Input, QuotedNumbersAreNumbers) {
  write("q.csv", "\"a\",\"class\"\n0.5,\"0\"\n1.5,\"1\"\n");
  EXPECT_EQ(succeed({"data", "q.csv"}).out, "0.5,0\n1.5,1\n");
}

TEST_F(Input, TextColumnsNeedNotBeRead) {
  write("w.csv", "id,diagnosis,a,b\n1,M,0.5,1.5\n2,B,1.5,2.5\n");
  EXPECT_EQ(succeed({"data", "w.csv", "--columns", "2:4"}).out, "0.5,1.5\n1.5,2.5\n");
  EXPECT_EQ(succeed({"data", "w.csv", "--columns", "b,a"}).out, "1.5,0.5\n2.5,1.5\n");
  expect_wrong_request({"data", "w.csv"}, {"line 2, column 1 ('diagnosis'): 'M' is not a number"});
  expect_wrong_request({"data", "w.csv", "--columns", "c"}, {"--columns = c", "'diagnosis'"});
}

TEST_F(Input, ColumnsThatFloat32MergesAreRefused) {
  std::string text;
  for (int i = 0; i < 100; ++i) {
    text += std::to_string(1e12 + std::sin(i)) + "," + std::to_string(1e12 + std::cos(i)) + "\n";
  }
  write("offset.csv", text);
  gaussian_model(2).save(path("m.safetensors"));
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"train", "offset.csv", "--out", "o.safetensors"},
                                             {"evaluate", "m.safetensors", "offset.csv"},
                                             {"energy", "m.safetensors", "offset.csv"},
                                             {"sample", "m.safetensors", "--init", "offset.csv", "--out", "o.npy"},
                                             {"plot", "offset.csv", "--out", "o.png"},
                                             {"data", "offset.csv"}}) {
    expect_wrong_request(arguments, {"offset.csv: column 0", "merges", "ebm data FILE --subtract mean"});
  }
  const Outcome cured = succeed({"data", "offset.csv", "--subtract", "mean", "--divide", "std", "--out", "x.npy"});
  says(cured, "subtracted: --subtract 1000000000");
  const Table table = read_table(path("x.npy"));
  for (std::size_t d = 0; d < 2; ++d) {  // a double at 1e12 resolves 1.2e-4
    EXPECT_NEAR(table.mean[d], 0, 5e-4);
    EXPECT_NEAR(table.std[d], 1, 5e-4);
  }
  EXPECT_NEAR(table.x(10, 0) * std::sqrt(0.5), std::sin(10), 0.02);
  succeed({"train", "x.npy", "--steps", "5", "--hidden", "8", "--out", "o.safetensors"});
}

TEST_F(Input, AnyScaleTrainsAlikeAfterStandardisation) {
  std::vector<float> gaps;
  for (const char* exponent : {"0", "30", "-30"}) {
    std::string text;
    for (int i = 0; i < 64; ++i) {
      text +=
          std::to_string(std::sin(i)) + "e" + exponent + "," + std::to_string(std::cos(3 * i)) + "e" + exponent + "\n";
    }
    write("x.csv", text);
    succeed({"train", "x.csv", "--steps", "5", "--hidden", "8", "--out", "m.safetensors", "--log", "l.jsonl",
             "--log-every", "5"});
    gaps.push_back(read_log("l.jsonl").back()["energy_gap"]);
    fs::remove(path("l.jsonl"));
  }
  EXPECT_NEAR(gaps[1], gaps[0], 1e-3);
  EXPECT_NEAR(gaps[2], gaps[0], 1e-3);
}

TEST_F(Input, TheLabelColumnIsNeverAFeature) {
  write("t.csv", "0.5,0.25,0\n0.75,1.5,1\n0.125,0.5,0\n");
  for (const char* columns : {"0:3", "2", "1,2"}) {
    expect_wrong_request({"train", "t.csv", "--columns", columns, "--label-column", "2", "--head", "logits", "--steps",
                          "5", "--out", "o.safetensors"},
                         {"--columns = " + std::string(columns), "column 2, which is the label column"});
  }
  succeed({"train", "t.csv", "--label-column", "2", "--head", "logits", "--steps", "2", "--hidden", "4", "--out",
           "o.safetensors"});
  EXPECT_EQ(Mlp::load(path("o.safetensors")).shape().dim, 2);
}

TEST_F(Input, ClassesWithoutRowsAreNamed) {
  write_flowers();
  const std::vector<std::string> base{"train",   "flowers.csv", "--columns", "width,height",
                                      "--head",  "logits",      "--hidden",  "8",
                                      "--steps", "3",           "--out",     "o.safetensors"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = base;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  expect_wrong_request(with({"--label-column", "class"}), {"no row has class 1", "--map-labels", "--classes 3"});
  expect_wrong_request(with({"--label-column", "kind"}), {"'iris' is not a whole number", "--map-labels"});
  says(succeed(with({"--label-column", "class", "--classes", "3"})), "warning: no row has class 1 of 0 .. 2");
  EXPECT_EQ(Mlp::load(path("o.safetensors")).shape().outputs, 3);
  says(succeed(with({"--label-column", "class", "--map-labels"})), "classes: 0 = 0, 1 = 2");
  EXPECT_EQ(Mlp::load(path("o.safetensors")).shape().outputs, 2);
  says(succeed({"data", "flowers.csv", "--columns", "width", "--label-column", "class", "--out", "x.npy"}),
       "1 of the classes 0 .. 2 have no row, 1 first");
  write("one.csv", "0.5,0\n0.25,0\n");
  expect_wrong_request({"train", "one.csv", "--label-column", "1", "--head", "logits", "--out", "n.safetensors"},
                       {"two classes or more"});
}

TEST_F(Input, AModelNumbersLabelsAsItsTrainingDid) {
  write_flowers();
  succeed({"train", "flowers.csv", "--columns", "width,height", "--label-column", "kind", "--map-labels", "--head",
           "logits", "--hidden", "8", "--steps", "300", "--out", "m.safetensors"});
  EXPECT_EQ(Mlp::load(path("m.safetensors")).notes().at("classes"), R"(["aster","iris"])");
  // One class alone keeps the number that it had.
  write("irises.csv", "a,b,kind\n1,1,iris\n1.05,0.98,iris\n");
  const auto evaluated = [&](const std::string& file, const std::string& columns) {
    const Outcome outcome = run({"evaluate", "m.safetensors", file, "--columns", columns, "--label-column", "kind"});
    EXPECT_LE(outcome.status, 1) << outcome.err;
    return Json::parse(outcome.out)["classification"]["accuracy"].get<double>();
  };
  EXPECT_EQ(evaluated("flowers.csv", "width,height"), 1);
  EXPECT_EQ(evaluated("irises.csv", "a,b"), 1);
  write("rose.csv", "a,b,kind\n1,1,rose\n");
  expect_wrong_request({"energy", "m.safetensors", "rose.csv", "--columns", "a,b", "--label-column", "kind"},
                       {"'rose' is none of the classes 'aster, iris'"});
  succeed({"train", "flowers.csv", "--columns", "width,height", "--label-column", "class", "--classes", "3", "--head",
           "logits", "--hidden", "8", "--steps", "3", "--out", "plain.safetensors"});
  expect_wrong_request({"energy", "plain.safetensors", "flowers.csv", "--columns", "width,height", "--label-column",
                        "kind", "--map-labels"},
                       {"--map-labels", "the model notes no classes"});
}

TEST_F(Input, MissingValuesAreRefusedOrDroppedWithACount) {
  write("gaps.csv", "a,b,y\n1,2,0\n,4,1\n5,NA,0\n7,8,1\n");
  expect_wrong_request({"data", "gaps.csv"}, {"line 3, column 0 ('a')", "missing value", "--missing drop"});
  const Outcome dropped = succeed({"data", "gaps.csv", "--missing", "drop"});
  EXPECT_EQ(dropped.out, "1,2,0\n7,8,1\n");
  says(dropped, "gaps.csv: 2 of 4 rows were dropped for missing values");
  // A file of labels follows the rows that are kept.
  write("y.csv", "10\n11\n12\n13\n");
  succeed({"data", "gaps.csv", "--missing", "drop", "--columns", "a,b", "--labels", "y.csv", "--out", "x.npy",
           "--labels-out", "y.npy"});
  EXPECT_EQ(read_labels(path("y.npy")), (std::vector<int>{10, 13}));
  // Commands without the option do not speak of it.
  gaussian_model(3).save(path("m.safetensors"));
  const Outcome sample = run({"sample", "m.safetensors", "--init", "gaps.csv", "--out", "o.npy"});
  EXPECT_EQ(sample.status, 2);
  says(sample, "missing value");
  EXPECT_EQ(sample.err.find("drop"), std::string::npos) << sample.err;
}

TEST_F(Input, StandardInputIsReadWhereAFileIs) {
  const Matrix x(2, 2, {1, 2, 3, 4});
  write_matrix(path("x.npy"), x);
  gaussian_model(2).save(path("m.safetensors"));
  for (const std::string& bytes : {std::string("a;b\n1;2\n3;4\n"), read("x.npy")}) {
    const Outcome outcome = run_with_input({"data", "-", "--quiet"}, bytes);
    EXPECT_EQ(outcome.out, "1,2\n3,4\n") << outcome.err;
    EXPECT_EQ(run_with_input({"energy", "m.safetensors", "-"}, bytes).out, "2.5\n12.5\n");
    const std::vector<std::string> sample{"sample", "m.safetensors", "--init", "-", "--langevin-steps", "0"};
    EXPECT_EQ(run_with_input(sample, bytes).out, "1,2\n3,4\n");
  }
  const Outcome empty = run_with_input({"data", "-"}, "");
  EXPECT_EQ(empty.status, 2);
  says(empty, "standard input: holds no rows");
  std::string many;
  for (int i = 0; i < 100000; ++i) many += std::to_string(i) + "\n";
  EXPECT_EQ(run_with_input({"data", "-"}, many).out, many);
  const Outcome twice = run_with_input({"train", "-", "--labels", "-", "--head", "logits", "--out", "o"}, "1\n");
  EXPECT_EQ(twice.status, 2);
  says(twice, "--labels = -: standard input is DATA already");
}

TEST_F(Input, ListsTakeNumbersAndCommasOnly) {
  write_ring("x.npy");
  for (const char* hidden : {"12 8", "128, 128", " 8", "8;8", "8,", "1e2", "+8", "8,8 ", "0x8"}) {
    expect_wrong_request({"train", "x.npy", "--hidden", hidden, "--steps", "1", "--out", "o.safetensors"},
                         {"--hidden"});
  }
  for (const char* clamp : {"-1, 1", "-1 ,1", "-1;1", "-1 1", "-1,1,", "-1,1e39"}) {
    expect_wrong_request({"train", "x.npy", "--clamp", clamp, "--steps", "1", "--out", "o.safetensors"}, {"--clamp"});
  }
  for (const char* columns : {"0 1", "0, 1", "0;1", "0,0"}) {
    expect_wrong_request({"data", "x.npy", "--columns", columns}, {"--columns"});
  }
  for (const char* values : {"1 2", "1,2,3", "means", "nan", "1,", "inf"}) {
    expect_wrong_request({"data", "x.npy", "--subtract", values}, {"--subtract"});
  }
  expect_wrong_request({"data", "x.npy", "--divide", "0"}, {"--divide = 0", "not 0"});
}

TEST_F(Input, NumbersAreWhatWasWrittenOrRefused) {
  write_ring("x.npy");
  const auto refused = [&](const char* option, const char* value, const std::string& why) {
    expect_wrong_request({"train", "x.npy", option, value, "--out", "o.safetensors"}, {option, value, why});
  };
  refused("--learning-rate", "1e39", "must not exceed float32's 3.4e38");
  refused("--step-size", "1e-50", "too small for float32");
  refused("--seed", "18446744073709551616", "0 .. 18446744073709551615");
  refused("--seed", "1e20", "0 .. 18446744073709551615");
  refused("--seed", "-1", "0 .. 18446744073709551615");
  refused("--steps", "1e19", "at most 9223372036854775807");
  refused("--steps", "1.5", "must be a whole number");
  refused("--steps", "1e", "must be a whole number");
  EXPECT_EQ(succeed({"data", "rings", "--n", "1", "--seed", "1e16"}).out,
            succeed({"data", "rings", "--n", "1", "--seed", "10000000000000000"}).out);
  EXPECT_EQ(succeed({"data", "rings", "--n", "2.5e1"}).out, succeed({"data", "rings", "--n", "25"}).out);
  expect_wrong_request({"data", "rings", "--n", "0"}, {"--n = 0", "1 .. 1099511627776"});
  for (const char* threads : {"-1", "1025", "x", "inf", "1.5"}) {
    expect_wrong_request({"data", "rings", "--n", "1", "--threads", threads}, {"--threads", "0 .. 1024"});
  }
  expect_wrong_request({"data", "rings", "--n", "x"}, {"--n = x", "1 .. 1099511627776"});
}

TEST_F(Input, WordsOfOptionsAreListed) {
  write("x.csv", "1,2\n");
  expect_wrong_request({"data", "x.csv", "--header", "maybe"}, {"--header = maybe", "auto yes no"});
  expect_wrong_request({"data", "x.csv", "--missing", "keep"}, {"--missing = keep", "refuse drop"});
  expect_wrong_request({"data", "x.csv", "--delimiter", "|"}, {"--delimiter = |", ", ; tab space"});
  expect_wrong_request({"data", "x.csv", "--map-labels"}, {"--map-labels", "--label-column"});
  write_ring("x.npy");
  expect_wrong_request({"data", "x.npy", "--header", "yes"}, {"--header = yes", "is an array"});
  for (const char* option : {"--header", "--missing", "--subtract"}) {
    expect_wrong_request({"data", "rings", "--n", "5", option, "no"}, {option});
  }
}

}  // namespace
}  // namespace ebm::test
