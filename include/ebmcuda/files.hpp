// Arrays in and out: .npy (versions 1.0, 2.0, 3.0 read, 1.0 written) and .csv. docs/files.md has the formats.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"

namespace ebm {

// A matrix from .npy (f4, f8, u1, i4, i8; C order; one axis [N] reads as [N, 1]; further axes are flattened into
// columns) or .csv (with or without a header line). Throws FormatError: file, line or byte, and what is wrong; an array
// without numbers is wrong too. Non-finite values are returned as they are; whoever uses them decides.
EBMCUDA_API Matrix read_matrix(const std::filesystem::path& path);
// Integer labels, [N], from .npy (u1, i4, i8) or a one-column .csv.
EBMCUDA_API std::vector<int> read_labels(const std::filesystem::path& path);

// Every writer here is atomic: the file is written beside its place, synced and renamed, so that a crash or a full disk
// leaves the old file or the new one. All throw WriteError, and ConfigError for a name with another ending.

// .npy 1.0 float32 or .csv by the file's ending.
EBMCUDA_API void write_matrix(const std::filesystem::path& path, MatrixView x);
// One axis, [N] float32.
EBMCUDA_API void write_vector(const std::filesystem::path& path, std::span<const float> values);
// One axis, [N] int32.
EBMCUDA_API void write_labels(const std::filesystem::path& path, std::span<const int> labels);

// These bytes, whatever the ending: pictures, reports, logs.
EBMCUDA_API void write_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace ebm
