#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "ebmcuda/error.hpp"
#include "host/core/check.hpp"
#include "host/files/table_source.hpp"
#include "host/files/text.hpp"

namespace ebm {
namespace {

constexpr std::size_t kMostClasses = 4096;
constexpr std::string_view kColumnsLookLike =
    "must be columns such as 0:64, 2 or 0:3,5 (from 0, end excluded), or names";

// --- Which columns

std::size_t column_named(const TableSource& source, std::string_view field, const std::string& text,
                         std::string_view name) {
  const auto found = source.columns_named(name);
  require(!found.empty(), field, text, fmt::format("there is no column {}; {}", in_quotes(name), source.about_names()));
  require(
      found.size() == 1, field, text,
      fmt::format("columns {} and {} are both called {}; give the number", found[0], found.back(), in_quotes(name)));
  return found.front();
}

bool is_digits(std::string_view text) { return text.find_first_not_of("0123456789") == std::string_view::npos; }

// Of `count` columns; named(name) is the number of one, text(number) what it is called in messages.
template <class Named, class Text>
std::vector<std::size_t> resolve_columns(const std::string& text, std::size_t count, const Named& named,
                                         const Text& column_text) {
  std::vector<std::size_t> columns;
  std::vector<bool> chosen(count, false);
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    begin = end + 1;
    require(!part.empty(), "columns", text, kColumnsLookLike);
    const std::size_t colon = part.find(':');
    const std::string first = part.substr(0, colon);
    const std::string last = colon == std::string::npos ? std::string() : part.substr(colon + 1);
    std::size_t from = 0, to = count;
    if (is_digits(first) && is_digits(last) && part != ":") {
      const auto number = [&](const std::string& digits, std::size_t otherwise) {
        if (digits.empty()) return otherwise;
        return parse_number<std::size_t>(digits).value_or(std::numeric_limits<std::size_t>::max());
      };
      from = number(first, 0);
      to = colon == std::string::npos ? (from < count ? from + 1 : from) : number(last, count);
      require(from < count && to <= count, "columns", text, fmt::format("the table has columns 0 .. {}", count - 1));
      require(from < to, "columns", text, fmt::format("{} holds no column", in_quotes(part)));
    } else {
      from = named(part);
      to = from + 1;
    }
    for (std::size_t c = from; c < to; ++c) {
      require(!chosen[c], "columns", text, fmt::format("column {} is chosen twice", column_text(c)));
      chosen[c] = true;
      columns.push_back(c);
    }
  }
  return columns;
}

std::vector<std::size_t> resolve_columns(const TableSource& source, const std::string& text) {
  return resolve_columns(
      text, source.cols(), [&](const std::string& name) { return column_named(source, "columns", text, name); },
      [&](std::size_t column) { return source.column_text(column); });
}

std::size_t resolve_label_column(const TableSource& source, std::string_view field, const std::string& text) {
  const bool number = is_digits(text) || (text.starts_with('-') && is_digits(text.substr(1)));
  if (!number) return column_named(source, field, text, text);
  const auto column = parse_number<std::size_t>(text);
  require(column && *column < source.cols(), field, text,
          fmt::format("{} has columns 0 .. {}", source.file().name(), source.cols() - 1));
  return *column;
}

struct Selection {
  std::vector<std::size_t> columns;  // features, then the label's
  std::size_t features = 0;
  bool has_label() const { return columns.size() > features; }
};

Selection select(const TableSource& source, const TableOptions& options) {
  Selection selection;
  std::optional<std::size_t> label;
  const bool has_labels = !options.label_column.empty();
  require(!has_labels || options.left_out.empty(), "left_out", options.left_out, "label_column is given too");
  if (has_labels) label = resolve_label_column(source, "label_column", options.label_column);
  if (!options.left_out.empty()) label = resolve_label_column(source, "label_column", options.left_out);
  if (!options.columns.empty()) {
    selection.columns = resolve_columns(source, options.columns);
    if (label) {
      require(std::ranges::find(selection.columns, *label) == selection.columns.end(), "columns", options.columns,
              fmt::format("holds column {}, which is the label column and no feature", source.column_text(*label)));
    }
  } else {
    for (std::size_t c = 0; c < source.cols(); ++c) {
      if (c != label) selection.columns.push_back(c);
    }
    if (selection.columns.empty()) source.file().fail("holds labels and no features");
  }
  selection.features = selection.columns.size();
  if (has_labels) selection.columns.push_back(*label);
  return selection;
}

// --- Passes over the file

bool is_missing(const Cell& cell) {
  return cell.kind == Cell::Kind::missing || (cell.kind == Cell::Kind::number && std::isnan(cell.value));
}

class FindMissing : public CellSink {
 public:
  explicit FindMissing(std::size_t rows) : missing(rows, false) {}
  void take(std::size_t row, std::size_t, const Cell& cell) override {
    if (is_missing(cell)) missing[row] = true;
  }
  std::vector<bool> missing;
};

// Mean and sum of squared deviations in one pass (Welford 1962).
struct Moments {
  double n = 0, mean = 0, squares = 0;
  double lowest = std::numeric_limits<double>::infinity(), highest = -std::numeric_limits<double>::infinity();
  void add(double x) {
    n += 1;
    const double delta = x - mean;
    mean += delta / n;
    squares += delta * (x - mean);
    lowest = std::min(lowest, x);
    highest = std::max(highest, x);
  }
  double std() const { return n > 0 ? std::sqrt(squares / n) : 0; }
  // A constant, but for the rounding of a computation in double.
  bool constant() const { return highest - lowest <= 0x1p-48 * std::max(std::abs(highest), std::abs(lowest)); }
};

class FindMoments : public CellSink {
 public:
  FindMoments(std::size_t features, const std::vector<bool>& skip) : moments(features), skip_(skip) {}
  void take(std::size_t row, std::size_t slot, const Cell& cell) override {
    const bool skipped = !skip_.empty() && skip_[row];
    if (!skipped && slot < moments.size() && cell.kind == Cell::Kind::number && std::isfinite(cell.value)) {
      moments[slot].add(cell.value);
    }
  }
  std::vector<Moments> moments;

 private:
  const std::vector<bool>& skip_;
};

// Labels by number or by name. Distinct ones are numbered as they come, and in their order at the end.
class LabelReader {
 public:
  LabelReader(const TableSource& source, const TableOptions& options)
      : source_(source), by_name_(options.map_labels || !options.classes.empty()), given_(options.classes) {
    for (std::size_t i = 0; i < given_.size(); ++i) numbers_.emplace(given_[i], static_cast<int>(i));
  }
  int read(std::size_t row, std::size_t column, const Cell& cell) {
    if (by_name_) return number_of(row, column, name_of(cell));
    const auto fail = [&](const std::string& what) {
      source_.file().fail(fmt::format("{}: {} {}", source_.place(row, column), shown(cell), what));
    };
    const bool whole = cell.kind == Cell::Kind::number && std::trunc(cell.value) == cell.value;
    if (!whole) fail("is not a whole number (map_labels numbers any labels)");
    if (cell.value < 0 || cell.value > std::numeric_limits<int>::max()) {
      fail("is no class: labels are 0 .. 2^31 - 1 (map_labels numbers any labels)");
    }
    return static_cast<int>(cell.value);
  }
  // The names of classes in their order; `labels` is renumbered to it.
  std::vector<std::string> finish(std::vector<int>* labels) {
    if (!by_name_) return {};
    if (!given_.empty()) return given_;
    std::vector<std::pair<std::string, int>> order(numbers_.begin(), numbers_.end());
    const auto number = [](const std::string& name) { return parse_number<double>(name); };
    if (std::ranges::all_of(order, [&](const auto& entry) { return number(entry.first).has_value(); })) {
      std::ranges::sort(order, {}, [&](const auto& entry) { return *number(entry.first); });
    }
    std::vector<int> renumbered(order.size());
    std::vector<std::string> names;
    for (std::size_t i = 0; i < order.size(); ++i) {
      renumbered[static_cast<std::size_t>(order[i].second)] = static_cast<int>(i);
      names.push_back(order[i].first);
    }
    for (int& label : *labels) label = renumbered[static_cast<std::size_t>(label)];
    return names;
  }

 private:
  static std::string shown(const Cell& cell) {
    return cell.text.empty() ? fmt::format("{}", cell.value) : in_quotes(cell.text);
  }
  // 1, 1.0 and 01 are one label; 1.5 is another.
  static std::string name_of(const Cell& cell) {
    if (cell.kind == Cell::Kind::text) return std::string(cell.text);
    return fmt::format("{}", cell.value == 0 ? 0.0 : cell.value);
  }
  int number_of(std::size_t row, std::size_t column, const std::string& name) {
    if (const auto found = numbers_.find(name); found != numbers_.end()) return found->second;
    if (!given_.empty()) {
      source_.file().fail(fmt::format("{}: {} is none of the classes {}", source_.place(row, column), in_quotes(name),
                                      in_quotes(fmt::format("{}", fmt::join(given_, ", ")))));
    }
    if (numbers_.size() == kMostClasses) {
      source_.file().fail(fmt::format("{}: more than {} different labels: is column {} the label's?",
                                      source_.place(row, column), kMostClasses, source_.column_text(column)));
    }
    return numbers_.emplace(name, static_cast<int>(numbers_.size())).first->second;
  }

  const TableSource& source_;
  bool by_name_;
  const std::vector<std::string>& given_;
  std::map<std::string, int> numbers_;
};

class Fill : public CellSink {
 public:
  Fill(const TableSource& source, const TableOptions& options, const Selection& selection,
       const std::vector<bool>& skip, const Table& table)
      : moments(selection.features),
        source_(source),
        options_(options),
        selection_(selection),
        skip_(skip),
        subtract_(table.subtracted),
        divide_(table.divided),
        labels_(source, options) {
    values.resize(source.rows() * selection.features);
    if (selection.has_label()) labels.resize(source.rows());
    samples_every_ = std::numeric_limits<std::size_t>::max();
    if (source.narrows() || !subtract_.empty() || !divide_.empty()) {
      // Half a MiB for the table, but no fewer than 16 values a column.
      const std::size_t most = std::clamp<std::size_t>(65536 / std::max<std::size_t>(selection.features, 1), 16, 4096);
      samples_every_ = (source.rows() + most - 1) / most;
      samples_.resize(selection.features);
      squared_errors_.resize(selection.features, 0);
    }
  }

  void take(std::size_t row, std::size_t slot, const Cell& cell) override {
    const std::size_t column = selection_.columns[slot];
    const bool feature = slot < selection_.features;
    if (feature && cell.kind == Cell::Kind::text) {
      source_.file().fail(fmt::format("{}: {} is not a number that fits float32{}", source_.place(row, column),
                                      in_quotes(cell.text), hint(cell.text)));
    }
    if (!skip_.empty() && skip_[row]) return;
    if (is_missing(cell)) {
      if (feature && options_.missing == MissingValues::keep) {
        values[row * selection_.features + slot] = std::numeric_limits<float>::quiet_NaN();
        return;
      }
      if (cell.kind == Cell::Kind::missing || options_.finite || !feature) refuse_missing(row, column, cell);
    }
    if (!feature) {
      labels[row] = labels_.read(row, column, cell);
      return;
    }
    if (options_.finite && std::isinf(cell.value)) {
      source_.file().fail(fmt::format("{}: {} is not finite", at(row, column), cell.value));
    }
    double value = cell.value;
    float narrow = cell.narrow;
    if (!subtract_.empty() || !divide_.empty()) {
      if (!subtract_.empty()) value -= subtract_[slot];
      if (!divide_.empty()) value /= divide_[slot];
      narrow = static_cast<float>(value);
    }
    if (std::isinf(narrow) && std::isfinite(cell.value)) {
      const bool rescaled = value != cell.value;
      const std::string shown = cell.text.empty() ? fmt::format("{}", cell.value) : std::string(cell.text);
      source_.file().fail(fmt::format(
          "{}: {} is beyond the range of float32; choose another unit (ebm data FILE "
          "--divide V)",
          at(row, column), rescaled ? fmt::format("{}, {} after subtracting and dividing,", shown, value) : shown));
    }
    values[row * selection_.features + slot] = narrow;
    if (!std::isfinite(value)) return;
    moments[slot].add(value);
    if (samples_.empty()) return;
    const double error = value - static_cast<double>(narrow);
    squared_errors_[slot] += error * error;
    if (row % samples_every_ == 0) samples_[slot].push_back(value);
  }

  // Throws FormatError for a column that float32 can't hold apart.
  void check_rounding() {
    for (std::size_t slot = 0; slot < samples_.size(); ++slot) {
      std::vector<double>& sample = samples_[slot];
      if (sample.empty() || moments[slot].constant()) continue;
      std::ranges::sort(sample);
      std::size_t apart = 1, apart_as_floats = 1;
      for (std::size_t i = 1; i < sample.size(); ++i) {
        apart += sample[i] != sample[i - 1] ? 1 : 0;
        apart_as_floats += static_cast<float>(sample[i]) != static_cast<float>(sample[i - 1]) ? 1 : 0;
      }
      const bool merged = 2 * (apart - apart_as_floats) > apart - 1;
      const double error = std::sqrt(squared_errors_[slot] / moments[slot].n), spread = moments[slot].std();
      if (!merged && error <= 0.01 * spread) continue;
      const bool tiny = std::max(std::abs(moments[slot].lowest), std::abs(moments[slot].highest)) < 1e-36;
      const std::string what =
          merged ? fmt::format("merges {} different values{} into {}", apart,
                               sample.size() < static_cast<std::size_t>(moments[slot].n) ? " (of a sample)" : "",
                               apart_as_floats)
                 : fmt::format("moves values by {:.2g} of the column's standard deviation", error / spread);
      source_.file().fail(fmt::format(
          "column {}: rounding to float32 {}; {} (ebm data FILE {}), or leave the column out",
          source_.column_text(selection_.columns[slot]), what, tiny ? "choose a smaller unit" : "subtract the offset",
          tiny ? "--divide std" : "--subtract mean"));
    }
  }

  LabelReader& label_reader() { return labels_; }

  std::vector<float> values;
  std::vector<int> labels;
  std::vector<Moments> moments;

 private:
  static std::string hint(std::string_view text) {
    const auto only = [&](std::string_view characters) {
      return text.find_first_not_of(characters) == std::string_view::npos;
    };
    if (text.find(',') != std::string_view::npos && only("0123456789+-,.")) {
      return " (a decimal comma or a separator of thousands is not read)";
    }
    if (!only("0123456789+-.eE;\t ")) return {};
    if (text.find(';') != std::string_view::npos) return " (cells are separated by ; with delimiter = ;)";
    if (text.find_first_of("\t ") != std::string_view::npos)
      return " (cells are separated by blanks with delimiter = space)";
    return {};
  }
  // Row and column, as arrays count them, beside the line of a .csv.
  std::string at(std::size_t row, std::size_t column) const {
    const std::string place = source_.place(row, column), plain = fmt::format("row {}, column {}", row, column);
    return place == plain ? place : fmt::format("{} (row {}, column {})", place, row, column);
  }
  [[noreturn]] void refuse_missing(std::size_t row, std::size_t column, const Cell& cell) const {
    source_.file().fail(fmt::format("{}: {} is a missing value (missing = drop leaves out rows that have one)",
                                    at(row, column), cell.kind == Cell::Kind::missing ? in_quotes(cell.text) : "nan"));
  }

  const TableSource& source_;
  const TableOptions& options_;
  const Selection& selection_;
  const std::vector<bool>& skip_;
  const std::vector<double>&subtract_, &divide_;
  LabelReader labels_;
  std::size_t samples_every_;
  std::vector<std::vector<double>> samples_;  // of the columns, in double
  std::vector<double> squared_errors_;
};

// --- Rescaling

std::vector<double> for_each_feature(std::string_view field, const std::vector<double>& given, std::size_t features) {
  require(given.size() == 1 || given.size() == features, field, fmt::format("{}", fmt::join(given, ",")),
          fmt::format("must be one value, or one for each of the {} features", features));
  return given.size() == 1 ? std::vector<double>(features, given.front()) : given;
}

void find_rescaling(const TableSource& source, const Selection& selection, const Rescaling& wanted,
                    const std::vector<bool>& skip, Table* table) {
  require(wanted.subtract.empty() || !wanted.subtract_mean, "subtract", "mean", "values are given too");
  require(wanted.divide.empty() || !wanted.divide_std, "divide", "std", "values are given too");
  for (const double v : wanted.subtract) require(std::isfinite(v), "subtract", v, "must be finite");
  for (const double v : wanted.divide) {
    require(std::isfinite(v) && v != 0 && std::isfinite(1 / v), "divide", v,
            "must be finite and not 0, and its inverse finite");
  }
  if (!wanted.subtract.empty()) table->subtracted = for_each_feature("subtract", wanted.subtract, selection.features);
  if (!wanted.divide.empty()) table->divided = for_each_feature("divide", wanted.divide, selection.features);
  if (!wanted.subtract_mean && !wanted.divide_std) return;
  FindMoments pass(selection.features, skip);
  source.read(selection.columns, pass);
  for (const Moments& moments : pass.moments) {
    if (wanted.subtract_mean) table->subtracted.push_back(moments.mean);
    if (wanted.divide_std) {
      const double std = moments.std();
      table->divided.push_back(
          moments.constant() || !(std > 0) || !std::isfinite(std) || !std::isfinite(1 / std) ? 1.0 : std);
    }
  }
}

// Closes the gaps that dropped rows leave.
template <class T>
void compact(std::vector<T>* values, std::size_t width, const std::vector<bool>& skip) {
  std::size_t kept = 0;
  for (std::size_t row = 0; row < skip.size(); ++row) {
    if (skip[row]) continue;
    std::copy_n(values->begin() + static_cast<std::ptrdiff_t>(row * width), width,
                values->begin() + static_cast<std::ptrdiff_t>(kept++ * width));
  }
  values->resize(kept * width);
}

Table read_selection(const TableSource& source, const TableOptions& options, const Selection& selection) {
  Table table;
  table.columns.assign(selection.columns.begin(),
                       selection.columns.begin() + static_cast<std::ptrdiff_t>(selection.features));
  table.rows_in_file = source.rows();
  table.remarks = source.remarks();
  std::vector<bool> skip;
  if (options.missing == MissingValues::drop) {
    FindMissing pass(source.rows());
    source.read(selection.columns, pass);
    const auto missing = static_cast<std::size_t>(std::ranges::count(pass.missing, true));
    if (missing == source.rows()) source.file().fail("every row has a missing value");
    if (missing > 0) {
      skip = std::move(pass.missing);
      for (std::size_t row = 0; row < skip.size(); ++row) {
        if (!skip[row]) table.kept.push_back(row);
      }
      table.remarks.push_back(fmt::format("{} of {} rows were dropped for missing values", missing, source.rows()));
    }
  }
  find_rescaling(source, selection, options.rescaling, skip, &table);
  std::size_t count = 0;
  if (__builtin_mul_overflow(source.rows(), selection.features, &count)) source.file().fail("is too large");
  Fill fill(source, options, selection, skip, table);
  source.read(selection.columns, fill);
  fill.check_rounding();
  if (!skip.empty()) {
    compact(&fill.values, selection.features, skip);
    if (selection.has_label()) compact(&fill.labels, 1, skip);
  }
  if (selection.has_label()) {
    table.class_names = fill.label_reader().finish(&fill.labels);
    table.labels = std::move(fill.labels);
  }
  const std::size_t rows = skip.empty() ? source.rows() : table.kept.size();
  if (selection.features > 0) table.x = Matrix(rows, selection.features, std::move(fill.values));
  for (const Moments& moments : fill.moments) {
    table.mean.push_back(moments.mean);
    table.std.push_back(moments.constant() ? 0 : moments.std());
  }
  return table;
}

}  // namespace

Table read_table(const TableSource& source, const TableOptions& options) {
  return read_selection(source, options, select(source, options));
}

std::vector<std::size_t> columns_of(const std::string& list, std::size_t count) {
  return resolve_columns(
      list, count,
      [&](const std::string& name) -> std::size_t {
        reject("columns", list, fmt::format("{}: {}", in_quotes(name), kColumnsLookLike));
      },
      [](std::size_t column) { return std::to_string(column); });
}

Table read_label_table(const TableSource& source, const TableOptions& options) {
  if (source.cols() != 1) source.file().fail(fmt::format("labels have one column; this has {}", source.cols()));
  TableOptions labels_only = options;
  labels_only.missing = MissingValues::refuse;
  labels_only.rescaling = {};
  Selection selection;
  selection.columns = {0};
  return read_selection(source, labels_only, selection);
}

}  // namespace ebm
