// Arrays in and out: .npy (versions 1.0, 2.0, 3.0 read, 1.0 written) and .csv.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "ebmcuda/matrix.hpp"

namespace ebm {

// A matrix from .npy (f4, f8, u1, i4, i8; C order; one axis [N] reads as [N, 1]; further axes are flattened into
// columns) or .csv (with or without a header line). Throws FormatError: file, line or byte, and what is wrong.
// Non-finite values are returned as they are; whoever uses them decides.
Matrix read_matrix(const std::filesystem::path& path);
// Integer labels, [N], from .npy (u1, i4, i8) or a one-column .csv.
std::vector<int> read_labels(const std::filesystem::path& path);

// .npy 1.0 float32 or .csv by the file's extension; atomic (beside, synced, renamed). Throws WriteError.
void write_matrix(const std::filesystem::path& path, MatrixView x);
// One axis, [N] float32.
void write_vector(const std::filesystem::path& path, std::span<const float> values);
// One axis, [N] int32.
void write_labels(const std::filesystem::path& path, std::span<const int> labels);

}  // namespace ebm
