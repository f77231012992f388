// NumPy's .npy format (numpy/lib/format.py): versions 1.0, 2.0 and 3.0 are read, 1.0 is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "ebmcuda/matrix.hpp"
#include "host/files/input_file.hpp"

namespace ebm {

enum class NpyType { f4, f8, u1, i4, i8 };

struct NpyHeader {
  NpyType type = NpyType::f4;
  std::vector<std::uint64_t> shape;  // one axis or more, none of them 0
  std::uint64_t count = 0;           // product of the shape
  std::uint64_t data_begin = 0;      // byte of the file; the data is all that follows
};

// Checks the header against the file's length. Throws FormatError for what is not little-endian, in C order and of one
// of the types above.
NpyHeader read_npy_header(const InputFile& file);

// As read_matrix and read_labels of ebmcuda/files.hpp.
Matrix read_npy_matrix(const InputFile& file);
std::vector<int> read_npy_labels(const InputFile& file);

// `shape` is one axis or two. Atomic; throws WriteError.
void write_npy(const std::filesystem::path& path, std::span<const std::uint64_t> shape, std::span<const float> values);
void write_npy(const std::filesystem::path& path, std::span<const std::uint64_t> shape, std::span<const int> values);

}  // namespace ebm
