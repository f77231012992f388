#include "host/evaluation/baselines/fitting.hpp"

#include <algorithm>
#include <cmath>

namespace ebm {

void require_data(MatrixView x, double ridge) {
  require(x.rows >= 2 && x.cols >= 1, "x", fmt::format("{} x {}", x.rows, x.cols), "must hold at least two points");
  require_points("x", x, static_cast<int>(x.cols));
  require_non_negative("ridge", ridge);
}

ColumnScaling scaling_of(MatrixView x, double ridge) {
  require_data(x, ridge);
  ColumnScaling scaling(x);
  require(!scaling.kept().empty(), "x", fmt::format("{} x {}", x.rows, x.cols),
          "every column is constant: there is no density to fit");
  return scaling;
}

Matrix standardized(MatrixView x, const ColumnScaling& scaling) {
  Matrix result(x.rows, scaling.kept().size());
  std::vector<double> z(result.cols());
  for (std::size_t i = 0; i < x.rows; ++i) {
    scaling.apply(x.row(i), z);
    std::ranges::transform(z, result.row(i).begin(), [](double v) { return static_cast<float>(v); });
  }
  return result;
}

Matrix kept_columns(MatrixView x, const ColumnScaling& scaling) {
  Matrix result(x.rows, scaling.kept().size());
  for (std::size_t i = 0; i < x.rows; ++i) {
    for (std::size_t k = 0; k < result.cols(); ++k) result(i, k) = x.row(i)[scaling.kept()[k]];
  }
  return result;
}

ColumnScaling::ColumnScaling(MatrixView x) : dim_(x.cols) {
  const auto n = static_cast<double>(x.rows);
  for (std::size_t d = 0; d < x.cols; ++d) {
    float lo = x.row(0)[d], hi = lo;
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < x.rows; ++i) {
      lo = std::min(lo, x.row(i)[d]);
      hi = std::max(hi, x.row(i)[d]);
      mean += static_cast<double>(x.row(i)[d]) / n;
    }
    if (lo == hi) {
      constant_.push_back(d);
      continue;
    }
    for (std::size_t i = 0; i < x.rows; ++i) {
      const double away = static_cast<double>(x.row(i)[d]) - mean;
      square += away * away / n;
    }
    kept_.push_back(d);
    mean_.push_back(mean);
    std_.push_back(std::sqrt(square));
    log_volume_ += std::log(std_.back());
  }
}

void ColumnScaling::apply(std::span<const float> x, std::span<double> z) const {
  for (std::size_t k = 0; k < kept_.size(); ++k) z[k] = (static_cast<double>(x[kept_[k]]) - mean_[k]) / std_[k];
}

}  // namespace ebm
