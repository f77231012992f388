// What the readers of tables have in common: cells, handed over in the order that the file has them, so that nobody
// holds a second copy of the whole.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ebmcuda/table.hpp"
#include "host/files/input_file.hpp"

namespace ebm {

struct Cell {
  enum class Kind { number, missing, text };
  Kind kind = Kind::number;
  double value = 0;       // of a number; NaN counts as one
  float narrow = 0;       // the float nearest to what the file says, without a second rounding
  std::string_view text;  // as it stands in a .csv; empty elsewhere. Valid during the call only.
};

class CellSink {
 public:
  virtual ~CellSink() = default;
  // `slot` is the place of the cell's column in the list that was asked for. Rows may come in any order.
  virtual void take(std::size_t row, std::size_t slot, const Cell& cell) = 0;
};

class TableSource {
 public:
  explicit TableSource(const InputFile& file) : file_(file) {}
  virtual ~TableSource() = default;
  TableSource(const TableSource&) = delete;
  TableSource& operator=(const TableSource&) = delete;

  const InputFile& file() const noexcept { return file_; }
  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  // Whether a value may be one that float32 doesn't hold.
  virtual bool narrows() const = 0;
  // The columns of this name, at most two.
  virtual std::vector<std::size_t> columns_named(std::string_view) const { return {}; }
  // Why no column has a name, or which names there are.
  virtual std::string about_names() const { return "columns of an array go by number"; }
  // "3", or "3 ('price')".
  virtual std::string column_text(std::size_t column) const { return std::to_string(column); }
  // Where the cell stands that a sink is being given: "line 7, column 3".
  virtual std::string place(std::size_t row, std::size_t column) const = 0;
  // Every cell of these columns, which are distinct. Throws FormatError.
  virtual void read(std::span<const std::size_t> columns, CellSink& sink) const = 0;

  const std::vector<std::string>& remarks() const noexcept { return remarks_; }

 protected:
  const InputFile& file_;
  std::size_t rows_ = 0, cols_ = 0;
  std::vector<std::string> remarks_;
};

// Policy over a source: columns, labels, missing values, rescaling, and the checks of what float32 keeps.
Table read_table(const TableSource& source, const TableOptions& options);
Table read_label_table(const TableSource& source, const TableOptions& options);

}  // namespace ebm
