// Output files are looked at before any work begins, so that an hour of training never ends at a wrong path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ebm::tools {

class Outputs {
 public:
  // An input that no output may overwrite.
  void protect(const std::filesystem::path& input);

  // Throws ConfigError that names `option` unless `path` can be written: its name is no longer than the file system
  // takes, its directory exists and lets us, it is a regular file, a link to one or nothing yet, it is none of the
  // inputs or earlier outputs, and its extension is one of `extensions` (any, when the list is empty).
  void claim(const std::string& option, const std::filesystem::path& path,
             std::initializer_list<std::string_view> extensions = {});

  // Once it is known that an output takes `bytes` or more: throws ConfigError unless the file system has room for this
  // and all outputs reserved before (a file that is replaced stands until the new one is whole), and the limit on the
  // size of files (ulimit -f) allows it.
  void reserve(const std::string& option, const std::filesystem::path& path, std::uint64_t bytes);
  // As above for so many numbers: float32 in a .npy, a digit and a separator each in a .csv.
  void reserve_values(const std::string& option, const std::filesystem::path& path, std::uint64_t values);

 private:
  std::vector<std::filesystem::path> inputs_;
  std::vector<std::pair<std::string, std::filesystem::path>> claimed_;
  std::map<std::uint64_t, std::uint64_t> reserved_;  // by file system
};

// Throw ConfigError for a file that must not be replaced without a word: anything but a model; anything but the
// checkpoint of a finished run; anything but a training log. What is missing or empty may be. Each names --overwrite.
void require_replaceable_model(const std::string& option, const std::filesystem::path& path);
void require_replaceable_checkpoint(const std::string& option, const std::filesystem::path& path);
void require_replaceable_log(const std::string& option, const std::filesystem::path& path);

}  // namespace ebm::tools
