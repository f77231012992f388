// Separated values after RFC 4180: quoted cells, doubled quotes, line ends in quotes; LF, CRLF or CR; a UTF-8
// byte-order mark; lines that begin with # are comments.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "ebmcuda/matrix.hpp"
#include "host/files/input_file.hpp"
#include "host/files/table_source.hpp"

namespace ebm {

class CsvSource : public TableSource {
 public:
  // Looks at the first rows for delimiter and header, and reads the file once to count its rows, all of which must have
  // the same number of cells. Working memory: one cell (64 KiB at most), a few bytes a column, 64 KiB of the file.
  // Throws FormatError that names line and column.
  CsvSource(const InputFile& file, CsvHeader header, char delimiter);

  bool narrows() const override { return true; }
  std::vector<std::size_t> columns_named(std::string_view name) const override;
  std::string about_names() const override;
  std::string column_text(std::size_t column) const override;
  std::string place(std::size_t row, std::size_t column) const override;
  void read(std::span<const std::size_t> columns, CellSink& sink) const override;

 private:
  void look_at_first_rows(CsvHeader header);
  void count_rows();
  std::uint64_t begin_ = 0;  // after a byte-order mark
  char delimiter_ = ',';
  bool has_header_ = false, names_usable_ = false;
  mutable std::size_t line_ = 0;  // of the record being read
};

// As read_matrix and read_labels of ebmcuda/files.hpp.
Matrix read_csv_matrix(const InputFile& file);
std::vector<int> read_csv_labels(const InputFile& file);

// No header line; every number as the shortest text that reads back to the same float. Atomic; throws WriteError.
void write_csv(const std::filesystem::path& path, MatrixView x);
void write_csv(const std::filesystem::path& path, std::span<const int> column);

}  // namespace ebm
