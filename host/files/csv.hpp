// Comma-separated numbers, one row a line.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "ebmcuda/matrix.hpp"
#include "host/files/input_file.hpp"

namespace ebm {

// The first line is a header, and skipped, when one of its cells is not a number, however many cells it has. All other
// lines have the same number of cells, each a number; spaces around one are allowed, so are CRLF line ends, a UTF-8
// byte-order mark and empty lines at the end. Throws FormatError that names the line and column.
Matrix read_csv_matrix(const InputFile& file);
// One column of whole numbers that fit an int.
std::vector<int> read_csv_labels(const InputFile& file);

// No header line; every number as the shortest text that reads back to the same float. Atomic; throws WriteError.
void write_csv(const std::filesystem::path& path, MatrixView x);
void write_csv(const std::filesystem::path& path, std::span<const int> column);

}  // namespace ebm
