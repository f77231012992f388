// The policy above the formats: columns, labels, missing values, rescaling, and what float32 can hold.
#include "ebmcuda/table.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "ebmcuda/files.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

class Tables : public ::testing::Test {
 protected:
  Table read(const std::string& text, const TableOptions& options = {}) const {
    test::write_bytes(directory_ / "t.csv", text);
    return read_table(directory_ / "t.csv", options);
  }
  std::string refused_format(const std::string& text, const TableOptions& options = {}) const {
    return message_of<FormatError>([&] { read(text, options); });
  }
  std::string refused_request(const std::string& text, const TableOptions& options) const {
    return message_of<ConfigError>([&] { read(text, options); });
  }
  // One column of f8, x(i) for i < n.
  Table read_doubles(std::size_t n, const std::function<double(std::size_t)>& x,
                     const TableOptions& options = {}) const {
    std::string header = fmt::format("{{'descr': '<f8', 'fortran_order': False, 'shape': ({},), }}", n);
    header.resize(117, ' ');
    std::string bytes = std::string("\x93NUMPY\x01\0\x76\0", 10) + header + "\n";
    for (std::size_t i = 0; i < n; ++i) {
      const double v = x(i);
      bytes.append(reinterpret_cast<const char*>(&v), sizeof v);
    }
    test::write_bytes(directory_ / "d.npy", bytes);
    return read_table(directory_ / "d.npy", options);
  }
  test::TemporaryDirectory directory_;
};

const char* const kFlowers =
    "id,kind,width,height\n"
    "1,iris,0.5,1.5\n"
    "2,rose,NA,2.5\n"
    "3,iris,2.5,3.5\n"
    "4,aster,3.5,\n"
    "5,aster,4.5,5.5\n";

TEST_F(Tables, ColumnsGoByNumberOrName) {
  const char* text = "id,kind,a,b\n1,x,10,20\n2,y,11,21\n";
  TableOptions options;
  for (const char* columns : {"2:4", "a,b", "a,3", "2:", "2,b"}) {
    options.columns = columns;
    EXPECT_EQ(read(text, options).x, Matrix(2, 2, {10, 20, 11, 21})) << columns;
  }
  options.columns = "b,a";
  EXPECT_EQ(read(text, options).x, Matrix(2, 2, {20, 10, 21, 11}));
  const auto refused = [&](const std::string& columns) {
    options.columns = columns;
    return refused_request(text, options);
  };
  EXPECT_TRUE(contains(refused("c"), "columns = c: there is no column 'c'; the header names 'id', 'kind', 'a', 'b'"));
  EXPECT_TRUE(contains(refused("2:5"), "the table has columns 0 .. 3"));
  EXPECT_TRUE(contains(refused("4"), "the table has columns 0 .. 3"));
  EXPECT_TRUE(contains(refused("99999999999999999999"), "the table has columns 0 .. 3"));
  EXPECT_TRUE(contains(refused("3:2"), "'3:2' holds no column"));
  EXPECT_TRUE(contains(refused("2,a"), "column 2 ('a') is chosen twice"));
  EXPECT_TRUE(contains(refused("a,"), "must be columns such as"));
  options.columns = "a";
  EXPECT_TRUE(contains(refused_request("1,2\n3,4\n", options), "the file has no header"));
  EXPECT_TRUE(contains(refused_request("a,a\n3,4\n", options), "columns 0 and 1 are both called 'a'; give the number"));
}

TEST_F(Tables, TextIsNoMatterInColumnsThatAreNotChosen) {
  TableOptions options;
  options.columns = "1:";
  EXPECT_EQ(read("M,1,2\nF,3,4\n", options).x, Matrix(2, 2, {1, 2, 3, 4}));
  EXPECT_TRUE(contains(refused_format("M,1,2\nF,3,4\n"), "line 1, column 0: 'M' is not a number"));
}

TEST_F(Tables, TheLabelColumnIsNeverAFeature) {
  TableOptions options;
  options.label_column = "2";
  const char* text = "1,2,0\n3,4,1\n";
  EXPECT_EQ(read(text, options).x, Matrix(2, 2, {1, 2, 3, 4}));
  EXPECT_EQ(read(text, options).labels, (std::vector<int>{0, 1}));
  options.columns = "0:3";
  EXPECT_TRUE(contains(refused_request(text, options), "holds column 2, which is the label column and no feature"));
  options = {};
  options.left_out = "2";
  EXPECT_EQ(read(text, options).x.cols(), 2u);
  EXPECT_TRUE(read(text, options).labels.empty());
  options = {};
  options.label_column = "3";
  EXPECT_TRUE(contains(refused_request(text, options), "has columns 0 .. 2"));
}

TEST_F(Tables, LabelsAreNumberedOnRequest) {
  TableOptions options;
  options.label_column = "kind";
  options.columns = "id";
  EXPECT_TRUE(contains(refused_format(kFlowers, options), "line 2, column 1 ('kind'): 'iris' is not a whole number"));
  options.map_labels = true;
  const Table table = read(kFlowers, options);
  EXPECT_EQ(table.class_names, (std::vector<std::string>{"aster", "iris", "rose"}));
  EXPECT_EQ(table.labels, (std::vector<int>{1, 2, 1, 0, 0}));
  options.map_labels = false;
  options.classes = {"rose", "iris", "aster"};
  EXPECT_EQ(read(kFlowers, options).labels, (std::vector<int>{1, 0, 1, 2, 2}));
  options.classes = {"rose", "iris"};
  EXPECT_TRUE(contains(refused_format(kFlowers, options), "'aster' is none of the classes 'rose, iris'"));
  // Numbers in their order, not in that of their digits.
  options = {};
  options.label_column = "1";
  options.map_labels = true;
  const Table numbers = read("0.5,10\n0.5,9\n0.5,-1\n0.5,9.0\n", options);
  EXPECT_EQ(numbers.class_names, (std::vector<std::string>{"-1", "9", "10"}));
  EXPECT_EQ(numbers.labels, (std::vector<int>{2, 1, 0, 1}));
  EXPECT_EQ(empty_classes({0, 2, 5, 2}, 6), (std::vector<int>{1, 3, 4}));
}

TEST_F(Tables, MissingValuesAreRefusedOrTheirRowsDropped) {
  TableOptions options;
  options.columns = "width,height";
  options.label_column = "kind";
  options.map_labels = true;
  EXPECT_TRUE(contains(refused_format(kFlowers, options),
                       "line 3, column 2 ('width') (row 1, column 2): 'NA' is a missing value"));
  options.missing = MissingValues::drop;
  const Table table = read(kFlowers, options);
  EXPECT_EQ(table.x, Matrix(3, 2, {0.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f}));
  EXPECT_EQ(table.labels, (std::vector<int>{1, 1, 0}));
  EXPECT_EQ(table.class_names, (std::vector<std::string>{"aster", "iris"}));  // no row of a rose is left
  EXPECT_EQ(table.kept, (std::vector<std::size_t>{0, 2, 4}));
  EXPECT_EQ(table.rows_in_file, 5u);
  EXPECT_DOUBLE_EQ(table.mean[0], 2.5);  // of the rows that are kept
  ASSERT_EQ(table.remarks.size(), 1u);
  EXPECT_TRUE(contains(table.remarks[0], "2 of 5 rows were dropped for missing values"));
  // In a column that is not chosen nothing is missing.
  options = {};
  options.columns = "id";
  EXPECT_EQ(read(kFlowers, options).x.rows(), 5u);
  options = {};
  options.missing = MissingValues::drop;
  EXPECT_EQ(read("1\n\nnan\n4\n?\nNone\n#N/A\n", options).x, Matrix(2, 1, {1, 4}));
  EXPECT_TRUE(contains(refused_format("1,\nNA,2\n", options), "every row has a missing value"));
  EXPECT_EQ(read_doubles(
                3, [](std::size_t i) { return i == 1 ? NAN : 2.0; }, options)
                .x,
            Matrix(2, 1, {2, 2}));
  EXPECT_TRUE(contains(refused_format("1\ninf\n", options), "inf is not finite"));
}

TEST_F(Tables, MomentsAreThoseOfTheDoubles) {
  // From 2^24 on odd numbers are no floats.
  const Table table = read("16777217,1\n16778217,1\n16779217,1\n16780217,1\n16781221,1\n");
  EXPECT_DOUBLE_EQ(table.mean[0], 16777217 + 2000.8);
  EXPECT_NEAR(table.std[0], std::sqrt((4003200.64 + 1001600.64 + 0.64 + 998400.64 + 4012810.24) / 5), 1e-6);
  EXPECT_EQ(table.std[1], 0);
  const Standardization standardization = standardization_of(table);
  EXPECT_EQ(standardization.mean[0], 16779218.0f);
  EXPECT_EQ(standardization.std[1], 1);
  EXPECT_FLOAT_EQ(standardization_of(table, 6.0f).std[1], 6 / std::sqrt(12.0f));
}

TEST_F(Tables, ValuesThatFloat32MergesAreRefusedWithTheCure) {
  const auto refused = [&](std::size_t n, const std::function<double(std::size_t)>& x) {
    return message_of<FormatError>([&] { read_doubles(n, x); });
  };
  const auto wave = [](std::size_t i) { return std::sin(static_cast<double>(i)); };
  EXPECT_TRUE(contains(refused(100, [&](std::size_t i) { return 1e12 + wave(i); }),
                       "column 0: rounding to float32 merges 100 different values into 1; subtract the offset"));
  EXPECT_TRUE(contains(refused(86400, [](std::size_t i) { return 1.7e9 + static_cast<double>(i); }), "(of a sample)"));
  EXPECT_TRUE(contains(refused(100, [&](std::size_t i) { return 1e-60 * wave(i); }), "choose a smaller unit"));
  // Values that stay apart and yet move: steps of 80 at an offset where floats lie 64 apart.
  EXPECT_TRUE(contains(refused(8, [](std::size_t i) { return 1e9 + 80 * static_cast<double>(i); }), "moves values by"));
  // The other side: what float32 holds well enough, constants (also those of a computation's rounding), wide spreads.
  const auto fine = [&](std::size_t n, const std::function<double(std::size_t)>& x) {
    EXPECT_EQ(read_doubles(n, x).x.rows(), n);
  };
  fine(100000, wave);
  fine(100, [&](std::size_t i) { return 1e4 + wave(i); });
  fine(100, [](std::size_t i) { return 1e12 + (i % 2 == 0 ? 0 : 1e-4); });
  fine(100, [](std::size_t) { return 0.1; });
  fine(100, [&](std::size_t i) { return 1e-30 * wave(i); });
  fine(100, [&](std::size_t i) { return 1e30 * wave(i); });
  fine(100, [&](std::size_t i) { return i == 0 ? 1e12 : wave(i); });
  EXPECT_TRUE(contains(refused_format("x,time\n1,1700000000.5\n2,1700000001.5\n3,1700000002.5\n"),
                       "column 1 ('time'): rounding to float32 merges"));
}

TEST_F(Tables, RescalingIsDoneBeforeTheRounding) {
  TableOptions options;
  options.rescaling.subtract_mean = options.rescaling.divide_std = true;
  const auto unit = [](std::size_t i) { return i % 2 == 0 ? 1.0 : -1.0; };
  for (const double offset : {0.0, 1e12, -1e12}) {
    for (const double scale : {1e-30, 1.0, 1e30, 1e-150, 1e150}) {
      if (offset != 0 && scale != 1) continue;
      const Table table = read_doubles(
          1000, [&](std::size_t i) { return offset + scale * unit(i); }, options);
      for (std::size_t i = 0; i < 1000; ++i) ASSERT_FLOAT_EQ(table.x(i, 0), static_cast<float>(unit(i)));
      EXPECT_NEAR(table.mean[0], 0, 1e-12);
      EXPECT_NEAR(table.std[0], 1, 1e-12);
      // The values that were used do the same to another file.
      TableOptions again;
      again.rescaling.subtract = table.subtracted;
      again.rescaling.divide = table.divided;
      EXPECT_EQ(read_doubles(
                    1000, [&](std::size_t i) { return offset + scale * unit(i); }, again)
                    .x,
                table.x);
    }
  }
  options = {};
  options.rescaling.subtract = {1, 2};
  EXPECT_EQ(read("1,2\n3,4.5\n", options).x, Matrix(2, 2, {0, 0, 2, 2.5f}));
  options.rescaling.subtract = {1, 2, 3};
  EXPECT_TRUE(contains(refused_request("1,2\n", options), "one for each of the 2 features"));
  options.rescaling.subtract = {};
  options.rescaling.divide = {0};
  EXPECT_TRUE(contains(refused_request("1,2\n", options), "divide = 0: must be finite and not 0"));
}

TEST_F(Tables, ArraysHaveNoHeaderAndNoDelimiter) {
  write_matrix(directory_ / "x.npy", Matrix(2, 2));
  TableOptions options;
  options.header = CsvHeader::yes;
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { read_table(directory_ / "x.npy", options); }), "header = yes"));
  options = {};
  options.delimiter = ';';
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { read_table(directory_ / "x.npy", options); }), "delimiter = ;"));
}

TEST_F(Tables, ReadsTsv) {
  test::write_bytes(directory_ / "t.tsv", "a\tb\n1\t\t\n");
  EXPECT_THROW(read_table(directory_ / "t.tsv"), FormatError);
  test::write_bytes(directory_ / "t.tsv", "a, b\tc\n1\t2\n");
  TableOptions options;
  options.columns = "c";
  EXPECT_EQ(read_table(directory_ / "t.tsv", options).x, Matrix(1, 1, {2}));
}

}  // namespace
}  // namespace ebm
