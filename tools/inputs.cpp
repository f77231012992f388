#include "tools/inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"

namespace ebm::tools {
namespace {

constexpr std::string_view kClassesNote = "classes";  // a JSON list of names, in the order of the outputs

// The library's advice speaks of its fields, at the end in parentheses. Where a command has options for them it shall
// name those; where it has none it shall promise nothing.
std::string in_words_of(std::string text, bool has_options) {
  constexpr std::pair<std::string_view, std::string_view> kSpellings[] = {
      {"header = ", "--header "},     {"delimiter = ", "--delimiter "}, {"missing = ", "--missing "},
      {"map_labels", "--map-labels"}, {"columns = ", "--columns "},
  };
  for (const auto& [field, option] : kSpellings) {
    const std::size_t advice = text.rfind(" (");
    if (!has_options && advice != std::string::npos && text.find(field, advice) != std::string::npos) {
      text.resize(advice);
    }
    for (std::size_t at = text.find(field); at != std::string::npos; at = text.find(field, at + option.size())) {
      text.replace(at, field.size(), option);
    }
  }
  return text;
}

std::string listed(const std::vector<int>& classes) {
  constexpr std::size_t kShown = 10;
  const std::vector<int> shown(classes.begin(), classes.begin() + std::min(kShown, classes.size()));
  return fmt::format("{}{}", fmt::join(shown, ", "), classes.size() > kShown ? ", ..." : "");
}

void say_classes(const Console& console, const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 20;
  std::string text;
  for (std::size_t c = 0; c < std::min(kShown, names.size()); ++c) {
    text += fmt::format("{}{} = {}", c == 0 ? "" : ", ", c, names[c]);
  }
  console.info("classes: {}{}", text, names.size() > kShown ? ", ..." : "");
}

}  // namespace

void parse(std::string_view option, const std::string& text, ColumnSelection& value) {
  value.text = text;
  // The table's width and names are not known yet; a bad form is reported here all the same.
  if (text.empty()) {
    throw ConfigError(std::string(option), text,
                      "must be columns such as 0:64, 2 or 0:3,5 (from 0, end excluded), or names");
  }
}

Standardization Data::standardization(float dequantize) const {
  Table moments;
  moments.mean = mean;
  moments.std = std;
  return standardization_of(moments, dequantize);
}

void DataOptions::add(CommandLine& line, Labels with) {
  line.add("DATA", path, "", "points, one row each: .npy, .npz, .csv or .tsv; - is standard input");
  line.required();
  add_reading(line, with);
}

void DataOptions::add_reading(CommandLine& line, Labels with) {
  has_options_ = true;
  line.add("--columns", columns, "A:B", "features: numbers from 0, end excluded, or names (default: all)");
  if (with != Labels::none) {
    line.add("--labels", labels, "FILE", "labels, one a row: .npy, .npz, .csv or .tsv");
    line.add("--label-column", label_column, "K", "column of DATA that holds the labels, number or name");
  }
  if (with == Labels::classes) {
    line.add_flag("--map-labels", map_labels, "number the distinct labels 0, 1, ...; they may be text or have gaps");
  }
  line.add_words(
      "--header", {"auto", "yes", "no"}, [this](std::size_t i) { header = static_cast<CsvHeader>(i); }, "WORD",
      "of a .csv: whether its first line holds names: yes, no or auto (default auto)");
  line.add_words(
      "--delimiter", {",", ";", "tab", "space"}, [this](std::size_t i) { delimiter = ",;\t "[i]; }, "D",
      "of a .csv: , ; tab or space (default: found out among the first three)");
  line.add_words(
      "--missing", {"refuse", "drop"}, [this](std::size_t i) { missing = static_cast<MissingValues>(i); }, "WORD",
      "rows with a missing value in a chosen column: refuse or drop (default refuse)");
}

TableOptions DataOptions::table_options() const {
  TableOptions options;
  if (columns) options.columns = columns->text;
  options.map_labels = map_labels;
  options.header = header;
  options.delimiter = delimiter;
  options.missing = missing;
  options.rescaling = rescaling;
  return options;
}

Table DataOptions::read_with_remarks(const Console& console, const std::filesystem::path& file, TableOptions options,
                                     bool labels_only) const {
  Table table;
  try {
    table = labels_only ? read_label_table(file, options) : read_table(file, options);
  } catch (const FormatError& error) {
    throw FormatError(error.path(),
                      in_words_of(std::string(error.what()).substr(error.path().size() + 2), has_options_));
  } catch (const ConfigError& error) {
    throw ConfigError(error.field(), error.value(), in_words_of(error.allowed(), has_options_));
  }
  for (const std::string& remark : table.remarks)
    console.warn("{}: {}", file.string(), in_words_of(remark, has_options_));
  return table;
}

Data DataOptions::read(const Console& console, const Mlp* model) const {
  TableOptions options = table_options();
  if (map_labels && !labels && !label_column) {
    throw ConfigError("--map-labels", "given", "needs --labels or --label-column");
  }
  if (model != nullptr) {
    options.classes = noted_classes(*model);
    if (map_labels && options.classes.empty()) {
      throw ConfigError("--map-labels", "given",
                        "the model notes no classes; give labels as the numbers of its outputs");
    }
  }
  if (label_column) {
    if (labels) throw ConfigError("--label-column", *label_column, "--labels is given too");
    options.label_column = *label_column;
  }
  if (labels && *labels == "-" && path == "-") throw ConfigError("--labels", "-", "standard input is DATA already");

  Table table = read_with_remarks(console, path, options, false);
  Data data{std::move(table.x),   std::move(table.labels),     std::move(table.class_names), std::move(table.mean),
            std::move(table.std), std::move(table.subtracted), std::move(table.divided)};
  if (labels) {
    const bool same_format = labels->extension() == path.extension();  // else header and delimiter are about DATA
    if (!same_format) options.header = CsvHeader::automatic;
    if (!same_format) options.delimiter = 0;
    Table names = read_with_remarks(console, *labels, options, true);
    if (names.labels.size() != table.rows_in_file) {
      throw ConfigError(
          "--labels", fmt::format("{} ({} labels)", labels->string(), names.labels.size()),
          fmt::format("must hold one label for each of the {} rows of {}", table.rows_in_file, path.string()));
    }
    data.class_names = std::move(names.class_names);
    data.labels = std::move(names.labels);
    if (!table.kept.empty()) {
      std::vector<int> kept;
      for (const std::size_t row : table.kept) kept.push_back(data.labels[row]);
      data.labels = std::move(kept);
    }
  }
  if (model == nullptr && !data.class_names.empty()) say_classes(console, data.class_names);
  return data;
}

Matrix DataOptions::read_features(const Console& console, const std::filesystem::path& other) const {
  TableOptions options = table_options();
  options.map_labels = false;
  // The label's column is no feature of that file either; what it holds there does not matter.
  if (label_column) options.left_out = *label_column;
  return read_with_remarks(console, other, options, false).x;
}

namespace {

// Of a command that has no options for how to read it.
Table read_plainly(const Console& console, const std::filesystem::path& path, const TableOptions& options) {
  try {
    Table table = read_table(path, options);
    for (const std::string& remark : table.remarks) console.warn("{}: {}", path.string(), in_words_of(remark, false));
    return table;
  } catch (const FormatError& error) {
    throw FormatError(error.path(), in_words_of(std::string(error.what()).substr(error.path().size() + 2), false));
  }
}

}  // namespace

Matrix read_points(const Console& console, const std::filesystem::path& path) {
  TableOptions options;
  options.finite = false;
  return read_plainly(console, path, options).x;
}

Matrix read_points_with_gaps(const Console& console, const std::filesystem::path& path, const std::string& columns,
                             std::vector<std::size_t>* chosen) {
  TableOptions options;
  options.finite = false;
  options.missing = MissingValues::keep;
  options.columns = columns;
  Table table = read_plainly(console, path, options);
  if (chosen != nullptr) *chosen = table.columns;
  return std::move(table.x);
}

void require_every_class(const Console& console, const Data& data, std::optional<int> outputs) {
  constexpr int kMostClasses = 4096;
  if (data.labels.empty()) return;
  const int largest = *std::ranges::max_element(data.labels);
  const int named = static_cast<int>(data.class_names.size());
  if (!outputs && largest >= kMostClasses) {
    throw ConfigError(
        "labels", fmt::format("{}", largest),
        fmt::format("labels number the classes 0 .. {} at most (--map-labels numbers any labels)", kMostClasses - 1));
  }
  const int expected = outputs.value_or(std::max(largest + 1, named));
  const std::vector<int> empty = empty_classes(data.labels, std::min(expected, kMostClasses));
  if (outputs) {
    if (!empty.empty()) console.warn("no row has class {} of 0 .. {}", listed(empty), expected - 1);
    return;
  }
  if (!empty.empty()) {
    throw ConfigError("labels", fmt::format("0 .. {}", expected - 1),
                      fmt::format("no row has class {}; --map-labels numbers the classes that there are, --classes {} "
                                  "keeps {} outputs",
                                  listed(empty), expected, expected));
  }
  if (expected < 2) {
    throw ConfigError("labels", "all the same",
                      "a classifier needs rows of two classes or more (--classes C keeps C outputs)");
  }
}

Mlp with_class_names(Mlp model, const Data& data) {
  if (!data.class_names.empty()) {
    model.notes()[std::string(kClassesNote)] =
        nlohmann::json(data.class_names).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return model;
}

std::vector<std::string> noted_classes(const Mlp& model) {
  const auto note = model.notes().find(std::string(kClassesNote));
  if (note == model.notes().end()) return {};
  const auto json = nlohmann::json::parse(note->second, nullptr, false);
  const bool good = json.is_array() && std::ranges::all_of(json, [](const auto& name) { return name.is_string(); });
  // The file's maker may mean something else by that word.
  return good ? json.get<std::vector<std::string>>() : std::vector<std::string>{};
}

void require_finite(std::string_view what, MatrixView x) {
  const auto values = x.values();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    throw ConfigError(std::string(what), fmt::format("{}", values[i]),
                      fmt::format("every value must be finite (row {}, column {})", i / x.cols, i % x.cols));
  }
}

void require_dimension(std::string_view what, MatrixView x, const Mlp& model) {
  if (x.cols == static_cast<std::size_t>(model.dim())) return;
  throw ConfigError(std::string(what), shape_text(x),
                    fmt::format("the model has D = {}, so rows must hold {} values", model.dim(), model.dim()));
}

void warn_without_noise(const Console& console, const Mlp& model, float dequantize) {
  if (!model.transform().has_cells() || dequantize != 0) return;
  console.warn(
      "the model was made for whole numbers with noise: without --dequantize, log densities are those of cell edges");
}

std::string shape_text(MatrixView x) { return fmt::format("{} x {}", x.rows, x.cols); }

}  // namespace ebm::tools
