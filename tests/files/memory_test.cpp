// What a file can make the readers allocate: at most its own size + 1 MiB at any time. This program's operator new
// counts.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "ebmcuda/files.hpp"
#include "ebmcuda/mlp.hpp"
#include "host/files/csv.hpp"
#include "host/files/npy.hpp"
#include "host/files/safetensors.hpp"
#include "tests/files/support.hpp"

namespace {
std::size_t live = 0, peak = 0;
}

// Not inlined: GCC would see malloc meet delete, and warn, or leave out a pair that nobody uses.
[[gnu::noinline]] void* operator new(std::size_t n) {
  void* p = std::malloc(n);
  if (p == nullptr) throw std::bad_alloc();
  live += ::malloc_usable_size(p);
  peak = std::max(peak, live);
  return p;
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  live -= ::malloc_usable_size(p);
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { operator delete(p); }

namespace ebm {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// Bytes that `run` has in use at its peak; whether it throws is not the matter here.
template <class Run>
std::size_t peak_of(const Run& run) {
  const std::size_t before = live;
  peak = live;
  try {
    run();
  } catch (const FormatError&) {
  }
  return peak - before;
}

std::string file_of(const std::string& header, std::size_t data = 0) {
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data, '\0');
}

void expect_bounded(const std::string& bytes) {
  const std::size_t used = peak_of([&] {
    const SafetensorsReader reader(test::in_memory(bytes));
    for (const TensorInfo& tensor : reader.tensors()) {
      if (tensor.dtype == Dtype::f32) reader.read<float>(tensor);
    }
  });
  EXPECT_LE(used, bytes.size() + kMiB);
}

TEST(Memory, TheCounterCounts) {
  EXPECT_GE(peak_of([] { std::vector<char> block(3 * kMiB); }), 3 * kMiB);
}

TEST(Memory, SafetensorsHeadersThatAreAllNames) {
  std::string names = "{", notes = "{\"__metadata__\":{", nested = "{\"a\":", endless = "{\"";
  for (int i = 0; i < 1024; ++i) {
    const std::string name = fmt::format("{:04}", i) + std::string(i < 64 ? 60000 : 0, 'x');  // long ones, and many
    names +=
        fmt::format(R"({}"{}":{{"dtype":"U8","shape":[0,0,0,0,0,0,0,0],"data_offsets":[0,0]}})", i ? "," : "", name);
    notes += fmt::format(R"({}"{}":"{}")", i ? "," : "", name, name);
  }
  expect_bounded(file_of(names + "}"));
  expect_bounded(file_of(notes + "}}"));
  expect_bounded(file_of(nested + std::string(6 * kMiB, '[')));
  expect_bounded(file_of(endless + std::string(6 * kMiB, 'x')));
  expect_bounded(file_of("{" + std::string(6 * kMiB, ' ') + "}"));
  expect_bounded(file_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[" + std::string(4 * kMiB, '9') + "]}}"));
}

TEST(Memory, SafetensorsDataIsReadOnce) {
  expect_bounded(file_of(R"({"a":{"dtype":"F32","shape":[4194304],"data_offsets":[0,16777216]}})", 16 * kMiB));
}

TEST(Memory, ModelsAreReadStraightIntoPlace) {
  const test::TemporaryDirectory directory;
  MlpShape shape;
  shape.dim = 1024;
  shape.hidden = {2048, 512};
  Mlp::random(shape, 1).save(directory / "m");
  const std::size_t size = std::filesystem::file_size(directory / "m");
  ASSERT_GT(size, 8 * kMiB);
  EXPECT_LE(peak_of([&] { Mlp::load(directory / "m"); }), size + kMiB);
}

TEST(Memory, ShapesBeyondTheFileAllocateNothing) {
  // A model of 2^27 parameters, claimed by a file that holds none of them, and the same with one-byte elements.
  for (const char* dtype : {"F32", "U8"}) {
    const std::string header =
        fmt::format(R"({{"__metadata__":{{"format":"ebmcuda","activation":"silu","head":"scalar","confinement":"0"}},)"
                    R"("net.0.weight":{{"dtype":"{}","shape":[8192,16384],"data_offsets":[0,536870912]}}}})",
                    dtype);
    const test::TemporaryDirectory directory;
    test::write_bytes(directory / "m", file_of(header));
    EXPECT_LE(peak_of([&] { Mlp::load(directory / "m"); }), kMiB);
  }
  const std::string text = "{'descr': '<f8', 'fortran_order': False, 'shape': (65536, 65536)}";
  std::string npy = std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(text.size()) + '\0' + text;
  EXPECT_LE(peak_of([&] { read_npy_matrix(test::in_memory(npy)); }), kMiB);
}

TEST(Memory, NpyDataIsReadStraightIntoPlace) {
  const std::string text = "{'descr': '<f8', 'fortran_order': False, 'shape': (1048576, 2)}";
  std::string npy = std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(text.size()) + '\0' + text;
  npy += std::string(16 * kMiB, '\0');
  EXPECT_LE(peak_of([&] { read_npy_matrix(test::in_memory(npy)); }), npy.size() + kMiB);
}

// Beside the table itself, which can't be smaller than it is.
TEST(Memory, CsvIsReadInPieces) {
  const auto beside_the_table = [](const std::string& text) {
    std::size_t table = 0;
    const std::size_t used = peak_of([&] { table = read_csv_matrix(test::in_memory(text)).values().size() * 4; });
    return used - table;
  };
  std::string rows, wide;
  for (int i = 0; i < 400000; ++i) rows += fmt::format("{}.5,{}\n", i, i);
  EXPECT_LE(beside_the_table(rows), kMiB);
  for (int i = 0; i < 400000; ++i) wide += "1.5,";
  EXPECT_LE(beside_the_table(wide + "2\n" + wide + "3\n"), 400000 * 256 + kMiB);
  for (const std::string& hostile : {"1,\"" + std::string(8 * kMiB, 'x'), std::string(8 * kMiB, '1'),
                                     std::string(8 * kMiB, '#'), std::string(8 * kMiB, '\n')}) {
    EXPECT_LE(peak_of([&] { read_csv_matrix(test::in_memory(hostile)); }), kMiB);
  }
  std::string labels = "x\n";
  for (int i = 0; i < 400000; ++i) labels += fmt::format("label{}\n", i);
  TableOptions options;
  options.map_labels = true;
  const std::size_t used = peak_of([&] {
    const InputFile file = test::in_memory(labels);
    read_label_table(CsvSource(file, CsvHeader::yes, 0), options);
  });
  EXPECT_LE(used, labels.size() + kMiB);
}

}  // namespace
}  // namespace ebm
