// Data sets as they come: .csv with headers, text, quotes and gaps; .npy and .npz of any dtype. Which columns are
// features, which one holds the labels, what becomes of missing values. docs/files.md has the formats and every rule.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"

namespace ebm {

// Whether the first line of a .csv holds names. `automatic` compares it with the rows below it, and says in
// Table::remarks what it decided whenever the line could be either.
enum class CsvHeader { automatic, yes, no };
// What is done about a row with a missing value in a chosen column: NaN, or in a .csv an empty cell, NA, null, None, ?.
// keep: features are NaN there.
enum class MissingValues { refuse, drop, keep };

// (x - subtract) / divide, in double and before the rounding to float32: the cure for a large offset or an extreme
// unit.
struct EBMCUDA_API Rescaling {
  std::vector<double> subtract;  // one value, or one for each feature; empty: none
  std::vector<double> divide;    // the same; each finite and not 0
  bool subtract_mean = false;    // of the rows that are read; not with `subtract`
  bool divide_std = false;       // not with `divide`; a constant column is divided by 1
};

struct EBMCUDA_API TableOptions {
  // Features: "0:64", "2", ":3", "4:", names, or several, "0:3,price". Half-open, counted from 0. Empty: all columns
  // but the label's.
  std::string columns;
  std::string label_column;  // number or name; empty: no labels
  std::string left_out;      // a column that is no feature, as label_column, but that is not read; empty: none
  // Number the distinct labels, text or not, 0 .. C-1: in numeric order, or in the order of their bytes.
  bool map_labels = false;
  // The class names that labels are numbered by instead, such as a model's own; another label is an error.
  std::vector<std::string> classes;
  CsvHeader header = CsvHeader::automatic;
  char delimiter = 0;  // , ; tab, or space for any run of blanks; 0: found out (never space)
  MissingValues missing = MissingValues::refuse;
  bool finite = true;  // refuse infinities and, unless dropped or kept, NaN
  Rescaling rescaling;
};

struct EBMCUDA_API Table {
  Matrix x;                              // [N, D]
  std::vector<int> labels;               // [N], or empty without label_column
  std::vector<std::string> class_names;  // [C]: what class c is called in the file, when labels were numbered
  // [D] of x's columns in double, before rounding to float32. std has denominator N.
  std::vector<double> mean, std;
  std::vector<double> subtracted, divided;  // [D] what Rescaling came to; empty when nothing was asked for
  std::vector<std::size_t> columns;         // [D] numbers of x's columns in the file
  std::size_t rows_in_file = 0;
  std::vector<std::size_t> kept;     // numbers of the rows that were kept, when some were dropped; else empty
  std::vector<std::string> remarks;  // what the reader decided where the file leaves a choice; one sentence each
};

// From a .npy, .npz, .csv or .tsv file; FILE.npz:NAME is one array of several; "-" is standard input, whose format its
// first bytes tell. Throws FormatError: file, line or byte, column from 0, what is wrong; ConfigError for options that
// don't fit the file. A column whose different values float32 would merge (more than half of them, or to within 1 % of
// its standard deviation) is an error that names the column and the cure.
EBMCUDA_API Table read_table(const std::filesystem::path& path, const TableOptions& options = {});
// The columns that a list as TableOptions::columns names among `count` without names. Throws ConfigError.
EBMCUDA_API std::vector<std::size_t> columns_of(const std::string& list, std::size_t count);
// A file of labels alone, one a row. Of the options, header, delimiter, map_labels and classes count. Table::x is
// empty.
EBMCUDA_API Table read_label_table(const std::filesystem::path& path, const TableOptions& options = {});

// Mean and standard deviation of the columns from the double-precision sums, for data with uniform noise in
// [0, dequantize) to be added; a constant column gets 1. Throws ConfigError unless dequantize is finite and >= 0.
EBMCUDA_API Standardization standardization_of(const Table& table, float dequantize = 0.0f);

// The classes 0 .. outputs-1 that no label names, in order.
EBMCUDA_API std::vector<int> empty_classes(const std::vector<int>& labels, int outputs);

}  // namespace ebm
