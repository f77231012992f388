#include "tools/inputs.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdio>

#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"

namespace ebm::tools {
namespace {

std::string data_name(const std::filesystem::path& path) { return fmt::format("DATA ({})", path.string()); }

Matrix select(const Matrix& x, const std::vector<std::size_t>& columns) {
  Matrix chosen(x.rows(), columns.size());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < columns.size(); ++j) chosen(i, j) = x(i, columns[j]);
  }
  return chosen;
}

}  // namespace

void parse(std::string_view option, const std::string& text, ColumnSelection& value) {
  value.text = text;
  // The width of the table is not known yet; a bad form is reported here all the same.
  if (text.empty() || text.find_first_not_of("0123456789:,") != std::string::npos) {
    throw ConfigError(std::string(option), text, "must be columns such as 0:64, 2 or 0:3,5 (from 0, end excluded)");
  }
}

std::vector<std::size_t> ColumnSelection::resolve(std::string_view option, std::size_t count) const {
  std::vector<std::size_t> columns;
  const auto refuse = [&](const std::string& why) { throw ConfigError(std::string(option), text, why); };
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const std::size_t colon = part.find(':');
    const auto number = [&](const std::string& digits, std::size_t otherwise) {
      if (digits.empty()) return otherwise;
      std::size_t value = 0;
      const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (error != std::errc() || last != digits.data() + digits.size())
        refuse("must be columns such as 0:64 or 0:3,5");
      return value;
    };
    if (part.empty()) refuse("must be columns such as 0:64, 2 or 0:3,5");
    const std::size_t from = number(part.substr(0, colon), 0);
    const std::size_t to = colon == std::string::npos ? from + 1 : number(part.substr(colon + 1), count);
    if (from >= to || to > count) refuse(fmt::format("the table has columns 0 .. {}", count == 0 ? 0 : count - 1));
    for (std::size_t c = from; c < to; ++c) columns.push_back(c);
    begin = end + 1;
  }
  return columns;
}

void DataOptions::add(CommandLine& line, bool with_labels) {
  line.add("DATA", path, "", "points, one row each: .npy or .csv");
  line.required();
  line.add("--columns", columns, "A:B", "columns that are features, from 0, end excluded (default: all)");
  if (!with_labels) return;
  line.add("--labels", labels, "FILE", "whole-numbered labels, one a row: .npy or .csv");
  line.add("--label-column", label_column, "K", "column of DATA that holds the labels");
}

Data DataOptions::read() const {
  const std::string name = data_name(path);
  const Matrix table = read_matrix(path);
  if (table.rows() == 0 || table.cols() == 0) throw FormatError(path.string(), "holds no points");
  Data data;
  std::optional<std::size_t> label_index;
  if (label_column) {
    if (labels) throw ConfigError("--label-column", fmt::format("{}", *label_column), "--labels is given too");
    if (*label_column < 0 || static_cast<std::size_t>(*label_column) >= table.cols()) {
      throw ConfigError("--label-column", fmt::format("{}", *label_column),
                        fmt::format("{} has columns 0 .. {}", path.string(), table.cols() - 1));
    }
    label_index = static_cast<std::size_t>(*label_column);
    data.labels = labels_from_column(table, *label_index);
  }
  if (columns) {
    data.x = select(table, columns->resolve("--columns", table.cols()));
  } else if (label_index) {
    std::vector<std::size_t> others;
    for (std::size_t c = 0; c < table.cols(); ++c) {
      if (c != *label_index) others.push_back(c);
    }
    if (others.empty()) throw FormatError(path.string(), "holds labels and no features");
    data.x = select(table, others);
  } else {
    data.x = table;
  }
  require_finite(name, data.x);
  if (labels) {
    data.labels = read_labels(*labels);
    if (data.labels.size() != data.x.rows()) {
      throw ConfigError("--labels", fmt::format("{} ({} labels)", labels->string(), data.labels.size()),
                        fmt::format("must hold one label for each of the {} rows of {}", data.x.rows(), path.string()));
    }
  }
  return data;
}

Matrix DataOptions::read_features(const std::filesystem::path& other, std::string_view option) const {
  DataOptions same_layout = *this;
  same_layout.path = other;
  same_layout.labels.reset();
  try {
    return same_layout.read().x;
  } catch (const ConfigError& error) {
    // Say which option brought the file in, not that it is DATA.
    if (!error.field().starts_with("DATA")) throw;
    throw ConfigError(fmt::format("{} ({})", option, other.string()), error.value(), error.allowed());
  }
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

std::string shape_text(MatrixView x) { return fmt::format("{} x {}", x.rows, x.cols); }

void print_rows(MatrixView x) {
  fmt::memory_buffer line;
  for (std::size_t i = 0; i < x.rows; ++i) {
    line.clear();
    fmt::format_to(std::back_inserter(line), "{}\n", fmt::join(x.row(i), ","));
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size()) break;  // flush_stdout reports it
  }
  flush_stdout();
}

void flush_stdout() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw WriteError("standard output", "could not be written");
}

}  // namespace ebm::tools
