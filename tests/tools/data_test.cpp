#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "ebmcuda/dataset.hpp"
#include "ebmcuda/densities.hpp"
#include "ebmcuda/files.hpp"
#include "ebmcuda/targets.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class Data : public ProgramTest {
 protected:
  // Row i is (i, 100 + i, i % 3): a label in the last column.
  void write_table(int rows) const {
    std::string text;
    for (int i = 0; i < rows; ++i)
      text += std::to_string(i) + "," + std::to_string(100 + i) + "," + std::to_string(i % 3) + "\n";
    write("table.csv", text);
  }
};

TEST_F(Data, EveryDensityIsTheLibrarysDraw) {
  for (const Density2d density : all_densities_2d()) {
    const std::string name(to_string(density));
    const Outcome outcome = succeed({"data", name, "--n", "50", "--seed", "7", "--out", "x.npy"});
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(read_matrix(path("x.npy")), draw(density, 50, 7)) << name;
  }
}

TEST_F(Data, FirstGoesOnWhereAnotherCallEnded) {
  succeed({"data", "rings", "--n", "30", "--out", "all.npy"});
  succeed({"data", "rings", "--n", "10", "--first", "20", "--out", "last.csv"});
  const Matrix all = read_matrix(path("all.npy")), last = read_matrix(path("last.csv"));
  EXPECT_TRUE(std::ranges::equal(last.values(), all.view().slice(20, 30).values()));
}

TEST_F(Data, WithoutOutRowsGoToStdoutAndReadBackExactly) {
  const Outcome outcome = succeed({"data", "spirals", "--n", "20", "--quiet"});
  EXPECT_EQ(outcome.err, "");
  write("x.csv", outcome.out);
  EXPECT_EQ(read_matrix(path("x.csv")), draw(Density2d::spirals, 20, 0));
}

TEST_F(Data, WholeNumbersMayBeWrittenWithAnExponent) {
  succeed({"data", "rings", "--n", "1e2", "--out", "x.npy"});
  EXPECT_EQ(read_matrix(path("x.npy")).rows(), 100u);
}

TEST_F(Data, SplitIsAPartitionWithLabelsAlongside) {
  write_table(40);
  succeed({"data", "table.csv", "--label-column", "2", "--out", "x.npy", "--labels-out", "y.npy", "--held-out",
           "hx.npy", "--held-out-labels", "hy.npy", "--held-out-share", "0.25", "--seed", "3"});
  const Matrix x = read_matrix(path("x.npy")), held = read_matrix(path("hx.npy"));
  ASSERT_EQ(x.rows(), 30u);
  ASSERT_EQ(held.rows(), 10u);
  ASSERT_EQ(x.cols(), 2u);  // all columns but the label's
  const auto labels = read_labels(path("y.npy")), held_labels = read_labels(path("hy.npy"));
  std::multiset<int> seen;
  bool sorted = true;
  for (std::size_t i = 0; i < 40; ++i) {
    const auto row = i < 30 ? x.row(i) : held.row(i - 30);
    const int label = i < 30 ? labels.at(i) : held_labels.at(i - 30);
    EXPECT_EQ(row[1], 100 + row[0]);
    EXPECT_EQ(label, static_cast<int>(row[0]) % 3);
    sorted = sorted && static_cast<std::size_t>(row[0]) == i;
    seen.insert(static_cast<int>(row[0]));
  }
  std::multiset<int> all;
  for (int i = 0; i < 40; ++i) all.insert(i);
  EXPECT_EQ(seen, all);
  EXPECT_FALSE(sorted) << "the rows were not shuffled";
}

TEST_F(Data, ShuffleIsKeyedByTheSeed) {
  write_table(40);
  const auto shuffled = [&](const char* seed) {
    return succeed({"data", "table.csv", "--columns", "0", "--shuffle", "--seed", seed}).out;
  };
  EXPECT_EQ(shuffled("1"), shuffled("1"));
  EXPECT_NE(shuffled("1"), shuffled("2"));
  // Without it the order is the file's.
  const std::string plain = succeed({"data", "table.csv", "--columns", "0", "--n", "3"}).out;
  EXPECT_EQ(plain, "0\n1\n2\n");
}

TEST_F(Data, ColumnsTakeRangesAndLists) {
  write_table(2);
  EXPECT_EQ(succeed({"data", "table.csv", "--columns", "1:"}).out, "100,0\n101,1\n");
  EXPECT_EQ(succeed({"data", "table.csv", "--columns", ":2"}).out, "0,100\n1,101\n");
  EXPECT_EQ(succeed({"data", "table.csv", "--columns", "2,0:1"}).out, "0,0\n1,1\n");
}

TEST_F(Data, LabelsMayComeFromAFileOfTheirOwn) {
  write_table(4);
  write("labels.csv", "3\n1\n2\n0\n");
  succeed({"data", "table.csv", "--columns", "0", "--labels", "labels.csv", "--shuffle", "--out", "x.npy",
           "--labels-out", "y.npy"});
  const Matrix x = read_matrix(path("x.npy"));
  const int labels[] = {3, 1, 2, 0};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(read_labels(path("y.npy"))[i], labels[static_cast<std::size_t>(x(i, 0))]);
  }
}

TEST(Dataset, ShuffledOrderIsAPermutation) {
  for (const std::size_t n : {0u, 1u, 2u, 17u, 1000u}) {
    auto order = shuffled_order(n, 5);
    std::ranges::sort(order);
    std::vector<std::size_t> plain(n);
    std::iota(plain.begin(), plain.end(), std::size_t{0});
    EXPECT_EQ(order, plain);
  }
}

TEST(Dataset, DequantizedStaysInItsCellWithTheMomentsOfUniformNoise) {
  Matrix x(20000, 5);
  for (std::size_t i = 0; i < x.rows(); ++i) x(i, 1) = 3;
  const Matrix noisy = dequantized(x, 2.0f, 11);
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t d = 0; d < x.cols(); ++d) {
      const double u = static_cast<double>((noisy(i, d) - x(i, d)) / 2);
      ASSERT_GE(u, 0.0);
      ASSERT_LE(u, 1.0);
      sum += u;
      squares += u * u;
    }
  }
  // 10^5 uniforms: 4.9 standard errors of mean (0.2887) and of the second moment (0.2981), two-sided 1e-6. A Gaussian
  // of the same variance, or noise centred on 0, is rejected.
  const double n = 1e5;
  EXPECT_NEAR(sum / n, 0.5, 4.9 * 0.2887 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1.0 / 3, 4.9 * 0.2981 / std::sqrt(n));
  EXPECT_EQ(dequantized(x, 0.0f, 11), x);
  EXPECT_NE(dequantized(x, 2.0f, 12), noisy);
}

TEST_F(Data, TargetsOfAnyDimensionComeWithTheirExactLogDensities) {
  succeed({"data", "twonorm", "--n", "50", "--seed", "3", "--out", "x.npy", "--log-density", "l.npy"});
  const Matrix x = read_matrix(path("x.npy")), l = read_matrix(path("l.npy"));
  EXPECT_EQ(x, Target(TargetKind::twonorm, 20).draw(50, 3));
  for (std::size_t i = 0; i < 50; ++i) {
    EXPECT_FLOAT_EQ(l(i, 0), static_cast<float>(Target(TargetKind::twonorm, 20).log_density(x.row(i))));
  }
  // The same of points that come from elsewhere.
  succeed({"data", "twonorm", "--at", "x.npy", "--log-density", "again.npy"});
  EXPECT_EQ(read("again.npy"), read("l.npy"));
  const Outcome funnel = succeed({"data", "funnel", "--dim", "3", "--n", "4"});
  EXPECT_EQ(std::count(funnel.out.begin(), funnel.out.end(), ','), 8);
  EXPECT_NE(funnel.err.find("best attainable"), std::string::npos);
}

TEST_F(Data, WrongRequestsForTargets) {
  write("three.csv", "1,2,3\n");
  expect_wrong_request({"data", "funnel", "--dim", "1", "--n", "5", "--out", "o.npy"}, {"--dim = 1", "funnel"});
  expect_wrong_request({"data", "rings", "--dim", "3", "--n", "5", "--out", "o.npy"}, {"--dim", "plane"});
  expect_wrong_request({"data", "rings", "--at", "three.csv", "--log-density", "o.npy"}, {"--at", "plane"});
  expect_wrong_request({"data", "twonorm", "--at", "three.csv", "--n", "5"}, {"--n", "--at"});
  expect_wrong_request({"data", "three.csv", "--log-density", "o.npy"}, {"--log-density", "only for a density"});
  expect_wrong_request({"data", "donut", "--n", "5"}, {"donut", "two_moons", "twonorm"});
}

}  // namespace
}  // namespace ebm::test
