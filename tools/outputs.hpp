// Output files are looked at before any work begins, so that an hour of training never ends at a wrong path.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ebm::tools {

class Outputs {
 public:
  // An input that no output may overwrite.
  void protect(const std::filesystem::path& input) { inputs_.push_back(input); }

  // Throws ConfigError that names `option` unless `path` can be written: its directory exists and lets us, it is a
  // regular file or nothing yet, it is none of the inputs or earlier outputs, and its extension is one of `extensions`
  // (any, when the list is empty).
  void claim(const std::string& option, const std::filesystem::path& path,
             std::initializer_list<std::string_view> extensions = {});

 private:
  std::vector<std::filesystem::path> inputs_;
  std::vector<std::pair<std::string, std::filesystem::path>> claimed_;
};

// Writes beside, syncs and renames. Throws WriteError and leaves what stood there as it was.
void write_file(const std::filesystem::path& path, std::span<const unsigned char> bytes);

}  // namespace ebm::tools
