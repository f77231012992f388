// Archives as NumPy writes them, by minizip's own writer, and damaged ones.
#include "host/files/npz.hpp"

#include <gtest/gtest.h>
#include <minizip/zip.h>

#include "ebmcuda/files.hpp"
#include "ebmcuda/table.hpp"
#include "host/files/npy.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

std::string npy_bytes(const Matrix& x) {
  const test::TemporaryDirectory directory;
  write_matrix(directory / "x.npy", x);
  return test::read_bytes(directory / "x.npy");
}

struct Entry {
  std::string name, bytes;
};

// np.savez (level 0) or np.savez_compressed.
std::string archive(const std::vector<Entry>& entries, bool compressed) {
  const test::TemporaryDirectory directory;
  const std::string path = (directory / "x.npz").string();
  zipFile zip = zipOpen64(path.c_str(), APPEND_STATUS_CREATE);
  for (const Entry& entry : entries) {
    zip_fileinfo info{};
    EXPECT_EQ(zipOpenNewFileInZip64(zip, entry.name.c_str(), &info, nullptr, 0, nullptr, 0, nullptr,
                                    compressed ? Z_DEFLATED : 0, compressed ? 6 : 0, 1),
              ZIP_OK);
    EXPECT_EQ(zipWriteInFileInZip(zip, entry.bytes.data(), static_cast<unsigned>(entry.bytes.size())), ZIP_OK);
    EXPECT_EQ(zipCloseFileInZip(zip), ZIP_OK);
  }
  EXPECT_EQ(zipClose(zip, nullptr), ZIP_OK);
  return test::read_bytes(path);
}

Matrix read(const std::string& bytes, std::string_view name = {}) {
  const InputFile file = test::in_memory(bytes);
  const std::string member = find_npz_array(file, name);
  TableOptions options;
  options.finite = false;
  return read_table(NpySource(file, [&] { return open_npz_array(file, member); }), options).x;
}
std::string refusal(const std::string& bytes, std::string_view name = {}) {
  return message_of<FormatError>([&] { read(bytes, name); });
}

Matrix table_of(std::size_t rows) {
  Matrix x(rows, 3);
  for (std::size_t i = 0; i < x.values().size(); ++i) x.values()[i] = static_cast<float>(i * i % 1001) * 0.25f;
  return x;
}

TEST(Npz, StoredAndDeflatedMembersAreRead) {
  for (const bool compressed : {false, true}) {
    const Matrix x = table_of(50000), y(2, 1, {7, 8});
    const std::string both = archive({{"x.npy", npy_bytes(x)}, {"y.npy", npy_bytes(y)}}, compressed);
    EXPECT_EQ(read(both, "x"), x);
    EXPECT_EQ(read(both, "y"), y);
    EXPECT_TRUE(contains(refusal(both), "holds several arrays: 'x', 'y'; name one as memory:NAME"));
    EXPECT_TRUE(contains(refusal(both, "z"), "has no array 'z'; it holds 'x', 'y'"));
    EXPECT_EQ(read(archive({{"arr_0.npy", npy_bytes(x)}, {"notes.txt", "hello"}}, compressed)), x);
  }
}

TEST(Npz, OfAFileByItsName) {
  const test::TemporaryDirectory directory;
  const Matrix x = table_of(5);
  test::write_bytes(directory / "d.npz",
                    archive({{"x.npy", npy_bytes(x)}, {"y.npy", npy_bytes(Matrix(5, 1, {0, 1, 1, 0, 2}))}}, true));
  EXPECT_EQ(read_matrix(directory / "d.npz:x"), x);
  EXPECT_EQ(read_labels(directory / "d.npz:y"), (std::vector<int>{0, 1, 1, 0, 2}));
  EXPECT_TRUE(contains(message_of<FormatError>([&] { read_matrix(directory / "d.npz"); }), "d.npz:NAME"));
  EXPECT_TRUE(contains(message_of<FormatError>([&] { read_matrix(directory / "none.npz:x"); }), "No such file"));
}

TEST(Npz, WhatIsNoArchiveOrHoldsNoArrays) {
  EXPECT_TRUE(contains(refusal(""), "is no .npz"));
  EXPECT_TRUE(contains(refusal(std::string(1000, 'x')), "is no .npz"));
  EXPECT_TRUE(contains(refusal(archive({{"a.txt", "hello"}}, true)), "holds no arrays"));
  EXPECT_TRUE(contains(refusal(archive({}, true)), "is no .npz"));
  EXPECT_TRUE(contains(refusal(archive({{"x.npy", "hello"}}, true)), "array 'x': is 5 bytes long"));
}

TEST(Npz, EveryTruncationIsRefused) {
  const std::string bytes = archive({{"x.npy", npy_bytes(table_of(20))}}, true);
  EXPECT_EQ(read(bytes), table_of(20));
  // The last bytes are the length of a comment that nobody needs.
  for (std::size_t n = 0; n < bytes.size() - 3; ++n) EXPECT_THROW(read(bytes.substr(0, n)), FormatError) << n;
}

// The checksum covers the data, so a change is refused or it is one that the format does not look at.
TEST(Npz, EveryChangeOfOneByteIsRefusedOrTheSameArray) {
  for (const bool compressed : {false, true}) {
    const Matrix x = table_of(8);
    const std::string valid = archive({{"x.npy", npy_bytes(x)}}, compressed);
    std::size_t refused = 0;
    for (std::size_t at = 0; at < valid.size(); ++at) {
      for (const int flip : {1, 0x10, 0x80, 0xFF}) {
        std::string bytes = valid;
        bytes[at] = static_cast<char>(bytes[at] ^ flip);
        try {
          ASSERT_EQ(read(bytes), x) << "byte " << at;
        } catch (const FormatError&) {
          ++refused;
        }
      }
    }
    EXPECT_GT(refused, 2 * valid.size());
  }
}

TEST(Npz, SizesThatCannotBeAreRefusedBeforeMemoryIsAskedFor) {
  std::string bytes = archive({{"x.npy", npy_bytes(table_of(8))}}, true);
  // The uncompressed size in the directory's record (24 bytes into it) and in the local header (22).
  const std::size_t directory = bytes.rfind("PK\x01\x02");
  for (const std::size_t at : {directory + 24, std::size_t{22}}) bytes.replace(at, 4, "\xF0\xFF\xFF\x7F");
  EXPECT_TRUE(contains(refusal(bytes), "array 'x': claims 2147483632 bytes from"));
}

}  // namespace
}  // namespace ebm
