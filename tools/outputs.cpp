#include "tools/outputs.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "ebmcuda/checkpoint.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"
#include "tools/train_log.hpp"

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

// Why no file can be made in a directory, asked with one that has no name and leaves no trace; empty where it can, and
// where the file system knows no such files.
std::string why_not_in(const fs::path& directory) {
  if (access(directory.c_str(), W_OK | X_OK) != 0) return std::strerror(errno);
  const int file = open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (file >= 0) {
    close(file);
    return {};
  }
  const bool telling = errno == EACCES || errno == EPERM || errno == EROFS || errno == ENOSPC || errno == EDQUOT;
  return telling ? std::strerror(errno) : "";
}

bool missing_or_empty(const fs::path& path) {
  std::error_code error;
  return !fs::exists(path, error) || fs::file_size(path, error) == 0;
}

[[noreturn]] void refuse_to_replace(const std::string& option, const fs::path& path, const std::string& what) {
  throw ConfigError(option, path.string(), what + "; name another file, or replace it with --overwrite");
}

std::string size_text(double bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; bytes >= 999.5 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1000;
  return fmt::format("{:.3g} {}", bytes, kUnits[unit]);
}

}  // namespace

void Outputs::protect(const fs::path& input) {
  // FILE.npz:NAME is a member of FILE.npz.
  const std::string text = input.string();
  const std::size_t member = text.find(".npz:");
  inputs_.push_back(member == std::string::npos ? input : fs::path(text.substr(0, member + 4)));
}

void Outputs::claim(const std::string& option, const fs::path& path,
                    std::initializer_list<std::string_view> extensions) {
  const auto refuse = [&](const std::string& why) { throw ConfigError(option, path.string(), why); };
  if (extensions.size() > 0 && std::ranges::find(extensions, path.extension().string()) == extensions.end()) {
    refuse(fmt::format("the file's name must end in {}", fmt::join(extensions, " or ")));
  }
  if (!path.has_filename() || path.filename() == "." || path.filename() == "..") refuse("does not name a file");
  // A link is written through: what it leads to counts.
  fs::path target = path;
  std::error_code error;
  if (fs::is_symlink(path, error)) {
    target = fs::canonical(path, error);
    if (error) refuse(fmt::format("is a symbolic link that leads nowhere ({})", error.message()));
  }
  struct stat status {};
  const bool exists = stat(target.c_str(), &status) == 0;
  if (!exists && errno == ENAMETOOLONG) refuse(std::strerror(errno));
  const fs::path directory = directory_of(target);
  if (!fs::is_directory(directory, error)) refuse(fmt::format("there is no directory {}", directory.string()));
  if (exists && !S_ISREG(status.st_mode)) refuse("exists and is not a regular file");
  if (const std::string why = why_not_in(directory); !why.empty()) {
    refuse(fmt::format("directory {} can't be written to: {}", directory.string(), why));
  }
  for (const fs::path& input : inputs_) {
    if (same_file(path, input)) refuse("is also an input; name another file");
  }
  for (const auto& [other, taken] : claimed_) {
    if (same_file(path, taken)) refuse(fmt::format("is also {}; name another file", other));
  }
  claimed_.emplace_back(option, path);
}

void Outputs::reserve(const std::string& option, const fs::path& path, std::uint64_t bytes) {
  const auto needed = size_text(static_cast<double>(bytes));
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur) {
    throw ConfigError(option, path.string(),
                      fmt::format("takes {} or more, but files may hold {} (ulimit -f)", needed,
                                  size_text(static_cast<double>(limit.rlim_cur))));
  }
  std::error_code error;
  const fs::path target = fs::is_symlink(path, error) ? fs::canonical(path, error) : path;
  struct statvfs system {};
  struct stat directory {};
  if (statvfs(directory_of(target).c_str(), &system) != 0 || stat(directory_of(target).c_str(), &directory) != 0)
    return;  // then nobody knows
  const double free = static_cast<double>(system.f_bavail) * static_cast<double>(system.f_frsize);
  std::uint64_t& reserved = reserved_[static_cast<std::uint64_t>(directory.st_dev)];
  if (__builtin_add_overflow(reserved, bytes, &reserved)) reserved = UINT64_MAX;
  if (static_cast<double>(reserved) <= free) return;
  throw ConfigError(option, path.string(),
                    fmt::format("takes {} or more, and all outputs here {}, but {} are free", needed,
                                size_text(static_cast<double>(reserved)), size_text(free)));
}

void Outputs::reserve_values(const std::string& option, const fs::path& path, std::uint64_t values) {
  std::uint64_t bytes = 0;
  const std::uint64_t each = path.extension() == ".csv" ? 2 : sizeof(float);
  if (__builtin_mul_overflow(values, each, &bytes)) bytes = UINT64_MAX;
  reserve(option, path, bytes);
}

void require_replaceable_model(const std::string& option, const fs::path& path) {
  if (missing_or_empty(path)) return;
  try {
    const auto metadata = describe_safetensors(path).metadata;
    if (const auto format = metadata.find("format"); format != metadata.end() && format->second == "ebmcuda") return;
  } catch (const FormatError&) {
    // no safetensors file
  }
  refuse_to_replace(option, path, is_checkpoint(path) ? "holds a checkpoint" : "exists and is no model");
}

void require_replaceable_checkpoint(const std::string& option, const fs::path& path) {
  if (missing_or_empty(path)) return;
  std::optional<TrainingRun> run;
  try {
    run = read_run(path);
  } catch (const FormatError&) {
    refuse_to_replace(option, path, "exists and is no checkpoint");
  }
  if (run->finished()) return;
  throw ConfigError(option, path.string(),
                    fmt::format("holds an unfinished run, iteration {} of {}: --resume goes on with it, --overwrite "
                                "starts anew",
                                run->iteration, run->options.iterations));
}

void require_replaceable_log(const std::string& option, const fs::path& path) {
  if (!missing_or_empty(path) && !begins_as_log(path)) {
    refuse_to_replace(option, path, "exists and is no training log");
  }
}

}  // namespace ebm::tools
