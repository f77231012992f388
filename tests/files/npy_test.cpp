#include "host/files/npy.hpp"

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

// As numpy.lib.format writes it: the data starts at a multiple of 64.
std::string npy(std::string_view dictionary, std::string_view data, int major = 1) {
  const std::size_t prefix = major == 1 ? 10 : 12;
  std::string text(dictionary);
  text.resize((prefix + text.size() + 1 + 63) / 64 * 64 - prefix - 1, ' ');
  text += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(major);
  bytes += '\0';
  for (std::size_t i = 0; i < prefix - 8; ++i) bytes += static_cast<char>(text.size() >> (8 * i) & 0xFF);
  return bytes + text + std::string(data);
}

std::string dictionary(std::string_view descr, std::string_view shape) {
  return fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", descr, shape);
}

template <class T>
std::string raw(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  std::string result(bytes.size(), '\0');
  std::ranges::copy(bytes, std::as_writable_bytes(std::span(result)).begin());
  return result;
}

Matrix read(const std::string& bytes) { return read_npy_matrix(test::in_memory(bytes)); }
std::vector<int> labels(const std::string& bytes) { return read_npy_labels(test::in_memory(bytes)); }
std::string refusal(const std::string& bytes) {
  return message_of<FormatError>([&] { read(bytes); });
}

TEST(Npy, WritesTheBytesOfNumPy) {
  const test::TemporaryDirectory directory;
  const Matrix matrix(3, 2, {0, 1, 2, 3, 4, 5});
  write_matrix(directory / "x.npy", matrix);
  EXPECT_EQ(test::read_bytes(directory / "x.npy"),
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", raw<float>({0, 1, 2, 3, 4, 5})));
  write_vector(directory / "e.npy", std::vector<float>{1, 2});
  EXPECT_EQ(test::read_bytes(directory / "e.npy"),
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", raw<float>({1, 2})));
  write_labels(directory / "y.npy", std::vector<int>{1, -2, 3});
  EXPECT_EQ(test::read_bytes(directory / "y.npy"),
            npy("{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }", raw<std::int32_t>({1, -2, 3})));
}

TEST(Npy, ReadsEveryVersionAndType) {
  const Matrix expected(2, 3, {0, 1, 2, 3, 250, 5});
  for (const int major : {1, 2, 3}) {
    EXPECT_EQ(read(npy(dictionary("<f4", "(2, 3)"), raw<float>({0, 1, 2, 3, 250, 5}), major)), expected);
    EXPECT_EQ(read(npy(dictionary("<f8", "(2, 3)"), raw<double>({0, 1, 2, 3, 250, 5}), major)), expected);
    EXPECT_EQ(read(npy(dictionary("|u1", "(2, 3)"), raw<std::uint8_t>({0, 1, 2, 3, 250, 5}), major)), expected);
    EXPECT_EQ(read(npy(dictionary("<i4", "(2, 3)"), raw<std::int32_t>({0, 1, 2, 3, 250, 5}), major)), expected);
    EXPECT_EQ(read(npy(dictionary("<i8", "(2, 3)"), raw<std::int64_t>({0, 1, 2, 3, 250, 5}), major)), expected);
  }
}

TEST(Npy, FlattensAxesAndReadsOneAxisAsAColumn) {
  const std::string data = raw<float>({1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(read(npy(dictionary("<f4", "(8,)"), data)), Matrix(8, 1, {1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(read(npy(dictionary("<f4", "(2, 2, 2)"), data)), Matrix(2, 4, {1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(Npy, AcceptsWhatPythonAccepts) {
  const Matrix expected(1, 2, {1, 2});
  const std::string data = raw<float>({1, 2});
  EXPECT_EQ(read(npy("{'shape': (1, 2), 'fortran_order': False, 'descr': '<f4'}", data)), expected);
  EXPECT_EQ(read(npy("{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(1,2,),}", data)), expected);
}

TEST(Npy, RoundTripKeepsEveryBitAndLongInputsAreConvertedWhole) {
  const test::TemporaryDirectory directory;
  std::vector<float> values = {0.0f,        -0.0f,     std::numeric_limits<float>::denorm_min(),
                               INFINITY,    -INFINITY, std::bit_cast<float>(0x7fc12345u),
                               3.14159274f, 1e-30f};
  values.resize(20000);
  for (std::size_t i = 8; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.1f;
  const Matrix matrix(10000, 2, values);
  write_matrix(directory / "x.npy", matrix);
  const Matrix back = read_matrix(directory / "x.npy");
  ASSERT_EQ(back.rows(), 10000u);
  ASSERT_EQ(back.cols(), 2u);
  EXPECT_EQ(std::memcmp(back.data(), values.data(), values.size() * sizeof(float)), 0);

  std::vector<double> wide(values.begin() + 6, values.end());  // crosses the pieces of the conversion
  const Matrix narrowed = read(npy(dictionary("<f8", fmt::format("({},)", wide.size())), raw(wide)));
  for (std::size_t i = 0; i < wide.size(); ++i) ASSERT_EQ(narrowed(i, 0), values[i + 6]);
}

TEST(Npy, DoublesBeyondFloatAreRefusedAndInfinitiesAreKept) {
  const auto one = [](double v) { return npy(dictionary("<f8", "(1,)"), raw<double>({v})); };
  EXPECT_TRUE(contains(refusal(one(1e300)), "row 0, column 0: 1e+300 is beyond the range of float32"));
  EXPECT_TRUE(contains(refusal(one(-3.5e38)), "beyond the range of float32"));
  EXPECT_EQ(read(one(INFINITY))(0, 0), INFINITY);
  EXPECT_TRUE(std::isnan(read(one(NAN))(0, 0)));
  EXPECT_EQ(read(one(1e-300))(0, 0), 0.0f);
}

TEST(Npy, Labels) {
  EXPECT_EQ(labels(npy(dictionary("|u1", "(3,)"), raw<std::uint8_t>({0, 9, 255}))), (std::vector<int>{0, 9, 255}));
  EXPECT_EQ(labels(npy(dictionary("<i4", "(2,)"), raw<std::int32_t>({1, 2147483647}))),
            (std::vector<int>{1, 2147483647}));
  EXPECT_EQ(labels(npy(dictionary("<i8", "(2, 1)"), raw<std::int64_t>({4, 5}))), (std::vector<int>{4, 5}));
  const auto refused = [](const std::string& bytes) { return message_of<FormatError>([&] { labels(bytes); }); };
  EXPECT_TRUE(contains(refused(npy(dictionary("<i8", "(1,)"), raw<std::int64_t>({2147483648}))),
                       "row 0, column 0: 2147483648 is no class"));
  EXPECT_TRUE(contains(refused(npy(dictionary("<i4", "(1,)"), raw<std::int32_t>({-1}))), "-1 is no class"));
  EXPECT_TRUE(contains(refused(npy(dictionary("<f4", "(2,)"), raw<float>({1, 1.5f}))),
                       "row 1, column 0: 1.5 is not a whole number"));
  EXPECT_TRUE(contains(refused(npy(dictionary("<i4", "(1, 2)"), raw<std::int32_t>({1, 2}))), "this has 2"));
  // Any dtype, as in a label column of a table.
  EXPECT_EQ(labels(npy(dictionary("<f8", "(2,)"), raw<double>({1, 3}))), (std::vector<int>{1, 3}));
  EXPECT_EQ(labels(npy(dictionary("|b1", "(2,)"), raw<std::uint8_t>({1, 0}))), (std::vector<int>{1, 0}));
}

TEST(Npy, EveryTypeInBothByteOrders) {
  const auto swapped = [](std::string bytes, std::size_t size) {
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                   bytes.begin() + static_cast<std::ptrdiff_t>(at + size));
    }
    return bytes;
  };
  const auto check = [&](const std::string& type, const std::string& data, const std::vector<float>& expected) {
    SCOPED_TRACE(type);
    const std::size_t size = data.size() / expected.size();
    const std::string shape = fmt::format("({},)", expected.size());
    const Matrix want(expected.size(), 1, expected);
    EXPECT_EQ(read(npy(dictionary((size == 1 ? "|" : "<") + type, shape), data)), want);
    EXPECT_EQ(read(npy(dictionary(">" + type, shape), swapped(data, size))), want);
  };
  check("b1", raw<std::uint8_t>({0, 1}), {0, 1});
  check("i1", raw<std::int8_t>({-128, 127}), {-128, 127});
  check("u1", raw<std::uint8_t>({0, 255}), {0, 255});
  check("i2", raw<std::int16_t>({-32768, 258}), {-32768, 258});
  check("u2", raw<std::uint16_t>({65535, 258}), {65535, 258});
  check("i4", raw<std::int32_t>({-16777216, 66051}), {-16777216, 66051});
  check("u4", raw<std::uint32_t>({4294967040u, 66051}), {4294967040.0f, 66051});
  check("i8", raw<std::int64_t>({-(std::int64_t{1} << 40), 66051}), {-0x1p40f, 66051});
  check("u8", raw<std::uint64_t>({std::uint64_t{1} << 63, 66051}), {0x1p63f, 66051});
  check("f4", raw<float>({1.5f, -2e-40f}), {1.5f, -2e-40f});
  check("f8", raw<double>({1.5, -0.25}), {1.5f, -0.25f});
  // Half precision: 1, -2, the largest, the least normal, the least denormal, 0.
  check("f2", raw<std::uint16_t>({0x3C00, 0xC000, 0x7BFF, 0x0400, 0x0001, 0x0000}),
        {1, -2, 65504, 0x1p-14f, 0x1p-24f, 0});
  const Matrix special = read(npy(dictionary("<f2", "(3,)"), raw<std::uint16_t>({0x7C00, 0xFC00, 0x7E00})));
  EXPECT_EQ(special(0, 0), INFINITY);
  EXPECT_EQ(special(1, 0), -INFINITY);
  EXPECT_TRUE(std::isnan(special(2, 0)));
}

TEST(Npy, FortranOrderIsTheSameArray) {
  const auto fortran = [](std::string_view shape) {
    return fmt::format("{{'descr': '<f4', 'fortran_order': True, 'shape': {}, }}", shape);
  };
  EXPECT_EQ(read(npy(fortran("(2, 3)"), raw<float>({1, 4, 2, 5, 3, 6}))), Matrix(2, 3, {1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(read(npy(fortran("(3,)"), raw<float>({1, 2, 3}))), Matrix(3, 1, {1, 2, 3}));
  // x[n][i][j] = 100 n + 10 i + j, shape (2, 3, 2): the first axis runs fastest in the file.
  std::vector<float> stored;
  for (int j = 0; j < 2; ++j) {
    for (int i = 0; i < 3; ++i) {
      for (int n = 0; n < 2; ++n) stored.push_back(static_cast<float>(100 * n + 10 * i + j));
    }
  }
  EXPECT_EQ(read(npy(fortran("(2, 3, 2)"), raw(stored))),
            Matrix(2, 6, {0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121}));
}

TEST(Npy, WholeNumbersThatADoubleWouldRoundAreRefused) {
  const std::int64_t big = (std::int64_t{1} << 53) + 1;
  EXPECT_TRUE(contains(refusal(npy(dictionary("<i8", "(2,)"), raw<std::int64_t>({0, big}))),
                       "element 1 (row 1, column 0) is 9007199254740993, beyond 2^53"));
  EXPECT_TRUE(
      contains(refusal(npy(dictionary("<u8", "(1,)"), raw<std::uint64_t>({~std::uint64_t{0}}))), "beyond 2^53"));
}

TEST(Npy, OtherTypesAreNamed) {
  const std::string data = raw<float>({1, 2});
  for (const char* descr : {"<c8", "|O", "<U5", "|S4", "", "<", "<f44", "<f1", "|f4", "<b2", "1 ", "<2 "}) {
    EXPECT_TRUE(contains(refusal(npy(dictionary(descr, "(2,)"), data)), fmt::format("dtype '{}' is not read", descr)));
  }
  EXPECT_TRUE(contains(refusal(npy("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,), }", data)),
                       "structured types are not read"));
}

TEST(Npy, HeaderMistakesAreNamedWithTheirByte) {
  const std::string data = raw<float>({1, 2});
  const auto refused = [&](std::string_view text) { return refusal(npy(text, data)); };
  EXPECT_TRUE(contains(refused("{'descr': '<f4', 'fortran_order': False, }"), "the key 'shape' is missing"));
  EXPECT_TRUE(contains(refused("{'fortran_order': False, 'shape': (2,), }"), "the key 'descr' is missing"));
  EXPECT_TRUE(contains(refused("{'descr': '<f4', 'shape': (2,), }"), "the key 'fortran_order' is missing"));
  EXPECT_TRUE(
      contains(refused("{'descr': '<f4', 'descr': '<f4', }"), "byte 35: .npy header: the key 'descr' stands twice"));
  EXPECT_TRUE(contains(refused("{'colour': 1}"), "byte 20: .npy header: unknown key 'colour'"));
  EXPECT_TRUE(contains(refused(dictionary("<f4", "(2)")), "shape: ',' is expected"));
  EXPECT_TRUE(contains(refused(dictionary("<f4", "[2]")), "'(' is expected here"));
  EXPECT_TRUE(contains(refused(dictionary("<f4", "(-2,)")), "shape: a whole number"));
  EXPECT_TRUE(contains(refused(dictionary("<f4", "(2.0,)")), "shape: ',' is expected here"));
  EXPECT_TRUE(contains(refused(dictionary("<f4", "(18446744073709551616,)")), "shape: a whole number below 2^64"));
  EXPECT_TRUE(contains(refused(dictionary("<f4", "(,)")), "shape: a whole number"));
  EXPECT_TRUE(contains(refused("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}"), "True or False is expected"));
  EXPECT_TRUE(contains(refused("{'descr': '<f4"), "a string without an end"));
  EXPECT_TRUE(contains(refused("__import__('os').abort()"), "byte 10: .npy header: '{' is expected here"));
  EXPECT_TRUE(contains(refused(dictionary("<f4", "(2,)") + "x"), "there is more after the closing brace"));
  EXPECT_TRUE(contains(refused(std::string("{}\0", 3)), "there is more after the closing brace"));
  EXPECT_TRUE(contains(refused(""), "'{' is expected here"));
}

TEST(Npy, ShapesThatDoNotFitTheFileAreRefused) {
  const auto refused = [&](std::string_view shape, std::size_t n = 2) {
    return refusal(npy(dictionary("<f8", shape), raw(std::vector<double>(n, 1.0))));
  };
  EXPECT_TRUE(
      contains(refused("(65536, 65536)"), "byte 128: shape (65536, 65536) takes 34359738368 bytes, but 16 follow"));
  EXPECT_TRUE(contains(refused("(4294967296, 4294967296)"), "its product overflows"));
  EXPECT_TRUE(contains(refused("(2305843009213693954,)"), "its product overflows"));  // 8 times that wraps to 16
  EXPECT_TRUE(contains(refused("(3,)"), "takes 24 bytes, but 16 follow"));
  EXPECT_TRUE(contains(refused("(1,)"), "takes 8 bytes, but 16 follow"));
  EXPECT_TRUE(contains(refused("(0,)", 0), "shape (0) holds no numbers"));
  EXPECT_TRUE(contains(refused("(9223372036854775808, 0)", 0), "holds no numbers"));
  EXPECT_TRUE(contains(refused("()", 1), "holds a single number"));
  EXPECT_TRUE(contains(refused("(" + std::string(99, '1').replace(1, 98, std::string(66, ',')) + ")"), "shape"));
  std::string axes;
  for (int i = 0; i < 33; ++i) axes += "1,";
  EXPECT_TRUE(contains(refused("(" + axes + ")"), "shape has more than 32 axes"));
}

TEST(Npy, FrameMistakesAreNamed) {
  const std::string good = npy(dictionary("<f4", "(2,)"), raw<float>({1, 2}));
  EXPECT_TRUE(contains(refusal(""), "is 0 bytes long"));
  EXPECT_TRUE(contains(refusal("PK\x03\x04" + std::string(100, 'x')), "byte 0: not a .npy file"));
  std::string bytes = good;
  bytes[6] = 4;
  EXPECT_TRUE(contains(refusal(bytes), "byte 6: .npy version 4.0 is unknown"));
  bytes[6] = 2;  // then the length has four bytes
  EXPECT_TRUE(contains(refusal(bytes), "byte 8: a header of"));
  bytes = npy(dictionary("<f4", "(2,)"), "", 2).substr(0, 11);
  EXPECT_TRUE(contains(refusal(bytes), "ends at byte 11"));
  bytes = good;
  bytes[9] = 1;
  EXPECT_TRUE(contains(refusal(bytes), "byte 8: a header of 374 bytes, but only 126 follow"));
}

TEST(Npy, EveryTruncationIsRefused) {
  const std::string bytes = npy(dictionary("<f4", "(2, 3)"), raw(std::vector<float>(6)));
  EXPECT_EQ(read(bytes).cols(), 3u);
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_THROW(read(bytes.substr(0, n)), FormatError) << n;
}

TEST(Npy, EveryChangeOfOneByteIsRefusedOrSound) {
  for (const int major : {1, 2}) {
    const std::string valid = npy(dictionary("<f4", "(2, 3)"), raw(std::vector<float>(6)), major);
    const std::size_t header_end = valid.size() - 24;
    std::size_t accepted = 0, refused = 0;
    for (std::size_t at = 0; at < header_end; ++at) {
      std::string bytes = valid;
      for (int value = 0; value < 256; ++value) {
        bytes[at] = static_cast<char>(value);
        try {
          const Matrix matrix = read(bytes);
          ASSERT_EQ(matrix.rows() * matrix.cols(), 6u) << "byte " << at << " = " << value;
          ++accepted;
        } catch (const FormatError&) {
          ++refused;
        }
      }
    }
    EXPECT_EQ(accepted + refused, header_end * 256);
    EXPECT_GE(accepted, header_end);  // the value that stands there, at least
    EXPECT_GT(refused, 100 * accepted);
  }
}

}  // namespace
}  // namespace ebm
