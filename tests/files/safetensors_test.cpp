#include "host/files/safetensors.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <bit>
#include <cstring>
#include <numeric>

#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

std::vector<float> floats_of_bits(std::span<const std::uint32_t> bits) {
  std::vector<float> values(bits.size());
  std::memcpy(values.data(), bits.data(), bits.size_bytes());
  return values;
}

TEST(Safetensors, FileHasTheFormatsBytes) {
  const test::TemporaryDirectory directory;
  const std::vector<float> values = {1.0f, -2.0f};
  write_safetensors(directory / "a", {TensorData::of("w", {1, 2}, std::span(values))}, {{"k", "v"}});

  // 8-byte little-endian length, JSON padded with spaces to a multiple of 8, data.
  const std::string json = R"({"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})";
  const std::string header = json + std::string((8 - json.size() % 8) % 8, ' ');
  std::string expected = {static_cast<char>(header.size()), 0, 0, 0, 0, 0, 0, 0};
  expected += header;
  expected += std::string("\x00\x00\x80\x3f\x00\x00\x00\xc0", 8);
  EXPECT_EQ(test::read_bytes(directory / "a"), expected);
}

TEST(Safetensors, RoundTripKeepsEveryBit) {
  const test::TemporaryDirectory directory;
  // Zeros, denormals, extremes, infinities, quiet and signalling NaN with payloads.
  const std::array<std::uint32_t, 12> bits = {0u,          0x80000000u, 1u,          0x807fffffu,
                                              0x00800000u, 0x7f7fffffu, 0xff7fffffu, 0x7f800000u,
                                              0xff800000u, 0x7fc00000u, 0x7fa5a5a5u, 0xffffffffu};
  const std::vector<float> values = floats_of_bits(bits);
  const std::vector<std::uint64_t> wide = {0, 1, ~std::uint64_t{0}, std::uint64_t{1} << 63,
                                           (std::uint64_t{1} << 53) + 1};
  write_safetensors(directory / "a",
                    {TensorData::of("x", {3, 4}, std::span(values)), TensorData::of("n", {5}, std::span(wide))}, {});

  const SafetensorsReader reader{InputFile(directory / "a")};
  ASSERT_EQ(reader.tensors().size(), 2u);
  const TensorInfo* x = reader.find("x");
  ASSERT_NE(x, nullptr);
  EXPECT_EQ(x->shape, (std::vector<std::uint64_t>{3, 4}));
  const auto read = reader.read<float>(*x);
  EXPECT_EQ(std::memcmp(read.data(), bits.data(), sizeof(bits)), 0);
  EXPECT_EQ(reader.read<std::uint64_t>(*reader.find("n")), wide);
  EXPECT_EQ(reader.find("y"), nullptr);
}

TEST(Safetensors, WriterAlignsAndOrdersWhateverTheCallersOrder) {
  const test::TemporaryDirectory directory;
  const std::vector<float> three = {1, 2, 3};
  const std::vector<std::uint64_t> one = {7};
  const auto f = [&](const char* name) { return TensorData::of(name, {3}, std::span(three)); };
  const auto u = [&](const char* name) { return TensorData::of(name, {1}, std::span(one)); };
  write_safetensors(directory / "a", {f("b"), u("z"), f("a"), u("y")}, {{"k", "1"}, {"j", "2"}});
  write_safetensors(directory / "b", {u("y"), f("a"), f("b"), u("z")}, {{"j", "2"}, {"k", "1"}});
  EXPECT_EQ(test::read_bytes(directory / "a"), test::read_bytes(directory / "b"));

  const SafetensorsReader reader{InputFile(directory / "a")};
  for (const TensorInfo& tensor : reader.tensors()) EXPECT_EQ(tensor.begin % size_of(tensor.dtype), 0u) << tensor.name;
  EXPECT_LT(reader.find("y")->begin, reader.find("z")->begin);
  EXPECT_LT(reader.find("z")->begin, reader.find("a")->begin);
  EXPECT_LT(reader.find("a")->begin, reader.find("b")->begin);
}

TEST(Safetensors, MetadataKeepsAnyText) {
  const test::TemporaryDirectory directory;
  std::map<std::string, std::string> metadata = {{"plain", "value"},
                                                 {"", "empty key"},
                                                 {"empty value", ""},
                                                 {"quote \" backslash \\ slash /", "line\nfeed \t tab \x01 \x1f \x7f"},
                                                 {"Gr\xc3\xb6\xc3\x9f"
                                                  "e",
                                                  "\xf0\x9f\x8e\xb2 \xe2\x82\xac"}};
  metadata["zero byte"] = std::string("a\0b", 3);
  write_safetensors(directory / "a", {}, metadata);
  EXPECT_EQ(SafetensorsReader{InputFile(directory / "a")}.metadata(), metadata);
}

TEST(Safetensors, MetadataThatTheReaderRefusesIsNotWritten) {
  const test::TemporaryDirectory directory;
  const auto write = [&](const std::map<std::string, std::string>& metadata) {
    write_safetensors(directory / "a", {}, metadata);
  };
  EXPECT_TRUE(contains(message_of<ConfigError>([&] {
                         write({{"bad", "\xff"}});
                       }),
                       "'bad': name and value must be UTF-8"));
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { write({{"\xc3(", ""}}); }), "must be UTF-8"));
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { write({{"long", std::string(kMaxToken, 'x')}}); }), "'long'"));
  std::map<std::string, std::string> many;
  for (std::size_t i = 0; i <= kMaxMetadata; ++i) many[fmt::format("{}", i)] = "";
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { write(many); }), "1025 entries"));
  EXPECT_TRUE(directory.names().empty());

  // The limits themselves can be written and read.
  many.erase("0");
  many["1"] = std::string(kMaxToken - 2, 'x');
  write(many);
  EXPECT_EQ(SafetensorsReader{InputFile(directory / "a")}.metadata(), many);
}

TEST(Safetensors, EmptyTensorsAndEmptyFilesAreLegal) {
  const test::TemporaryDirectory directory;
  const std::vector<float> none, one = {1.0f};
  write_safetensors(directory / "a",
                    {TensorData::of("a", {0, 3}, std::span(none)), TensorData::of("b", {}, std::span(one)),
                     TensorData::of("c", {0}, std::span(none))},
                    {});
  const SafetensorsReader reader{InputFile(directory / "a")};
  EXPECT_EQ(reader.tensors().size(), 3u);
  EXPECT_EQ(reader.read<float>(*reader.find("b")), one);
  EXPECT_TRUE(reader.read<float>(*reader.find("c")).empty());

  write_safetensors(directory / "b", {}, {});
  EXPECT_TRUE(SafetensorsReader{InputFile(directory / "b")}.tensors().empty());
}

TEST(Safetensors, ReadRefusesAnotherDtypeOrCount) {
  const test::TemporaryDirectory directory;
  const std::vector<float> values = {1, 2};
  write_safetensors(directory / "a", {TensorData::of("w", {2}, std::span(values))}, {});
  const SafetensorsReader reader{InputFile(directory / "a")};
  const TensorInfo& w = *reader.find("w");
  EXPECT_TRUE(
      contains(message_of<FormatError>([&] { reader.read<std::uint64_t>(w); }), "tensor 'w' (byte 64): is F32; U64"));
  std::vector<float> three(3);
  EXPECT_TRUE(contains(message_of<FormatError>([&] { reader.read(w, std::span(three)); }), "holds 2 values; 3"));
}

TEST(Safetensors, PathsThatAreNoFileAreNamed) {
  const test::TemporaryDirectory directory;
  const auto open = [&](const std::filesystem::path& path) {
    return message_of<FormatError>([&] { InputFile file(path); });
  };
  EXPECT_TRUE(contains(open(directory / "none"), "none: cannot open: No such file or directory"));
  EXPECT_TRUE(contains(open(directory.path()), "is a directory"));
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0600), 0);
  EXPECT_TRUE(contains(open(directory / "fifo"), "is not a regular file"));
}

TEST(Safetensors, DtypeTableMatchesTheFormat) {
  const std::pair<Dtype, std::pair<const char*, std::size_t>> table[] = {
      {Dtype::boolean, {"BOOL", 1}},    {Dtype::u8, {"U8", 1}},           {Dtype::i8, {"I8", 1}},
      {Dtype::f8_e4m3, {"F8_E4M3", 1}}, {Dtype::f8_e5m2, {"F8_E5M2", 1}}, {Dtype::i16, {"I16", 2}},
      {Dtype::u16, {"U16", 2}},         {Dtype::f16, {"F16", 2}},         {Dtype::bf16, {"BF16", 2}},
      {Dtype::i32, {"I32", 4}},         {Dtype::u32, {"U32", 4}},         {Dtype::f32, {"F32", 4}},
      {Dtype::i64, {"I64", 8}},         {Dtype::u64, {"U64", 8}},         {Dtype::f64, {"F64", 8}}};
  for (const auto& [dtype, expected] : table) {
    EXPECT_EQ(to_string(dtype), expected.first);
    EXPECT_EQ(size_of(dtype), expected.second);
  }
}

}  // namespace
}  // namespace ebm
