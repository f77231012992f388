// ebm train --transform: what is chosen, what is said, what the file holds.
#include <fmt/format.h>

#include <algorithm>

#include "ebmcuda/mlp.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class TransformOptionTest : public ProgramTest {
 protected:
  TransformOptionTest() {
    write_ring("ring.npy");
    // Five columns; the last two hold whole numbers.
    std::string table = "a,b,c,d,e\n";
    for (int i = 0; i < 100; ++i) {
      table += fmt::format("{},{},{},{},{}\n", 0.013 * ((i * 37) % 101), 0.5 + 0.029 * ((i * 53) % 97),
                           -0.017 * ((i * 71) % 89), i % 4, (i * i) % 7);
    }
    write("table.csv", table);
    std::string few = "a,b,c,d\n";
    for (int i = 0; i < 12; ++i)
      few += fmt::format("{},{},{},{}\n", 0.3 * i, 1.1 * ((i * 5) % 12), i % 3 + 0.5, -i * 0.7);
    write("few.csv", few);
  }
  static std::vector<std::string> train(const std::string& data, std::vector<std::string> more) {
    std::vector<std::string> all{"train", data,           "--out", "m.safetensors",    "--hidden", "4", "--steps",
                                 "3",     "--batch-size", "8",     "--langevin-steps", "2"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  TransformKind kind() const { return Mlp::load(path("m.safetensors")).transform().kind(); }
};

TEST_F(TransformOptionTest, EachKindReachesTheModel) {
  for (const char* name : {"none", "standardize", "whiten", "marginals", "marginals+whiten"}) {
    const Outcome outcome = succeed(train("table.csv", {"--transform", name}));
    EXPECT_NE(outcome.err.find(std::string("transform ") + name), std::string::npos) << outcome.err;
    EXPECT_EQ(to_string(kind()), name);
    const Outcome info = succeed({"info", "m.safetensors"});
    EXPECT_NE(info.out.find(name), std::string::npos) << info.out;
    const Outcome energies = succeed({"energy", "m.safetensors", "table.csv"});
    EXPECT_EQ(std::ranges::count(energies.out, '\n'), 100);
  }
  succeed(train("ring.npy", {"--no-standardize"}));
  EXPECT_EQ(kind(), TransformKind::none);
}

TEST_F(TransformOptionTest, AutoSaysWhatItChoseAndWhy) {
  EXPECT_NE(succeed(train("ring.npy", {})).err.find("transform standardize, chosen for 2 columns"), std::string::npos);
  EXPECT_EQ(kind(), TransformKind::standardize);
  EXPECT_NE(succeed(train("table.csv", {"--transform", "auto"})).err.find("chosen for 5 columns, 100 rows"),
            std::string::npos);
  EXPECT_EQ(kind(), TransformKind::marginals_whiten);
  EXPECT_NE(succeed(train("table.csv", {"--dequantize", "1"})).err.find("chosen for 2 of 5 columns"),
            std::string::npos);
  EXPECT_NE(succeed(train("few.csv", {})).err.find("chosen for 12 rows"), std::string::npos);
  EXPECT_EQ(kind(), TransformKind::marginals);
  EXPECT_NE(succeed(train("table.csv", {"--clamp", "-9,9"})).err.find("chosen for a clamp"), std::string::npos);
  EXPECT_EQ(kind(), TransformKind::marginals);
}

TEST_F(TransformOptionTest, WholeNumbersWithoutNoiseAreSaid) {
  EXPECT_NE(succeed(train("table.csv", {})).err.find("2 of 5 columns hold whole numbers only (the first is column 3)"),
            std::string::npos);
  EXPECT_EQ(succeed(train("table.csv", {"--dequantize", "1"})).err.find("whole numbers only"), std::string::npos);
  EXPECT_EQ(succeed(train("ring.npy", {})).err.find("whole numbers"), std::string::npos);
}

TEST_F(TransformOptionTest, WrongRequests) {
  expect_wrong_request(train("ring.npy", {"--transform", "pca"}), {"--transform", "marginals+whiten auto"});
  expect_wrong_request(train("ring.npy", {"--transform", "whiten", "--standardize"}), {"--transform", "--standardize"});
  expect_wrong_request(train("ring.npy", {"--transform", "whiten", "--clamp", "-9,9"}), {"--clamp", "whiten"});
}

}  // namespace
}  // namespace ebm::test
