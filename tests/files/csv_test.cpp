#include "host/files/csv.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "ebmcuda/files.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

Matrix read(const std::string& text) { return read_csv_matrix(test::in_memory(text)); }
std::vector<int> labels(const std::string& text) { return read_csv_labels(test::in_memory(text)); }
std::string refusal(const std::string& text) {
  return message_of<FormatError>([&] { read(text); });
}

TEST(Csv, ReadsNumbers) {
  EXPECT_EQ(read("1,2\n3,4\n"), Matrix(2, 2, {1, 2, 3, 4}));
  EXPECT_EQ(read("1,2\n3,4"), Matrix(2, 2, {1, 2, 3, 4}));
  EXPECT_EQ(read("7\n8\n9\n"), Matrix(3, 1, {7, 8, 9}));
  EXPECT_EQ(read(" 1 ,\t-2.5e3\n+3,.5\n"), Matrix(2, 2, {1, -2500, 3, 0.5f}));
  EXPECT_EQ(read("1,2\r\n3,4\r\n"), Matrix(2, 2, {1, 2, 3, 4}));
  EXPECT_EQ(read("\xEF\xBB\xBF"
                 "1,2\n"),
            Matrix(1, 2, {1, 2}));
  EXPECT_EQ(read("1,2\n\n \r\n\n"), Matrix(1, 2, {1, 2}));
}

TEST(Csv, ReadsWhatIsNotFiniteOrTooSmall) {
  const Matrix x = read("nan,inf,-inf,1e-50,-1e-42\n");
  EXPECT_TRUE(std::isnan(x(0, 0)));
  EXPECT_EQ(x(0, 1), INFINITY);
  EXPECT_EQ(x(0, 2), -INFINITY);
  EXPECT_EQ(x(0, 3), 0.0f);
  EXPECT_EQ(x(0, 4), -1e-42f);
}

TEST(Csv, FirstLineWithAWordIsAHeaderWhateverItsLength) {
  const Matrix expected(2, 2, {1, 2, 3, 4});
  EXPECT_EQ(read("x,y\n1,2\n3,4\n"), expected);
  EXPECT_EQ(read("\"a, b\",y\n1,2\n3,4\n"), expected);
  EXPECT_EQ(read("# made by hand\n1,2\n3,4\n"), expected);
  EXPECT_EQ(read("2,2,class_0,class_1,class_2\n1,2\n3,4\n"), expected);  // scikit-learn's
  EXPECT_EQ(read("x,\n1,2\n3,4\n"), expected);
  EXPECT_EQ(read("\n1,2\n3,4\n"), expected);
}

TEST(Csv, MistakesAreNamedWithLineAndColumn) {
  EXPECT_TRUE(contains(refusal("1,2\n3,x\n"), "line 2, column 2: 'x' is not a number that fits float32"));
  EXPECT_TRUE(contains(refusal("a,b\n1,2\n3,\n"), "line 3, column 2: '' is not a number"));
  EXPECT_TRUE(contains(refusal("1,2\n3\n"), "line 2 has 1 columns; the lines before it have 2"));
  EXPECT_TRUE(contains(refusal("1,2\n3,4,5\n"), "line 2 has 3 columns"));
  EXPECT_TRUE(contains(refusal("1,2\n\n3,4\n"), "line 2 is empty"));
  EXPECT_TRUE(contains(refusal("1;2\n3;4\n"), "line 2, column 1: '3;4' is not a number"));
  for (const char* bad :
       {"1e39", "-3.5e38", "1.2.3", "0x10", "1,000", "--1", "+-1", "++1", "1f", "\"1\"", "1 2", "1_000"}) {
    EXPECT_THROW(read(fmt::format("0\n{}\n", bad)), FormatError) << bad;
  }
  EXPECT_TRUE(contains(refusal(std::string("1\n2\0\n", 5)), "line 2, column 1: '2\\x00' is not a number"));
}

TEST(Csv, FilesWithoutRowsAreRefused) {
  for (const char* text : {"", "\n\n", "x,y\n", "x,y", "\xEF\xBB\xBF"}) {
    EXPECT_TRUE(contains(refusal(text), "holds no rows of numbers")) << text;
  }
}

TEST(Csv, Labels) {
  EXPECT_EQ(labels("1\n0\n-3\n"), (std::vector<int>{1, 0, -3}));
  EXPECT_EQ(labels("label\n1\n2\n"), (std::vector<int>{1, 2}));
  const auto refused = [](const std::string& text) { return message_of<FormatError>([&] { labels(text); }); };
  EXPECT_TRUE(contains(refused("1,2\n"), "labels have one column; this has 2"));
  EXPECT_TRUE(contains(refused("1\n2.5\n"), "line 2, column 1: '2.5' is not a whole number"));
  EXPECT_TRUE(contains(refused("1.5\n2\n"), "line 1, column 1: '1.5' is not a whole number"));  // no header
  EXPECT_TRUE(contains(refused("1\n2147483648\n"), "line 2"));
}

TEST(Csv, RoundTripKeepsEveryFloat) {
  const test::TemporaryDirectory directory;
  std::vector<float> values;
  // Every exponent, with mantissas that need all nine digits.
  for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
    for (const std::uint32_t mantissa : {0u, 1u, 0x2AAAAAu, 0x7FFFFFu}) {
      values.push_back(std::bit_cast<float>(exponent << 23 | mantissa));
      values.push_back(std::bit_cast<float>(0x80000000u | exponent << 23 | mantissa));
    }
  }
  values.push_back(INFINITY);
  values.push_back(-INFINITY);
  const Matrix matrix(values.size() / 2, 2, values);
  write_matrix(directory / "x.csv", matrix);
  const Matrix back = read_matrix(directory / "x.csv");
  ASSERT_EQ(back.rows(), matrix.rows());
  EXPECT_EQ(std::memcmp(back.data(), values.data(), values.size() * sizeof(float)), 0);

  write_labels(directory / "y.csv", std::vector<int>{3, -1, 2147483647});
  EXPECT_EQ(test::read_bytes(directory / "y.csv"), "3\n-1\n2147483647\n");
  EXPECT_EQ(read_labels(directory / "y.csv"), (std::vector<int>{3, -1, 2147483647}));
  write_vector(directory / "e.csv", std::vector<float>{0.1f, 2.0f});
  EXPECT_EQ(test::read_bytes(directory / "e.csv"), "0.1\n2\n");
}

TEST(Csv, EveryChangeOfOneByteIsRefusedOrSound) {
  const std::string valid = "a,b\n1.5,-2e3\n3,4\n";
  std::size_t accepted = 0, refused = 0;
  for (std::size_t at = 0; at < valid.size(); ++at) {
    std::string text = valid;
    for (int value = 0; value < 256; ++value) {
      text[at] = static_cast<char>(value);
      try {
        const Matrix matrix = read(text);
        ASSERT_EQ(matrix.values().size(), matrix.rows() * matrix.cols());
        ++accepted;
      } catch (const FormatError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(accepted, 256u);  // all that can stand in the header line
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace ebm
