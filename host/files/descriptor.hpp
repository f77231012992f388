// A POSIX file descriptor that closes itself, and the text of errno.
#pragma once

#include <unistd.h>

#include <string>
#include <system_error>
#include <utility>

namespace ebm {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// strerror shares a buffer between threads; this does not.
inline std::string errno_text(int error) { return std::generic_category().message(error); }

}  // namespace ebm
