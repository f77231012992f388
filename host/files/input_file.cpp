#include "host/files/input_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "ebmcuda/error.hpp"

namespace ebm {

InputFile::InputFile(const std::filesystem::path& path) : name_(path.string()) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer before we can say that it is no regular file.
  descriptor_ = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor_) fail("cannot open: " + errno_text(errno));
  struct stat status {};
  if (::fstat(descriptor_.get(), &status) != 0) fail("cannot read: " + errno_text(errno));
  if (S_ISDIR(status.st_mode)) fail("is a directory");
  if (!S_ISREG(status.st_mode)) fail("is not a regular file (a pipe is read as standard input, -)");
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::InputFile(std::string name, std::span<const std::byte> bytes)
    : name_(std::move(name)), bytes_(bytes), size_(bytes.size()) {}

InputFile InputFile::standard_input() {
  InputFile input;
  input.name_ = "standard input";
  struct stat status {};
  if (::fstat(STDIN_FILENO, &status) != 0) input.fail("cannot read: " + errno_text(errno));
  if (S_ISDIR(status.st_mode)) input.fail("is a directory");
  if (S_ISREG(status.st_mode)) {
    const ::off_t here = ::lseek(STDIN_FILENO, 0, SEEK_CUR);
    input.descriptor_ = Descriptor(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
    if (here < 0 || !input.descriptor_) input.fail("cannot read: " + errno_text(errno));
    input.begin_ = static_cast<std::uint64_t>(std::min(here, status.st_size));
    input.size_ = static_cast<std::uint64_t>(status.st_size) - input.begin_;
    return input;
  }
  input.descriptor_ = Descriptor(::memfd_create("standard input", MFD_CLOEXEC));
  if (!input.descriptor_) input.fail("cannot be kept in memory: " + errno_text(errno));
  std::array<char, 65536> buffer{};
  for (;;) {
    const ::ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) input.fail(fmt::format("cannot read byte {}: {}", input.size_, errno_text(errno)));
    if (n == 0) return input;
    for (::ssize_t done = 0; done < n;) {
      const ::ssize_t m = ::write(input.descriptor_.get(), buffer.data() + done, static_cast<std::size_t>(n - done));
      if (m < 0 && errno == EINTR) continue;
      if (m <= 0) input.fail("cannot be kept in memory: " + errno_text(errno));
      done += m;
    }
    input.size_ += static_cast<std::uint64_t>(n);
  }
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset) {
    fail(fmt::format("ends at byte {}; {} bytes from byte {} on were expected", size_, out.size(), offset));
  }
  if (!descriptor_) {
    std::ranges::copy(bytes_.subspan(offset, out.size()), out.begin());
    return;
  }
  while (!out.empty()) {
    const ::ssize_t n = ::pread(descriptor_.get(), out.data(), out.size(), static_cast<::off_t>(begin_ + offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(fmt::format("cannot read byte {}: {}", offset, errno_text(errno)));
    if (n == 0) fail(fmt::format("became shorter while it was read (byte {})", offset));
    offset += static_cast<std::uint64_t>(n);
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

void InputFile::fail(const std::string& what) const { throw FormatError(name_, what); }

}  // namespace ebm
