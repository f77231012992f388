#include "tools/outputs.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ebmcuda/error.hpp"

namespace ebm::tools {
namespace {

namespace fs = std::filesystem;

// The same file, whether or not it exists yet.
bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  return fs::weakly_canonical(fs::absolute(a), error) == fs::weakly_canonical(fs::absolute(b), error);
}

fs::path directory_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

// A file that is removed again unless it is kept: what a failed write leaves behind.
class TemporaryFile {
 public:
  explicit TemporaryFile(const fs::path& target) : path_(target.string() + ".XXXXXX") {
    descriptor_ = mkstemp(path_.data());
    if (descriptor_ < 0) throw WriteError(target.string(), std::strerror(errno));
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!path_.empty()) unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int descriptor() const { return descriptor_; }
  bool finish(const fs::path& target) {
    const mode_t mask = umask(0);
    umask(mask);
    const bool good = fchmod(descriptor_, 0666 & ~mask) == 0 && fsync(descriptor_) == 0 &&
                      close(std::exchange(descriptor_, -1)) == 0 && rename(path_.c_str(), target.c_str()) == 0;
    if (good) path_.clear();
    return good;
  }

 private:
  std::string path_;
  int descriptor_;
};

}  // namespace

void Outputs::claim(const std::string& option, const fs::path& path,
                    std::initializer_list<std::string_view> extensions) {
  const auto refuse = [&](const std::string& why) { throw ConfigError(option, path.string(), why); };
  if (extensions.size() > 0 && std::ranges::find(extensions, path.extension().string()) == extensions.end()) {
    refuse(fmt::format("the file's name must end in {}", fmt::join(extensions, " or ")));
  }
  const fs::path directory = directory_of(path);
  std::error_code error;
  if (!fs::is_directory(directory, error)) refuse(fmt::format("there is no directory {}", directory.string()));
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    refuse(fmt::format("directory {} can't be written to: {}", directory.string(), std::strerror(errno)));
  }
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) refuse("exists and is not a regular file");
  for (const fs::path& input : inputs_) {
    if (same_file(path, input)) refuse("is also an input; name another file");
  }
  for (const auto& [other, taken] : claimed_) {
    if (same_file(path, taken)) refuse(fmt::format("is also {}; name another file", other));
  }
  claimed_.emplace_back(option, path);
}

void write_file(const fs::path& path, std::span<const unsigned char> bytes) {
  TemporaryFile file(path);
  while (!bytes.empty()) {
    const ssize_t written = write(file.descriptor(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw WriteError(path.string(), std::strerror(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  if (!file.finish(path)) throw WriteError(path.string(), std::strerror(errno));
  const int directory = open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY);
  const bool synced = directory >= 0 && fsync(directory) == 0;
  const int reason = errno;
  if (directory >= 0) close(directory);
  if (!synced) throw WriteError(path.string(), std::strerror(reason));
}

}  // namespace ebm::tools
