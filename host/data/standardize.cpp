#include "host/data/standardize.hpp"

#include <cmath>

#include "host/core/check.hpp"
#include "host/sampling/transition.hpp"

namespace ebm {

void to_model_space(const Standardization& s, std::span<const float> x, std::span<float> to) {
  const std::size_t dim = s.mean.size();
  for (std::size_t i = 0; i < x.size(); i += dim) {
    for (std::size_t d = 0; d < dim; ++d) to[i + d] = (x[i + d] - s.mean[d]) / s.std[d];
  }
}

void to_data_units(const Standardization& s, std::span<const float> x, std::span<float> to) {
  const std::size_t dim = s.mean.size();
  for (std::size_t i = 0; i < x.size(); i += dim) {
    for (std::size_t d = 0; d < dim; ++d) to[i + d] = x[i + d] * s.std[d] + s.mean[d];
  }
}

Standardization standardization_of(MatrixView data, float dequantize) {
  require(data.rows >= 1 && data.cols >= 1, "data", fmt::format("{} x {}", data.rows, data.cols),
          "must hold at least one point");
  require_points("data", data, static_cast<int>(data.cols));
  require_non_negative("dequantize", dequantize);
  Standardization result;
  const double n = static_cast<double>(data.rows);
  for (std::size_t d = 0; d < data.cols; ++d) {
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < data.rows; ++i) mean += static_cast<double>(data.data[i * data.cols + d]);
    mean /= n;
    for (std::size_t i = 0; i < data.rows; ++i) {
      const double delta = static_cast<double>(data.data[i * data.cols + d]) - mean;
      square += delta * delta;
    }
    const double width = static_cast<double>(dequantize);
    const double variance = square / n + width * width / 12;
    const auto std = static_cast<float>(std::sqrt(variance));
    result.mean.push_back(static_cast<float>(mean + width / 2));
    result.std.push_back(std > 0 && std::isfinite(std) ? std : 1.0f);
  }
  return result;
}

}  // namespace ebm
