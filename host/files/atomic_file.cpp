#include "host/files/atomic_file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <random>

#include "ebmcuda/error.hpp"

namespace ebm {
namespace {

constexpr std::string_view kSuffix = ".ebmtmp";
constexpr std::size_t kTagDigits = 16;

// Leaves room for the tag and the suffix under the usual limit of 255 bytes for a name. Two long names that share their
// first 200 bytes share a prefix, which is harmless: only files that nobody holds are removed.
std::string temporary_prefix(std::string_view name) { return fmt::format(".{}.", name.substr(0, 200)); }

bool is_temporary_of(std::string_view prefix, std::string_view name) {
  if (name.size() != prefix.size() + kTagDigits + kSuffix.size()) return false;
  return name.starts_with(prefix) && name.ends_with(kSuffix) &&
         name.substr(prefix.size(), kTagDigits).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string random_tag() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

// fsync can't be tried again after it failed: the kernel may have dropped the pages. EINTR is not such a failure.
int sync_to_disk(int descriptor) {
  int result = 0;
  do {
    result = ::fsync(descriptor);
  } while (result != 0 && errno == EINTR);
  return result;
}

[[noreturn]] void fail_at(const std::string& path, const std::string& what, int error) {
  throw WriteError(path, fmt::format("{}: {}", what, errno_text(error)));
}

void write_all_at(int file, std::uint64_t offset, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ::ssize_t n = ::pwrite(file, bytes.data(), bytes.size(), static_cast<::off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_at(path, "cannot write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path) : shown_path_(path.string()) {
  std::filesystem::path target = path;
  std::error_code error;
  if (std::filesystem::is_symlink(path, error)) {
    target = std::filesystem::canonical(path, error);
    if (error) fail("cannot follow the symbolic link", error.value());
  }
  name_ = target.filename().string();
  if (name_.empty() || name_ == "." || name_ == "..") throw WriteError(shown_path_, "does not name a file");
  parent_ = target.has_parent_path() ? target.parent_path().string() : ".";
  directory_ = Descriptor(::open(parent_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory_) fail(fmt::format("cannot open the directory {}", parent_), errno);

  // A rename would replace a device (/dev/null) or a FIFO by a file, so those are refused like directories.
  std::optional<::mode_t> old_mode;
  struct stat status {};
  if (::fstatat(directory_.get(), name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISDIR(status.st_mode)) throw WriteError(shown_path_, "is a directory");
    if (!S_ISREG(status.st_mode)) throw WriteError(shown_path_, "exists and is not a regular file");
    old_mode = status.st_mode & 0777;
  }
  remove_stale_temporaries();
  create_temporary();
  if (old_mode && ::fchmod(file_.get(), *old_mode) != 0) {
    const int reason = errno;
    ::unlinkat(directory_.get(), temporary_.c_str(), 0);
    fail("cannot set the permissions", reason);
  }
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlinkat(directory_.get(), temporary_.c_str(), 0);
}

void AtomicFile::create_temporary() {
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::string name = fmt::format("{}{}{}", temporary_prefix(name_), random_tag(), kSuffix);
    Descriptor file(::openat(directory_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!file) {
      if (errno == EEXIST || errno == EINTR) continue;
      fail("cannot create a file in its directory", errno);
    }
    // Another writer may take the file for a stale one in the moment before we hold the lock. It removes the file while
    // it holds the lock, so once we have the lock a link count of 0 tells.
    // A file system without locks (ENOLCK, EOPNOTSUPP) never grants one to the cleaner either.
    while (::flock(file.get(), LOCK_EX) != 0 && errno == EINTR) {
    }
    struct stat status {};
    if (::fstat(file.get(), &status) == 0 && status.st_nlink == 0) continue;
    file_ = std::move(file);
    temporary_ = name;
    return;
  }
  throw WriteError(shown_path_, "cannot create a temporary file: every name that was tried is taken");
}

void AtomicFile::remove_stale_temporaries() const {
  // fdopendir takes the descriptor over, and a copy made by dup would share its position.
  const int listing = ::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (listing < 0) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(listing), ::closedir);
  if (!entries) {
    ::close(listing);
    return;
  }
  const std::string prefix = temporary_prefix(name_);
  while (const dirent* entry = ::readdir(entries.get())) {
    if (!is_temporary_of(prefix, entry->d_name)) continue;
    const Descriptor file(::openat(directory_.get(), entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (file && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0) ::unlinkat(directory_.get(), entry->d_name, 0);
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ::ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void AtomicFile::resize(std::uint64_t bytes) {
  while (::ftruncate(file_.get(), static_cast<::off_t>(bytes)) != 0) {
    if (errno != EINTR) fail("cannot make room", errno);
  }
}

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  write_all_at(file_.get(), offset, bytes, shown_path_);
}

std::string AtomicFile::temporary() const { return parent_ + "/" + temporary_; }

void AtomicFile::commit() {
  if (sync_to_disk(file_.get()) != 0) fail("cannot write to the disk", errno);
  // The descriptor, and with it the lock, stays open over the rename: until then the name is a temporary file's.
  if (::renameat(directory_.get(), temporary_.c_str(), directory_.get(), name_.c_str()) != 0) {
    fail("cannot put the new file in place", errno);
  }
  temporary_.clear();
  // Some file systems have no sync for directories and say EINVAL.
  if (sync_to_disk(directory_.get()) != 0 && errno != EINVAL) {
    fail("the new file is in place, but its directory could not be written to the disk", errno);
  }
}

void AtomicFile::fail(const std::string& what, int error) const { fail_at(shown_path_, what, error); }

AtomicFilePart::AtomicFilePart(const std::string& temporary, std::string shown_path)
    : shown_path_(std::move(shown_path)), file_(::open(temporary.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW)) {
  if (!file_)
    fail_at(shown_path_, fmt::format("the file that another rank began, {}, can't be opened here", temporary), errno);
}

void AtomicFilePart::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  write_all_at(file_.get(), offset, bytes, shown_path_);
}

void AtomicFilePart::sync() {
  if (sync_to_disk(file_.get()) != 0) fail_at(shown_path_, "cannot write to the disk", errno);
}

}  // namespace ebm
