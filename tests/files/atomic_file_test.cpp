#include "host/files/atomic_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "ebmcuda/files.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

constexpr const char* kStale = ".x.0123456789abcdef.ebmtmp";

::mode_t mode_of(const std::filesystem::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 0777;
}

TEST(AtomicFile, TargetAppearsWithTheCommit) {
  const test::TemporaryDirectory directory;
  {
    AtomicFile file(directory / "x");
    file.write("new ");
    file.write("bytes");
    ASSERT_EQ(directory.names().size(), 1u);
    EXPECT_NE(directory.names()[0], "x");
    file.commit();
    EXPECT_EQ(test::read_bytes(directory / "x"), "new bytes");
  }
  EXPECT_EQ(directory.names(), std::vector<std::string>{"x"});
}

TEST(AtomicFile, WithoutACommitTheOldFileStays) {
  const test::TemporaryDirectory directory;
  test::write_bytes(directory / "x", "old");
  {
    AtomicFile file(directory / "x");
    file.write("new");
  }
  EXPECT_EQ(test::read_bytes(directory / "x"), "old");
  EXPECT_EQ(directory.names(), std::vector<std::string>{"x"});
}

TEST(AtomicFile, PermissionsAreTheUmasksOrThoseOfTheOldFile) {
  const test::TemporaryDirectory directory;
  const ::mode_t old = ::umask(027);
  write_file(directory / "x", "1");
  ::umask(old);
  EXPECT_EQ(mode_of(directory / "x"), 0640u);
  ASSERT_EQ(::chmod((directory / "x").c_str(), 0604), 0);
  write_file(directory / "x", "2");
  EXPECT_EQ(mode_of(directory / "x"), 0604u);
}

TEST(AtomicFile, SymbolicLinksAreWrittenThrough) {
  const test::TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "sub");
  test::write_bytes(directory / "sub/real", "old");
  std::filesystem::create_symlink("sub/real", directory / "link");
  write_file(directory / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(directory / "link"));
  EXPECT_EQ(test::read_bytes(directory / "sub/real"), "new");
  std::filesystem::create_symlink("nowhere", directory / "broken");
  EXPECT_TRUE(contains(message_of<WriteError>([&] { write_file(directory / "broken", ""); }), "cannot follow"));
}

TEST(AtomicFile, TargetsThatCannotBeWrittenAreNamed) {
  const test::TemporaryDirectory directory;
  const auto refusal = [&](const std::filesystem::path& path) {
    return message_of<WriteError>([&] { AtomicFile file(path); });
  };
  EXPECT_TRUE(contains(refusal(directory / "no/x"), "no/x: cannot open the directory"));
  EXPECT_TRUE(contains(refusal(directory / "no/x"), "No such file or directory"));
  std::filesystem::create_directory(directory / "d");
  EXPECT_TRUE(contains(refusal(directory / "d"), "is a directory"));
  EXPECT_TRUE(contains(refusal(directory / "d/"), "does not name a file"));
  test::write_bytes(directory / "f", "");
  EXPECT_TRUE(contains(refusal(directory / "f/x"), "Not a directory"));
  // A rename would put a file in the place of the device.
  EXPECT_TRUE(contains(refusal("/dev/null"), "exists and is not a regular file"));
  // /proc takes no files, not even root's.
  EXPECT_TRUE(contains(refusal("/proc/ebmcuda-test"), "cannot create a file in its directory"));
  EXPECT_EQ(directory.names(), (std::vector<std::string>{"d", "f"}));
}

TEST(AtomicFile, RelativeAndLongNamesWork) {
  const test::TemporaryDirectory directory;
  const std::string longest(255, 'n');
  write_file(directory / longest, "1");
  EXPECT_EQ(test::read_bytes(directory / longest), "1");
  EXPECT_EQ(directory.names().size(), 1u);
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory.path());
  write_file("plain", "2");
  std::filesystem::current_path(before);
  EXPECT_EQ(test::read_bytes(directory / "plain"), "2");
}

TEST(AtomicFile, CommitThatCannotRenameLeavesNothing) {
  const test::TemporaryDirectory directory;
  {
    AtomicFile file(directory / "x");
    file.write("new");
    std::filesystem::create_directories(directory / "x/full");  // after the checks
    EXPECT_TRUE(contains(message_of<WriteError>([&] { file.commit(); }), "cannot put the new file in place"));
  }
  EXPECT_EQ(directory.names(), std::vector<std::string>{"x"});
  EXPECT_TRUE(std::filesystem::is_directory(directory / "x"));
}

TEST(AtomicFile, StaleTemporariesAreRemovedAndLiveOnesKept) {
  const test::TemporaryDirectory directory;
  test::write_bytes(directory / kStale, "from a killed process");
  // Names that only look alike are somebody else's.
  const std::vector<std::string> others = {".x.0123456789abcdef.ebmtmp~", ".x.0123456789abcdeg.ebmtmp",
                                           ".y.0123456789abcdef.ebmtmp", "x.0123456789abcdef.ebmtmp"};
  for (const std::string& name : others) test::write_bytes(directory / name, "");
  AtomicFile live(directory / "x");
  live.write("live");
  EXPECT_FALSE(std::filesystem::exists(directory / kStale));
  EXPECT_EQ(directory.names().size(), others.size() + 1);
  write_file(directory / "x", "second");  // while the first is at work
  EXPECT_EQ(directory.names().size(), others.size() + 2);
  EXPECT_EQ(test::read_bytes(directory / "x"), "second");
  live.commit();
  EXPECT_EQ(test::read_bytes(directory / "x"), "live");
  for (const std::string& name : others) EXPECT_TRUE(std::filesystem::exists(directory / name)) << name;
}

TEST(AtomicFile, StaleLinksAreNotFollowed) {
  const test::TemporaryDirectory directory;
  test::write_bytes(directory / "precious", "data");
  std::filesystem::create_symlink("precious", directory / kStale);
  write_file(directory / "x", "1");
  EXPECT_EQ(test::read_bytes(directory / "precious"), "data");
}

TEST(AtomicFile, WritersAtTheSameTimeDoNotMix) {
  const test::TemporaryDirectory directory;
  const auto content = [](int writer) { return std::string(100000, static_cast<char>('a' + writer)); };
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < 20; ++i) write_file(directory / "x", content(w));
    });
  }
  for (auto& writer : writers) writer.join();
  const std::string bytes = test::read_bytes(directory / "x");
  ASSERT_FALSE(bytes.empty());
  EXPECT_EQ(bytes, content(bytes[0] - 'a'));
  EXPECT_EQ(directory.names(), std::vector<std::string>{"x"});
}

TEST(AtomicFile, AFullDiskLeavesTheOldFile) {
  const test::TemporaryDirectory directory;
  test::write_bytes(directory / "x", "old");
  const ::pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {  // a limit on file sizes stands for the full disk
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {5000, 5000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_file(directory / "x", std::string(10000, 'n'));
    } catch (const WriteError& error) {
      ::_exit(std::string_view(error.what()).find("cannot write: File too large") != std::string_view::npos ? 42 : 1);
    }
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
  EXPECT_EQ(test::read_bytes(directory / "x"), "old");
  EXPECT_EQ(directory.names(), std::vector<std::string>{"x"});
}

TEST(AtomicFile, KillingTheWriterAtAnyTimeLosesNothing) {
  const test::TemporaryDirectory directory;
  const auto content = [](unsigned round) { return std::string(200000, static_cast<char>('a' + round % 26)); };
  write_file(directory / "x", content(0));
  for (unsigned trial = 0; trial < 40; ++trial) {
    const ::pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (unsigned round = 0;; ++round) write_file(directory / "x", content(round));
    }
    ::usleep(500 + trial * 211);  // an even spread over several writes; which instant it is does not matter
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    const std::string bytes = test::read_bytes(directory / "x");
    ASSERT_FALSE(bytes.empty());
    ASSERT_EQ(bytes, std::string(200000, bytes[0]));
  }
  write_file(directory / "x", "last");
  EXPECT_EQ(directory.names(), std::vector<std::string>{"x"});
}

}  // namespace
}  // namespace ebm
