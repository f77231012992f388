// Data sets as commands read them: which columns are features, where labels come from, what noise is added.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "tools/command_line.hpp"

namespace ebm::tools {

// Columns of a table, "0:64", "2", ":3", "4:", or several, "0:3,5": half-open, counted from 0.
struct ColumnSelection {
  std::string text;
  // The columns chosen of `count`, in the order written. Throws ConfigError that names `option`.
  std::vector<std::size_t> resolve(std::string_view option, std::size_t count) const;
};
void parse(std::string_view option, const std::string& text, ColumnSelection& value);

struct Data {
  Matrix x;                 // [N, D]
  std::vector<int> labels;  // [N] or empty
};

// The DATA argument with --columns, --labels and --label-column.
struct DataOptions {
  std::filesystem::path path;
  std::optional<ColumnSelection> columns;
  std::optional<std::filesystem::path> labels;
  std::optional<std::int64_t> label_column;

  void add(CommandLine& line, bool with_labels);
  // Throws FormatError for the file and ConfigError for what does not fit it; every value is finite. Without --columns
  // the features are all columns but the label's.
  Data read() const;
  // Features alone of another file with the same layout, such as a training split.
  Matrix read_features(const std::filesystem::path& other, std::string_view option) const;
};

// ConfigError unless every value is finite; names row and column.
void require_finite(std::string_view what, MatrixView x);
// ConfigError unless x has the model's dimension.
void require_dimension(std::string_view what, MatrixView x, const Mlp& model);

// "1797 x 64".
std::string shape_text(MatrixView x);

// Comma-separated rows on stdout, numbers so that they read back to the same float. Throws WriteError.
void print_rows(MatrixView x);
void flush_stdout();  // throws WriteError: a full disk or a closed pipe is no success

}  // namespace ebm::tools
