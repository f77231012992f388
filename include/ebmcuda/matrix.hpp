// Row-major float matrices: one row per point, one column per dimension.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "ebmcuda/export.hpp"

namespace ebm {

struct EBMCUDA_API MatrixView {
  const float* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;

  std::span<const float> row(std::size_t i) const noexcept { return {data + i * cols, cols}; }
  std::span<const float> values() const noexcept { return {data, rows * cols}; }
  // Rows [begin, end).
  MatrixView slice(std::size_t begin, std::size_t end) const noexcept {
    return {data + begin * cols, end - begin, cols};
  }
};

class EBMCUDA_API Matrix {
 public:
  Matrix() = default;
  Matrix(std::size_t rows, std::size_t cols) : values_(rows * cols), rows_(rows), cols_(cols) {}
  // `values` holds rows * cols numbers, row-major; a different count is the caller's mistake (ConfigError).
  Matrix(std::size_t rows, std::size_t cols, std::vector<float> values);

  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  // A view must not outlive its matrix, so that a temporary gives none.
  float* data() & noexcept { return values_.data(); }
  const float* data() const& noexcept { return values_.data(); }
  const float* data() const&& = delete;
  std::span<float> values() & noexcept { return values_; }
  std::span<const float> values() const& noexcept { return values_; }
  std::span<const float> values() const&& = delete;
  std::span<float> row(std::size_t i) & noexcept { return {values_.data() + i * cols_, cols_}; }
  std::span<const float> row(std::size_t i) const& noexcept { return {values_.data() + i * cols_, cols_}; }
  std::span<const float> row(std::size_t i) const&& = delete;
  float& operator()(std::size_t i, std::size_t j) noexcept { return values_[i * cols_ + j]; }
  float operator()(std::size_t i, std::size_t j) const noexcept { return values_[i * cols_ + j]; }
  MatrixView view() const& noexcept { return {values_.data(), rows_, cols_}; }
  MatrixView view() const&& = delete;
  // NOLINTNEXTLINE(google-explicit-constructor): a view costs nothing
  operator MatrixView() const& noexcept { return view(); }
  operator MatrixView() const&& = delete;  // NOLINT(google-explicit-constructor)
  bool operator==(const Matrix&) const = default;

 private:
  std::vector<float> values_;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
};

// Columns [begin, end) of `x`, for instance the features of a table whose last column is a label. Throws ConfigError
// unless begin <= end <= x.cols.
EBMCUDA_API Matrix select_columns(MatrixView x, std::size_t begin, std::size_t end);

// A column of whole numbers in 0 .. 2^24 - 1 as class labels, [rows]. Throws ConfigError that names the row.
EBMCUDA_API std::vector<int> labels_from_column(MatrixView x, std::size_t column);

}  // namespace ebm
