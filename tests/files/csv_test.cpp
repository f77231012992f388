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

TEST(Csv, MistakesAreNamedWithLineAndColumnFromZero) {
  EXPECT_TRUE(contains(refusal("1,2\n3,x\n"), "line 2, column 1: 'x' is not a number that fits float32"));
  EXPECT_TRUE(contains(refusal("a,b\n1,2\n3,x\n"), "line 3, column 1 ('b'): 'x' is not a number"));
  EXPECT_TRUE(contains(refusal("a,b\n1,2\n3,\n"), "line 3, column 1 ('b') (row 1, column 1): '' is a missing value"));
  EXPECT_TRUE(contains(refusal("1,2\n3\n"), "line 2 has 1 columns; the lines before it have 2"));
  EXPECT_TRUE(contains(refusal("1,2\n3,4,5\n"), "line 2 has 3 columns"));
  EXPECT_TRUE(contains(refusal("1,2\n\n3,4\n"), "line 2, column 0 (row 1, column 0): '' is a missing value"));
  EXPECT_TRUE(contains(refusal("0\n1,5;2,5\n"), "line 2 has 3 columns; the lines before it have 1 (header = yes"));
  EXPECT_TRUE(contains(refusal("0;0\n1,5;2,5\n"), "decimal comma"));
  EXPECT_TRUE(contains(refusal("0\n1 2\n"), "delimiter = space"));
  for (const char* bad : {"1e39", "-3.5e38", "1.2.3", "0x10", "1,000", "--1", "+-1", "++1", "1f", "1 2", "1_000"}) {
    EXPECT_THROW(read(fmt::format("0\n{}\n", bad)), FormatError) << bad;
  }
  EXPECT_TRUE(contains(refusal(std::string("1\n2\0\n", 5)), "line 2, column 0: '2\\x00' is not a number"));
  EXPECT_TRUE(contains(refusal("9007199254740993\n1\n"), "beyond 2^53"));
  EXPECT_TRUE(contains(refusal("\xFF\xFE"
                               "1\n"),
                       "UTF-16"));
  EXPECT_TRUE(contains(refusal("0\n" + std::string(70000, '1') + "\n"), "line 2, column 0: a cell of more than 65536"));
}

TEST(Csv, QuotesAreThoseOfRfc4180) {
  EXPECT_EQ(read("\"1\",\"2.5\"\n3,\" -4 \"\n"), Matrix(2, 2, {1, 2.5f, 3, -4}));
  const auto picked = [](const std::string& text, const std::string& columns, const std::string& label) {
    TableOptions options;
    options.columns = columns;
    options.label_column = label;
    options.map_labels = !label.empty();
    const InputFile file = test::in_memory(text);
    return read_table(CsvSource(file, CsvHeader::automatic, 0), options);
  };
  // A delimiter, a doubled quotation mark and line ends within quotes are part of the cell.
  const Table table = picked("\"a \"\"b\"\"\",kind\n1,\"x,\ny\"\n2,\"x,\r\ny\"\n3,\"x,\ny\"\n", "a \"b\"", "kind");
  EXPECT_EQ(table.x, Matrix(3, 1, {1, 2, 3}));
  EXPECT_EQ(table.class_names, (std::vector<std::string>{"x,\ny", "x,\r\ny"}));
  EXPECT_EQ(table.labels, (std::vector<int>{0, 1, 0}));
}

TEST(Csv, LineEndsOfEverySystem) {
  const Matrix expected(2, 2, {1, 2, 3, 4});
  for (const char* text : {"1,2\r3,4\r", "1,2\r3,4", "a,b\r1,2\r3,4\r", "a,b\r\n1,2\r\n3,4\r\n\r\n", "1,2\n3,4\r\n"}) {
    EXPECT_EQ(read(text), expected) << text;
  }
  EXPECT_TRUE(contains(refusal("1\r2\r\n3\nx\n"), "line 4"));
}

TEST(Csv, DelimitersAreFoundOrGiven) {
  const Matrix expected(2, 2, {1, 2, 3, 4});
  for (const char* text :
       {"1;2\n3;4\n", "1\t2\n3\t4\n", "a;b\n1;2\n3;4\n", "\"a,b\";c\n1;2\n3;4\n", "a\tb\n1\t2\n3\t4\n"}) {
    EXPECT_EQ(read(text), expected) << text;
  }
  const auto with = [](const std::string& text, char delimiter) {
    const InputFile file = test::in_memory(text);
    return read_table(CsvSource(file, CsvHeader::automatic, delimiter), {}).x;
  };
  EXPECT_EQ(with(" 1  2 \n3\t4\n", ' '), expected);
  EXPECT_EQ(with("x y\n1 2\n3 4\n", ' '), expected);
  EXPECT_EQ(with("1;2\n3;4\n", ';'), expected);
  EXPECT_THROW(with("1;2\n3;4\n", ','), FormatError);
}

TEST(Csv, TheFirstLineIsNeverLost) {
  struct Case {
    const char* text;
    std::size_t rows;
    const char* remark;  // part of it, or null
  };
  const Case cases[] = {
      {"0,1,2\n0.5,1.5,2.5\n1.5,0.5,3.5\n", 3, "line 1 is read as a row of data, but holds whole numbers over others"},
      {"0,1\n2,3\n", 2, "counts 0 .. 1 as a header does"},
      {"1990,1991\n0.5,1.5\n", 2, "whole numbers over others"},
      {"0\n0.5\n1.5\n", 3, "whole numbers over others"},
      {"0\n1\n2\n", 3, nullptr},
      {"1.5,2\n0.5,1\n", 2, nullptr},
      {"3,1\n4,1\n", 2, nullptr},
      {"a,b\n1,2\n", 1, nullptr},
      {"1,x\n1,2\n", 1, "is taken for a header though some of its cells are numbers"},
      {",0,1\n0,0.5,1.5\n1,2.5,3.5\n", 2, "column 0 has no name"},
      {"# 0,1\n0.5,1.5\n", 1, nullptr},
      {"0.5,1\n#0.25,2\n0.75,3\n", 2, "1 line among the rows begins with #"},
      {"x,y,z\n1,2\n3,4\n", 2, "a header of 3 cells over rows of 2"},
  };
  for (const auto& [text, rows, remark] : cases) {
    SCOPED_TRACE(text);
    const InputFile file = test::in_memory(text);
    const Table table = read_table(CsvSource(file, CsvHeader::automatic, 0), {});
    EXPECT_EQ(table.x.rows(), rows);
    ASSERT_EQ(table.remarks.size(), remark == nullptr ? 0u : 1u);
    if (remark != nullptr) {
      EXPECT_TRUE(contains(table.remarks.front(), remark));
    }
  }
  const auto rows_with = [](const char* text, CsvHeader header) {
    const InputFile file = test::in_memory(text);
    const Table table = read_table(CsvSource(file, header, 0), {});
    EXPECT_TRUE(table.remarks.empty());
    return table.x.rows();
  };
  EXPECT_EQ(rows_with("0,1\n0.5,1.5\n", CsvHeader::yes), 1u);
  EXPECT_EQ(rows_with("0,1\n0.5,1.5\n", CsvHeader::no), 2u);
  EXPECT_THROW(rows_with("a,b\n0.5,1.5\n", CsvHeader::no), FormatError);
}

TEST(Csv, QuotesOutOfPlaceAreNamed) {
  EXPECT_TRUE(contains(refusal("1,2\n\"3\"4,5\n"), "line 2, column 0: there is text after the closing quotation mark"));
  EXPECT_TRUE(contains(refusal("1,2\n3,\"4\n5,6\n"), "line 2, column 1: a quotation mark is opened and never closed"));
}

TEST(Csv, FilesWithoutRowsAreRefused) {
  for (const char* text : {"", "\n\n", "x,y\n", "x,y", "\xEF\xBB\xBF"}) {
    EXPECT_TRUE(contains(refusal(text), "holds no rows of numbers")) << text;
  }
}

TEST(Csv, Labels) {
  EXPECT_EQ(labels("1\n0\n3.0\n"), (std::vector<int>{1, 0, 3}));
  EXPECT_EQ(labels("label\n1\n2\n"), (std::vector<int>{1, 2}));
  const auto refused = [](const std::string& text) { return message_of<FormatError>([&] { labels(text); }); };
  EXPECT_TRUE(contains(refused("1,2\n"), "labels have one column; this has 2"));
  EXPECT_TRUE(contains(refused("1\n2.5\n"), "line 2, column 0: '2.5' is not a whole number"));
  EXPECT_TRUE(contains(refused("1.5\n2\n"), "line 1, column 0: '1.5' is not a whole number"));  // no header
  EXPECT_TRUE(contains(refused("1\n2147483648\n"), "line 2, column 0: '2147483648' is no class"));
  EXPECT_TRUE(contains(refused("1\n-1\n"), "line 2, column 0: '-1' is no class"));
  EXPECT_TRUE(contains(refused("1\ncat\n"), "'cat' is not a whole number (map_labels"));
  EXPECT_TRUE(contains(refused("1\n\n2\n"), "line 2, column 0 (row 1, column 0): '' is a missing value"));
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

  write_labels(directory / "y.csv", std::vector<int>{3, 1, 2147483647});
  EXPECT_EQ(test::read_bytes(directory / "y.csv"), "3\n1\n2147483647\n");
  EXPECT_EQ(read_labels(directory / "y.csv"), (std::vector<int>{3, 1, 2147483647}));
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
