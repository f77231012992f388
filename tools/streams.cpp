#include "tools/streams.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "ebmcuda/error.hpp"
#include "tools/ranks.hpp"

namespace ebm::tools {
namespace {

void write_out(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size()) return;
  throw WriteError("standard output", fmt::format("could not be written: {}", std::strerror(errno)));
}

void flush_out() {
  errno = 0;
  if (std::fflush(stdout) == 0) return;
  throw WriteError("standard output", fmt::format("could not be written: {}", std::strerror(errno)));
}

}  // namespace

void prepare_streams() {
  // open() takes the lowest free number. Open the wrong way round, every read or write says EBADF, as on a closed one.
  for (int stream = 0; stream <= STDERR_FILENO; ++stream) {
    if (fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) return;  // then nothing opens
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void say(std::string_view text) noexcept { static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr)); }

void print(std::string_view text) {
  if (!leads()) return;
  write_out(text);
  flush_out();
}

void print_rows(MatrixView x) {
  if (!leads()) return;
  fmt::memory_buffer line;
  for (std::size_t i = 0; i < x.rows; ++i) {
    line.clear();
    fmt::format_to(std::back_inserter(line), "{}\n", fmt::join(x.row(i), ","));
    write_out({line.data(), line.size()});
  }
  flush_out();
}

}  // namespace ebm::tools
