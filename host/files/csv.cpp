#include "host/files/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "host/files/atomic_file.hpp"
#include "host/files/text.hpp"

namespace ebm {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::optional<int> parse_cell(std::string_view cell, int) { return parse_number<int>(cell); }

std::optional<float> parse_cell(std::string_view cell, float) {
  if (cell.starts_with('+') && !cell.starts_with("+-")) cell.remove_prefix(1);
  if (const auto value = parse_number<float>(cell)) return value;
  // from_chars calls a number too small for float out of range; such a number is 0 or denormal, not an error.
  const auto wide = parse_number<double>(cell);
  if (!wide || std::abs(*wide) > 1.0) return std::nullopt;
  return static_cast<float>(*wide);
}

// Cuts a line off the front of `rest`, without its line end.
std::string_view next_line(std::string_view* rest) {
  const auto end = rest->find('\n');
  std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Calls use(column from 1, cell) for every cell.
template <class Use>
void for_each_cell(std::string_view line, const Use& use) {
  for (std::size_t column = 1;; ++column) {
    const auto comma = line.find(',');
    use(column, trimmed(line.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    line.remove_prefix(comma + 1);
  }
}

template <class Value>
bool is_header(std::string_view line) {
  bool all_numbers = true;
  for_each_cell(line, [&](std::size_t, std::string_view cell) {
    // A cell that is a number of the other kind (1.5 among labels) is a mistake to report, not a header.
    all_numbers = all_numbers && (parse_cell(cell, Value{}) || parse_cell(cell, 0.0f));
  });
  return !all_numbers;
}

template <class Value>
struct Table {
  std::vector<Value> values;
  std::size_t rows = 0;
  std::size_t cols = 0;
};

template <class Value>
Table<Value> read_table(const InputFile& file, std::string_view expected) {
  std::string text(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  std::string_view rest = text;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  rest = rest.substr(0, rest.find_last_not_of(" \t\r\n") + 1);  // npos + 1 is 0: nothing but space

  Table<Value> table;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = next_line(&rest);
    if (number == 1 && is_header<Value>(line)) continue;
    if (trimmed(line).empty()) file.fail(fmt::format("line {} is empty", number));
    std::size_t cells = 0;
    for_each_cell(line, [&](std::size_t column, std::string_view cell) {
      const auto value = parse_cell(cell, Value{});
      if (!value) file.fail(fmt::format("line {}, column {}: {} is not {}", number, column, in_quotes(cell), expected));
      table.values.push_back(*value);
      cells = column;
    });
    if (table.rows == 0) table.cols = cells;
    if (cells != table.cols) {
      file.fail(fmt::format("line {} has {} columns; the lines before it have {}", number, cells, table.cols));
    }
    ++table.rows;
  }
  if (table.rows == 0) file.fail("holds no rows of numbers");
  return table;
}

}  // namespace

Matrix read_csv_matrix(const InputFile& file) {
  auto table = read_table<float>(file, "a number that fits float32");
  return Matrix(table.rows, table.cols, std::move(table.values));
}

std::vector<int> read_csv_labels(const InputFile& file) {
  auto table = read_table<int>(file, "a whole number");
  if (table.cols != 1) file.fail(fmt::format("labels have one column; this has {}", table.cols));
  return std::move(table.values);
}

void write_csv(const std::filesystem::path& path, MatrixView x) {
  AtomicFile file(path);
  fmt::memory_buffer line;
  for (std::size_t i = 0; i < x.rows; ++i) {
    line.clear();
    fmt::format_to(std::back_inserter(line), "{}\n", fmt::join(x.row(i), ","));
    file.write(std::string_view(line.data(), line.size()));
  }
  file.commit();
}

void write_csv(const std::filesystem::path& path, std::span<const int> column) {
  AtomicFile file(path);
  file.write(fmt::format("{}\n", fmt::join(column, "\n")));
  file.commit();
}

}  // namespace ebm
