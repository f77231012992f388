// Data sets as commands read them: which columns are features, where labels come from, what becomes of gaps.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "ebmcuda/table.hpp"
#include "tools/command_line.hpp"
#include "tools/console.hpp"

namespace ebm::tools {

// --columns as written: the reader resolves it, who knows the file's width and names.
struct ColumnSelection {
  std::string text;
};
void parse(std::string_view option, const std::string& text, ColumnSelection& value);

struct Data {
  Matrix x;                                   // [N, D]
  std::vector<int> labels;                    // [N] or empty
  std::vector<std::string> class_names = {};  // [C] when labels were numbered: --map-labels, or the model's classes
  std::vector<double> mean = {}, std = {};    // [D] in double, before rounding
  std::vector<double> subtracted = {}, divided = {};

  // From the double-precision sums.
  Standardization standardization(float dequantize) const;
};

// The DATA argument with --columns, --labels, --label-column and how to read it.
struct DataOptions {
  std::filesystem::path path;
  std::optional<ColumnSelection> columns;
  std::optional<std::filesystem::path> labels;
  std::optional<std::string> label_column;
  bool map_labels = false;
  CsvHeader header = CsvHeader::automatic;
  char delimiter = 0;
  MissingValues missing = MissingValues::refuse;
  Rescaling rescaling;

  // Labels that number a model's classes may be named: --map-labels.
  enum class Labels { none, numbers, classes };
  void add(CommandLine& line, Labels with);
  // All but the positional itself.
  void add_reading(CommandLine& line, Labels with);

  // Throws FormatError for the file and ConfigError for what does not fit it; every value is finite. Without --columns
  // the features are all columns but the label's. Labels are numbered by the classes that `model` notes, if it does.
  // What the reader decided goes to the console.
  Data read(const Console& console, const Mlp* model = nullptr) const;
  // Features alone of another file with the same layout, such as a training split.
  Matrix read_features(const Console& console, const std::filesystem::path& other) const;

 private:
  Table read_with_remarks(const Console& console, const std::filesystem::path& file, TableOptions options,
                          bool labels_only) const;
  TableOptions table_options() const;
  bool has_options_ = false;  // --header and so on: else no message may name them
};

// Points of another file, all its columns, such as --init; they may be infinite or NaN. Throws as read_table.
Matrix read_points(const Console& console, const std::filesystem::path& path);

// Features of another file, NaN where a value is missing; `columns` as TableOptions has them. `chosen`: their numbers.
Matrix read_points_with_gaps(const Console& console, const std::filesystem::path& path, const std::string& columns,
                             std::vector<std::size_t>* chosen = nullptr);

// A trained classifier has an output for every class: ConfigError that names the classes without rows, unless the
// number of outputs was given or stands already (`outputs`), where they are warned about.
void require_every_class(const Console& console, const Data& data, std::optional<int> outputs);
// The classes' names go along with the model, so that other commands number labels as the training did.
Mlp with_class_names(Mlp model, const Data& data);

// The classes' names that a model notes, in the order of its outputs; empty where it notes none.
std::vector<std::string> noted_classes(const Mlp& model);

// ConfigError unless every value is finite; names row and column.
void require_finite(std::string_view what, MatrixView x);
// ConfigError unless x has the model's dimension.
void require_dimension(std::string_view what, MatrixView x, const Mlp& model);

// Warns where a model of whole numbers with noise is given numbers without.
void warn_without_noise(const Console& console, const Mlp& model, float dequantize);

// "1797 x 64".
std::string shape_text(MatrixView x);

}  // namespace ebm::tools
