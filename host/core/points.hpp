// Checks and copies of points, for whoever takes a matrix of them.
#pragma once

#include <string_view>

#include "ebmcuda/matrix.hpp"

namespace ebm {

// ConfigError unless x is [n, D] and finite; `field` names it.
void require_points(std::string_view field, MatrixView x, int dim);

Matrix copy_of(MatrixView x);

}  // namespace ebm
