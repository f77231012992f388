// What fitting a baseline takes: checks, columns that vary, and means over rows.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <span>
#include <vector>

#include "ebmcuda/baselines.hpp"
#include "host/core/check.hpp"
#include "host/core/points.hpp"

namespace ebm {

// ConfigError unless x holds two finite rows or more and the ridge is >= 0.
void require_data(MatrixView x, double ridge);

// The columns of `x` that vary. Throws as require_data, and where all are constant.
ColumnScaling scaling_of(MatrixView x, double ridge);

// Those columns, standardised: single precision is plenty for numbers of size one. Or as they are.
Matrix standardized(MatrixView x, const ColumnScaling& scaling);
Matrix kept_columns(MatrixView x, const ColumnScaling& scaling);

// Mean of log_density(z) over the rows, z standardised, in data units.
template <class LogDensity>
double mean_over_rows(MatrixView x, const ColumnScaling& scaling, const LogDensity& log_density) {
  require(x.rows >= 1, "x", x.rows, "must hold at least one point");
  require_points("x", x, static_cast<int>(scaling.dim()));
  std::vector<double> z(scaling.kept().size());
  double sum = 0;
  for (std::size_t i = 0; i < x.rows; ++i) {
    scaling.apply(x.row(i), z);
    sum += log_density(z);
  }
  return sum / static_cast<double>(x.rows) - scaling.log_volume();
}

}  // namespace ebm
