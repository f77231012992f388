#include "host/core/points.hpp"

#include <fmt/format.h>

#include <cmath>

#include "host/core/check.hpp"

namespace ebm {

void require_points(std::string_view field, MatrixView x, int dim) {
  require(x.cols == static_cast<std::size_t>(dim), field, fmt::format("{} x {}", x.rows, x.cols),
          fmt::format("the model has D = {}, so rows must hold {} values", dim, dim));
  const auto values = x.values();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      reject(field, values[i], fmt::format("every value must be finite (row {}, column {})", i / x.cols, i % x.cols));
    }
  }
}

Matrix copy_of(MatrixView x) {
  return Matrix(x.rows, x.cols, std::vector<float>(x.values().begin(), x.values().end()));
}

}  // namespace ebm
