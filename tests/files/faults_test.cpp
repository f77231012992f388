// Every system call of an atomic write fails, or is the last before the process is killed. This program's own
// definitions take the place of the C library's.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"
#include "host/training/checkpoint.hpp"
#include "tests/files/support.hpp"

namespace {

enum class Fault { none, error, kill, short_write };

struct Plan {
  bool armed = false;
  Fault fault = Fault::none;
  int at = -1;  // number of the call that the fault meets
  int error = EIO;
  int calls = 0;    // calls seen so far
  std::string met;  // name of the call that met it
};
Plan plan;

// True when this call must fail; errno is set.
bool fails(const char* name) {
  if (!plan.armed || plan.calls++ != plan.at) return false;
  plan.met = name;
  if (plan.fault == Fault::kill) ::raise(SIGKILL);
  if (plan.fault != Fault::error) return false;
  errno = plan.error;
  return true;
}

}  // namespace

extern "C" {
int openat(int directory, const char* path, int flags, ...) {
  ::mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, ::mode_t);
    va_end(arguments);
  }
  if (fails("openat")) return -1;
  return static_cast<int>(::syscall(SYS_openat, directory, path, flags, mode));
}
::ssize_t write(int file, const void* bytes, std::size_t n) {
  const int call = plan.calls;
  if (fails("write")) return -1;
  if (plan.armed && plan.fault == Fault::short_write && call == plan.at && n > 1) n /= 2;
  return ::syscall(SYS_write, file, bytes, n);
}
int fsync(int file) {
  if (fails("fsync")) return -1;
  return static_cast<int>(::syscall(SYS_fsync, file));
}
int flock(int file, int operation) noexcept {
  if (fails("flock")) return -1;
  return static_cast<int>(::syscall(SYS_flock, file, operation));
}
int fchmod(int file, ::mode_t mode) noexcept {
  if (fails("fchmod")) return -1;
  return static_cast<int>(::syscall(SYS_fchmod, file, mode));
}
int renameat(int from, const char* old_path, int to, const char* new_path) noexcept {
  if (fails("renameat")) return -1;
  return static_cast<int>(::syscall(SYS_renameat, from, old_path, to, new_path));
}
}

namespace ebm {
namespace {

const std::string kOld = "old";
const std::string kNew(10000, 'n');

template <class Write>
void with_fault(Fault fault, int at, int error, const Write& write) {
  plan = {true, fault, at, error, 0, {}};
  try {
    write();
  } catch (...) {
    plan.armed = false;
    throw;
  }
  plan.armed = false;
}

void write_with(const test::TemporaryDirectory& directory, Fault fault, int at, int error) {
  with_fault(fault, at, error, [&] { write_file(directory / "x", kNew); });
}

int calls_of_a_write() {
  const test::TemporaryDirectory directory;
  test::write_bytes(directory / "x", kOld);
  write_with(directory, Fault::none, -1, 0);
  return plan.calls;
}

TEST(Faults, TheHooksSeeEveryCall) {
  // openat: temporary and listing; flock; fchmod; write; fsync: file and directory; renameat.
  EXPECT_EQ(calls_of_a_write(), 8);
  const test::TemporaryDirectory directory;
  std::string met;
  for (int at = 0; at < 8; ++at) {
    test::write_bytes(directory / "x", kOld);
    write_with(directory, Fault::none, at, 0);
    met += plan.met + " ";
  }
  EXPECT_EQ(met, "openat openat flock fchmod write fsync renameat fsync ");
}

TEST(Faults, AFailedCallLeavesTheOldFileOrTheNewOne) {
  const int calls = calls_of_a_write();
  for (const int error : {EIO, ENOSPC, EDQUOT, EROFS}) {
    for (int at = 0; at < calls; ++at) {
      const test::TemporaryDirectory directory;
      test::write_bytes(directory / "x", kOld);
      bool reported = false;
      try {
        write_with(directory, Fault::error, at, error);
      } catch (const WriteError& failure) {
        reported = true;
        EXPECT_TRUE(test::contains(failure.what(), std::generic_category().message(error)));
      }
      SCOPED_TRACE(plan.met);
      const std::string bytes = test::read_bytes(directory / "x");
      // A listing or a lock that fails costs nothing but a stale file; all else must be reported.
      const bool harmless = plan.met == "flock" || (plan.met == "openat" && at == 0);
      const bool last = at == calls - 1;  // the directory's sync: the new file stands
      EXPECT_EQ(reported, !harmless);
      EXPECT_EQ(bytes, harmless || last ? kNew : kOld);
      EXPECT_EQ(directory.names(), std::vector<std::string>{"x"});
    }
  }
}

TEST(Faults, InterruptedAndShortCallsAreContinued) {
  const int calls = calls_of_a_write();
  for (int at = 0; at < calls; ++at) {
    const test::TemporaryDirectory directory;
    test::write_bytes(directory / "x", kOld);
    write_with(directory, Fault::short_write, at, 0);
    EXPECT_EQ(test::read_bytes(directory / "x"), kNew);
    const bool restartable = plan.met != "fchmod" && plan.met != "renameat";  // those don't wait
    if (!restartable) continue;
    test::write_bytes(directory / "x", kOld);
    write_with(directory, Fault::error, at, EINTR);
    EXPECT_EQ(test::read_bytes(directory / "x"), kNew) << plan.met;
    EXPECT_EQ(directory.names(), std::vector<std::string>{"x"});
  }
}

TEST(Faults, ADirectoryThatHasNoSyncIsAccepted) {
  const test::TemporaryDirectory directory;
  write_with(directory, Fault::error, calls_of_a_write() - 1 - 1, EINVAL);  // no old file: no fchmod
  EXPECT_EQ(plan.met, "fsync");
  EXPECT_EQ(test::read_bytes(directory / "x"), kNew);
}

TEST(Faults, KilledBeforeAnyCallTheFileIsWholeAndTheNextWriteCleansUp) {
  const int calls = calls_of_a_write();
  for (int at = 0; at < calls; ++at) {
    const test::TemporaryDirectory directory;
    test::write_bytes(directory / "x", kOld);
    const ::pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      write_with(directory, Fault::kill, at, 0);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << at;
    const std::string bytes = test::read_bytes(directory / "x");
    EXPECT_EQ(bytes, at == calls - 1 ? kNew : kOld) << at;
    write_file(directory / "x", "next");
    EXPECT_EQ(test::read_bytes(directory / "x"), "next");
    EXPECT_EQ(directory.names(), std::vector<std::string>{"x"});
  }
}

// A training run's checkpoint, of several writes.
Checkpoint checkpoint_at(std::int64_t iteration) {
  MlpShape shape;
  shape.dim = 8;
  shape.hidden = {64, 64};
  Checkpoint checkpoint{Mlp::random(shape, 1), {}, {}, {}};
  checkpoint.options.iterations = 100;
  checkpoint.options.ema = 0;
  checkpoint.options.objective.buffer.capacity = 500;
  TrainingState& state = checkpoint.state;
  state.iteration = iteration;
  state.step_size = 0.01f;
  state.parameters.assign(checkpoint.model.parameters().begin(), checkpoint.model.parameters().end());
  state.adam_m = state.adam_v = std::vector<float>(state.parameters.size());
  state.buffer_x.assign(500 * 8, static_cast<float>(iteration));
  state.buffer_steps.assign(500, 20 * static_cast<std::uint64_t>(iteration));
  return checkpoint;
}

// Whatever happens to any one call, there is a checkpoint, and it is the old one or the new one, whole.
TEST(Faults, ACheckpointIsTheOldOneOrTheNewOne) {
  const Checkpoint old_one = checkpoint_at(5), new_one = checkpoint_at(6);
  const test::TemporaryDirectory reference;
  write_checkpoint(reference / "old", old_one);
  write_checkpoint(reference / "new", new_one);
  const std::string old_bytes = test::read_bytes(reference / "old"), new_bytes = test::read_bytes(reference / "new");
  with_fault(Fault::none, -1, 0, [&] { write_checkpoint(reference / "old", new_one); });
  const int calls = plan.calls;
  EXPECT_GT(calls, 8);  // more than one write
  int old_left = 0, new_left = 0;
  const auto look = [&](const test::TemporaryDirectory& directory) {
    const std::string bytes = test::read_bytes(directory / "c");
    EXPECT_TRUE(bytes == old_bytes || bytes == new_bytes);
    EXPECT_EQ(read_checkpoint(directory / "c").state.iteration, bytes == old_bytes ? 5 : 6);
    ++(bytes == old_bytes ? old_left : new_left);
    // And the run goes on.
    write_checkpoint(directory / "c", new_one);
    EXPECT_EQ(test::read_bytes(directory / "c"), new_bytes);
    EXPECT_EQ(directory.names(), std::vector<std::string>{"c"});
  };
  for (int at = 0; at < calls; ++at) {
    for (const int error : {EIO, ENOSPC}) {
      SCOPED_TRACE(testing::Message() << "call " << at << ", error " << error);
      const test::TemporaryDirectory directory;
      test::write_bytes(directory / "c", old_bytes);
      try {
        with_fault(Fault::error, at, error, [&] { write_checkpoint(directory / "c", new_one); });
      } catch (const WriteError&) {
      }
      look(directory);
    }
    SCOPED_TRACE(testing::Message() << "call " << at);
    const test::TemporaryDirectory shortened;
    test::write_bytes(shortened / "c", old_bytes);
    with_fault(Fault::short_write, at, 0, [&] { write_checkpoint(shortened / "c", new_one); });
    EXPECT_EQ(test::read_bytes(shortened / "c"), new_bytes);

    const test::TemporaryDirectory killed;
    test::write_bytes(killed / "c", old_bytes);
    const ::pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      with_fault(Fault::kill, at, 0, [&] { write_checkpoint(killed / "c", new_one); });
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    look(killed);
  }
  EXPECT_GT(old_left, 0);
  EXPECT_GT(new_left, 0);
}

}  // namespace
}  // namespace ebm
