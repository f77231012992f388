// Hostile safetensors files: each class of defect by hand, then every truncation and every change of one byte.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "host/files/safetensors.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

std::string file_of(std::string_view header, std::string_view data = {}) {
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + std::string(header) + std::string(data);
}

std::string refusal(const std::string& bytes) {
  return message_of<FormatError>([&] { SafetensorsReader reader(test::in_memory(bytes)); });
}

// A tensor's entry with one field replaced.
std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return fmt::format(R"({{"dtype":{},"shape":{},"data_offsets":{}}})", dtype, shape, offsets);
}

TEST(SafetensorsAbuse, LengthAndFrame) {
  EXPECT_TRUE(contains(refusal(""), "is 0 bytes long"));
  EXPECT_TRUE(contains(refusal("1234567"), "is 7 bytes long"));
  EXPECT_TRUE(contains(refusal(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8)), "byte 0: not a safetensors file"));
  EXPECT_TRUE(contains(refusal(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)), "100000000 are the most"));
  EXPECT_TRUE(contains(refusal(std::string("\x03\0\0\0\0\0\0\0{}", 10)), "a header of 3 bytes, but only 2 follow"));
  EXPECT_TRUE(contains(refusal(file_of("")), "byte 8: the header must start with '{'"));
  for (const char* header : {" {}", "[]", "null", "\xEF\xBB\xBF{}", "\"{}\"", "7"}) {
    EXPECT_TRUE(contains(refusal(file_of(header)), "byte 8: the header must start with '{'")) << header;
  }
}

TEST(SafetensorsAbuse, JsonSyntax) {
  for (const char* header : {"{", "{}}", "{}{}", "{} x", "{\"a\"}", "{\"a\":}", "{\"__metadata__\":{},}", "{'a':{}}",
                             "{/**/}", "{\"a\":{\"shape\":[01]}}", "{\"a\":{\"shape\":[1,]}}", "{\"\xff\":{}}",
                             "{\"\\ud800\":{}}", "{\"a\n\":{}}", "{\"a\":{\"shape\":[NaN]}}"}) {
    const std::string message = refusal(file_of(header));
    EXPECT_TRUE(contains(message, "the header is not valid JSON")) << header;
    EXPECT_TRUE(contains(message, "memory: byte ")) << header;
  }
  // A JSON parser may take a zero byte for the end, and never look at what follows.
  EXPECT_TRUE(contains(refusal(file_of(std::string("{}\0", 3))), "byte 10: a zero byte"));
  EXPECT_TRUE(contains(refusal(file_of(std::string("{}  \0PK", 7))), "byte 12: a zero byte"));
}

TEST(SafetensorsAbuse, Structure) {
  const auto refused = [](std::string_view header) { return refusal(file_of(header, "12345678")); };
  const std::string good = entry("\"F32\"", "[2]", "[0,8]");
  EXPECT_TRUE(contains(refused("{\"a\":" + good + ",\"a\":" + good + "}"), "'a' stands twice"));
  EXPECT_TRUE(contains(refused("{\"a\":" + good + ",\"\\u0061\":" + good + "}"), "'a' stands twice"));
  EXPECT_TRUE(contains(refused("{\"__metadata__\":{},\"__metadata__\":{}}"), "'__metadata__' stands twice"));
  EXPECT_TRUE(contains(refused("{\"__metadata__\":{\"k\":\"1\",\"k\":\"1\"}}"), "__metadata__: 'k' stands twice"));
  EXPECT_TRUE(
      contains(refused("{\"__metadata__\":{\"k\":1}}"), "__metadata__: 'k' must be a string, not the number 1"));
  EXPECT_TRUE(contains(refused("{\"__metadata__\":{\"k\":{}}}"), "'k' must be a string, not an object"));
  EXPECT_TRUE(contains(refused("{\"__metadata__\":{\"k\":null}}"), "'k' must be a string, not null"));
  EXPECT_TRUE(contains(refused("{\"__metadata__\":[]}"), "'__metadata__' must be an object, not a list"));
  EXPECT_TRUE(contains(refused("{\"a\":1}"), "'a' must be an object, not the number 1"));
  EXPECT_TRUE(contains(refused("{\"a\":true}"), "'a' must be an object, not true or false"));
  EXPECT_TRUE(contains(refused("{\"a\":{}}"), "tensor 'a': must have dtype, shape and data_offsets"));
  EXPECT_TRUE(
      contains(refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}"), "must have dtype, shape and data_offsets"));
  EXPECT_TRUE(contains(refused("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}"), "dtype stands twice"));
  EXPECT_TRUE(contains(refused("{\"a\":{\"strides\":[1]}}"), "tensor 'a': unknown field 'strides'"));
  EXPECT_TRUE(contains(refused("{\"a\":{\"shape\":[[2]]}}"), "a list has no place in shape"));
  EXPECT_TRUE(contains(refused("{\"a\":{\"shape\":{}}}"), "an object has no place in shape"));
  EXPECT_TRUE(contains(refused("{\"a\":{\"shape\":2}}"), "the number 2 has no place in shape"));
  EXPECT_TRUE(contains(refused("{\"a\":{\"dtype\":[]}}"), "a list has no place in dtype"));
  EXPECT_TRUE(contains(refused("{\"a\":{\"dtype\":\"F33\"}}"), "unknown dtype 'F33'"));
  EXPECT_TRUE(contains(refused("{\"a\":{\"dtype\":\"f32\"}}"), "unknown dtype 'f32'"));
}

TEST(SafetensorsAbuse, Numbers) {
  const auto with_shape = [](const std::string& shape) {
    return refusal(file_of("{\"a\":" + entry("\"F32\"", shape, "[0,8]") + "}", "12345678"));
  };
  EXPECT_TRUE(contains(with_shape("[-1]"), "tensor 'a': the negative number -1 has no place in shape"));
  EXPECT_TRUE(contains(with_shape("[2.0]"), "the number '2.0' has no place in shape"));
  EXPECT_TRUE(contains(with_shape("[1e1]"), "the number '1e1' has no place in shape"));
  EXPECT_TRUE(contains(with_shape("[18446744073709551616]"), "'18446744073709551616' has no place in shape"));
  EXPECT_TRUE(contains(with_shape("[1e999]"), "not valid JSON"));
  EXPECT_TRUE(contains(with_shape("[null]"), "null has no place in shape"));
  EXPECT_TRUE(contains(with_shape("[\"2\"]"), "a string has no place in shape"));
  EXPECT_TRUE(contains(with_shape("[3]"), "F32 [3] takes 12 bytes"));
  EXPECT_TRUE(contains(with_shape("[]"), "F32 [] takes 4 bytes"));
  EXPECT_TRUE(contains(with_shape("[0]"), "F32 [0] takes 0 bytes"));
  EXPECT_TRUE(contains(with_shape("[1,1,1,1,1,1,1,1,2]"), "shape has more than 8 axes"));
  // Products that wrap to 0 and to 8.
  EXPECT_TRUE(contains(with_shape("[4294967296,4294967296]"), "the product of the shape overflows"));
  EXPECT_TRUE(contains(with_shape("[9223372036854775810]"), "the product of the shape overflows"));
  EXPECT_TRUE(contains(with_shape("[18446744073709551615,18446744073709551615]"), "overflows"));

  const auto with_offsets = [](const std::string& offsets) {
    return refusal(file_of("{\"a\":" + entry("\"F32\"", "[2]", offsets) + "}", "12345678"));
  };
  EXPECT_TRUE(contains(with_offsets("[0,9]"), "the file holds 8 bytes of data"));
  EXPECT_TRUE(contains(with_offsets("[8,0]"), "data_offsets end before they begin"));
  EXPECT_TRUE(contains(with_offsets("[18446744073709551608,0]"), "end before they begin"));
  EXPECT_TRUE(contains(with_offsets("[0]"), "data_offsets must have 2 numbers"));
  EXPECT_TRUE(contains(with_offsets("[0,8,8]"), "data_offsets has more than 2 numbers"));
  EXPECT_TRUE(contains(with_offsets("[-0,8]"), "has no place in data_offsets"));
  EXPECT_TRUE(contains(with_offsets("[0,18446744073709551615]"), "the file holds 8 bytes"));
}

TEST(SafetensorsAbuse, Layout) {
  const auto two = [](const char* first, const char* second, std::string_view data) {
    return file_of("{\"a\":" + entry("\"U8\"", "[4]", first) + ",\"b\":" + entry("\"U8\"", "[4]", second) + "}", data);
  };
  SafetensorsReader good(test::in_memory(two("[0,4]", "[4,8]", "12345678")));
  SafetensorsReader reversed(test::in_memory(two("[4,8]", "[0,4]", "12345678")));
  EXPECT_TRUE(contains(refusal(two("[0,4]", "[0,4]", "1234")), "tensor 'b' (data_offsets [0, 4], byte"));
  EXPECT_TRUE(contains(refusal(two("[0,4]", "[2,6]", "123456")), "overlap: the tensors before it end at 4"));
  EXPECT_TRUE(contains(refusal(two("[0,4]", "[5,9]", "123456789")), "tensor 'b' (data_offsets [5, 9]"));
  EXPECT_TRUE(contains(refusal(two("[0,4]", "[5,9]", "123456789")), "gap: the tensors before it end at 4"));
  EXPECT_TRUE(contains(refusal(two("[1,5]", "[5,9]", "123456789")), "gap"));
  EXPECT_TRUE(contains(refusal(two("[0,4]", "[4,8]", "123456789")), "1 bytes after the last tensor"));  // polyglot
  EXPECT_TRUE(contains(refusal(file_of("{}", "x")), "byte 10: 1 bytes after the last tensor"));
  // An empty tensor may stand at a border only.
  const auto empty_at = [](const char* offsets) {
    return file_of("{\"a\":" + entry("\"U8\"", "[4]", "[0,4]") + ",\"e\":" + entry("\"U8\"", "[0]", offsets) + "}",
                   "1234");
  };
  SafetensorsReader at_end(test::in_memory(empty_at("[4,4]")));
  SafetensorsReader at_begin(test::in_memory(empty_at("[0,0]")));
  EXPECT_TRUE(contains(refusal(empty_at("[2,2]")), "tensor 'e'"));
  EXPECT_TRUE(contains(refusal(empty_at("[5,5]")), "the file holds 4 bytes"));
}

TEST(SafetensorsAbuse, Size) {
  // Depth, length and number, each far beyond the limit: refused where the limit is passed.
  EXPECT_TRUE(contains(refusal(file_of("{\"a\":" + std::string(1 << 20, '['))), "'a' must be an object, not a list"));
  EXPECT_TRUE(contains(refusal(file_of("{\"" + std::string(1 << 20, 'x') + "\":{}}")), "longer than 65536 bytes"));
  EXPECT_TRUE(contains(refusal(file_of("{\"a\":" + std::string(1 << 20, '1') + "}")), "longer than 65536 bytes"));
  std::string many = "{";
  for (int i = 0; i < 1025; ++i) many += fmt::format("{}\"{}\":{}", i ? "," : "", i, entry("\"U8\"", "[0]", "[0,0]"));
  EXPECT_TRUE(contains(refusal(file_of(many + "}")), "more than 1024 tensors"));
  std::string notes = "{\"__metadata__\":{";
  for (int i = 0; i < 1025; ++i) notes += fmt::format("{}\"{}\":\"\"", i ? "," : "", i);
  EXPECT_TRUE(contains(refusal(file_of(notes + "}}")), "__metadata__ has more than 1024 entries"));
}

TEST(SafetensorsAbuse, HostileNamesAreMadeFitForATerminal) {
  const std::string message = refusal(file_of(R"({"\u001b[2J\n)" + std::string(5000, 'x') + R"(":1})"));
  EXPECT_TRUE(contains(message, R"('\x1b[2J\x0a)"));
  EXPECT_LT(message.size(), 200u);
}

// A file that uses everything: metadata, several dtypes, an empty tensor, escapes, spaces.
std::string valid_file() {
  return file_of("{\"__metadata__\": {\"format\": \"ebmcuda\", \"n\\\"ote\": \"\\u00e9 x\"}, \"b.steps\": " +
                     entry("\"U64\"", "[2]", "[0, 16]") + ",\n\"net.0.weight\":" +
                     entry("\"F32\"", "[2,3]", "[16,40]") + ",\"e\":" + entry("\"F32\"", "[0,7]", "[40,40]") +
                     ",\"net.0.bias\":" + entry("\"F32\"", "[2]", "[40,48]") + "} ",
                 std::string(48, '\x3f'));
}

// Checks by its own arithmetic that what the reader accepted lies in the file, without gap or overlap.
void expect_sound(const SafetensorsReader& reader, std::uint64_t file_size, std::uint64_t header_length) {
  ASSERT_LE(8 + header_length, file_size);
  const std::uint64_t data_size = file_size - 8 - header_length;
  std::vector<int> covered(data_size, 0);
  for (const TensorInfo& tensor : reader.tensors()) {
    ASSERT_LE(tensor.begin, tensor.end);
    ASSERT_LE(tensor.end, data_size);
    long double product = static_cast<long double>(size_of(tensor.dtype));
    for (const std::uint64_t axis : tensor.shape) product *= static_cast<long double>(axis);
    ASSERT_EQ(product, static_cast<long double>(tensor.end - tensor.begin));
    for (std::uint64_t i = tensor.begin; i < tensor.end; ++i) ++covered[i];
    if (tensor.dtype == Dtype::f32) {
      EXPECT_EQ(reader.read<float>(tensor).size(), tensor.count());
    }
  }
  for (const int times : covered) ASSERT_EQ(times, 1);
}

TEST(SafetensorsAbuse, EveryTruncationIsRefused) {
  const std::string bytes = valid_file();
  SafetensorsReader whole(test::in_memory(bytes));
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const std::string cut = bytes.substr(0, n);
    EXPECT_THROW(SafetensorsReader reader(test::in_memory(cut)), FormatError) << n;
  }
}

TEST(SafetensorsAbuse, EveryChangeOfOneByteIsRefusedOrSound) {
  const std::string valid = valid_file();
  const std::size_t header_end = valid.size() - 48;
  std::size_t accepted = 0, refused = 0;
  for (std::size_t at = 0; at < header_end; ++at) {
    std::string bytes = valid;
    for (int value = 0; value < 256; ++value) {
      bytes[at] = static_cast<char>(value);
      std::uint64_t header_length = 0;
      std::memcpy(&header_length, bytes.data(), 8);
      try {
        const SafetensorsReader reader(test::in_memory(bytes));
        expect_sound(reader, bytes.size(), header_length);
        if (::testing::Test::HasFatalFailure()) FAIL() << "byte " << at << " = " << value;
        ++accepted;
      } catch (const FormatError&) {
        ++refused;
      }
    }
  }
  EXPECT_EQ(accepted + refused, header_end * 256);
  // Letters of names and notes may change; most of the header may not.
  EXPECT_GT(accepted, header_end);
  EXPECT_GT(refused, accepted);
}

}  // namespace
}  // namespace ebm
