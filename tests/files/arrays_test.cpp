// The public calls: which format, and what stays when a call fails. The formats have their own tests.
#include <gtest/gtest.h>

#include "ebmcuda/files.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

TEST(Arrays, TheEndingChoosesTheFormat) {
  const test::TemporaryDirectory directory;
  const Matrix x(2, 2, {1, 2, 3, 4});
  for (const char* name : {"x.npy", "x.csv", "X.NPY", "X.CSV"}) {
    write_matrix(directory / name, x);
    EXPECT_EQ(read_matrix(directory / name), x) << name;
  }
  EXPECT_TRUE(test::read_bytes(directory / "X.NPY").starts_with("\x93NUMPY"));
  EXPECT_EQ(test::read_bytes(directory / "X.CSV"), "1,2\n3,4\n");
}

TEST(Arrays, OtherEndingsAreRefusedBeforeAnythingIsWritten) {
  const test::TemporaryDirectory directory;
  const auto path = directory / "x.txt";
  const Matrix x(1, 1);
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { write_matrix(path, x); }), "must end in .npy or .csv"));
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { write_vector(path, std::vector<float>{1}); }), "must end in"));
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { write_labels(path, std::vector<int>{1}); }), "must end in"));
  EXPECT_TRUE(directory.names().empty());
  test::write_bytes(path, "1,2\n");
  EXPECT_TRUE(contains(message_of<FormatError>([&] { read_matrix(path); }), "must end in .npy, .npz, .csv or .tsv"));
  EXPECT_TRUE(contains(message_of<FormatError>([&] { read_labels(path); }), "must end in .npy, .npz, .csv or .tsv"));
}

TEST(Arrays, MissingFilesAreNamed) {
  const test::TemporaryDirectory directory;
  EXPECT_TRUE(contains(message_of<FormatError>([&] { read_matrix(directory / "none.npy"); }),
                       "none.npy: cannot open: No such file or directory"));
  EXPECT_TRUE(contains(message_of<FormatError>([&] { read_labels(directory / "none.csv"); }), "No such file"));
}

TEST(Arrays, LabelsRoundTrip) {
  const test::TemporaryDirectory directory;
  const std::vector<int> labels = {0, 5, 9};
  for (const char* name : {"y.npy", "y.csv"}) {
    write_labels(directory / name, labels);
    EXPECT_EQ(read_labels(directory / name), labels);
  }
}

TEST(Arrays, WriteFileKeepsTheBytes) {
  const test::TemporaryDirectory directory;
  const std::string bytes("\x89PNG\0\r\n\xff", 8);
  write_file(directory / "p.png", bytes);
  EXPECT_EQ(test::read_bytes(directory / "p.png"), bytes);
}

}  // namespace
}  // namespace ebm
