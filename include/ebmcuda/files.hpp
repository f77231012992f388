// Arrays in and out: .npy (versions 1.0, 2.0, 3.0 read, 1.0 written), .npz (read) and .csv. docs/files.md has the
// formats; table.hpp reads data sets with headers, text, labels and gaps.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"

namespace ebm {

// A matrix from .npy, .npz, .csv or .tsv: read_table (table.hpp) with all columns, except that infinities and NaN are
// returned as they are; whoever uses them decides. Any dtype of f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1, byte order and
// axis order; one axis [N] reads as [N, 1], further axes are flattened into columns. Throws FormatError: file, line or
// byte, and what is wrong; an array without numbers is wrong too. The first line of a .csv is told from a header by
// the rule in docs/files.md; where that line could be either, read_table says which it took.
EBMCUDA_API Matrix read_matrix(const std::filesystem::path& path);
// Class labels, [N]: whole numbers in 0 .. 2^31 - 1, of any dtype, one column. Text is numbered by read_label_table.
EBMCUDA_API std::vector<int> read_labels(const std::filesystem::path& path);

// Every writer here is atomic: the file is written beside its place, synced and renamed, so that a crash or a full disk
// leaves the old file or the new one. All throw WriteError, and ConfigError for a name with another ending.

// .npy 1.0 float32 or .csv by the file's ending.
EBMCUDA_API void write_matrix(const std::filesystem::path& path, MatrixView x);
// One axis, [N] float32.
EBMCUDA_API void write_vector(const std::filesystem::path& path, std::span<const float> values);
// One axis, [N] int32.
EBMCUDA_API void write_labels(const std::filesystem::path& path, std::span<const int> labels);

// What any safetensors file holds, by its header; the data is not read.
struct EBMCUDA_API SafetensorsSummary {
  struct Tensor {
    std::string name, dtype;  // "F32"
    std::vector<std::uint64_t> shape;
  };
  std::vector<Tensor> tensors;  // by name
  std::map<std::string, std::string> metadata;
};
// Throws FormatError, also for a header that the format forbids.
EBMCUDA_API SafetensorsSummary describe_safetensors(const std::filesystem::path& path);

// These bytes, whatever the ending: pictures, reports, logs.
EBMCUDA_API void write_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace ebm
