#include "ebmcuda/matrix.hpp"

#include <algorithm>
#include <cmath>

#include "host/core/check.hpp"

namespace ebm {

Matrix::Matrix(std::size_t rows, std::size_t cols, std::vector<float> values)
    : values_(std::move(values)), rows_(rows), cols_(cols) {
  std::size_t count = 0;
  const bool fits = !__builtin_mul_overflow(rows, cols, &count) && values_.size() == count;
  require(fits, "values", values_.size(), fmt::format("must hold rows * cols = {} * {} numbers", rows, cols));
}

Matrix select_columns(MatrixView x, std::size_t begin, std::size_t end) {
  require(begin <= end && end <= x.cols, "columns", fmt::format("{}:{}", begin, end),
          fmt::format("must be begin:end with begin <= end <= {}", x.cols));
  Matrix selected(x.rows, end - begin);
  for (std::size_t i = 0; i < x.rows; ++i) {
    std::ranges::copy(x.row(i).subspan(begin, end - begin), selected.row(i).begin());
  }
  return selected;
}

std::vector<int> labels_from_column(MatrixView x, std::size_t column) {
  require(column < x.cols, "column", column, fmt::format("must be below the number of columns, {}", x.cols));
  // Whole numbers up to 2^24 are the ones that a float holds without rounding.
  constexpr float kLimit = 16777216.0f;
  std::vector<int> labels(x.rows);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const float value = x.data[i * x.cols + column];
    require(value >= 0 && value < kLimit && std::trunc(value) == value, "labels", value,
            fmt::format("must be a whole number in 0 .. 2^24 - 1 (row {}, column {})", i, column));
    labels[i] = static_cast<int>(value);
  }
  return labels;
}

}  // namespace ebm
