// --fix [COLUMNS=]FILE: rows whose coordinates chains hold.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "ebmcuda/matrix.hpp"
#include "tools/command_line.hpp"
#include "tools/console.hpp"

namespace ebm::tools {

struct FixOptions {
  std::optional<std::string> given;

  void add(CommandLine& line);
  // "rows.npy" of "0:32=rows.npy".
  std::filesystem::path file() const;
  // [rows of the file, D], NaN where free: also where the file has no value. Throws as read_table, and ConfigError for
  // columns that the file or the model has not got and for rows that hold nothing.
  Matrix rows(const Console& console, std::size_t dim) const;
};

// Each row n times, one after the other. Throws ConfigError naming --chains unless n >= 1.
Matrix repeated_rows(const Matrix& x, std::int64_t n);

}  // namespace ebm::tools
