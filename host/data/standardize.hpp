// Standardisation of rows, in float: element by element of [n, D], so that every path through the library has the same
// bits.
#pragma once

#include <span>

#include "ebmcuda/transform.hpp"

namespace ebm {

void to_model_space(const Standardization& s, std::span<const float> x, std::span<float> to);
void to_data_units(const Standardization& s, std::span<const float> x, std::span<float> to);

}  // namespace ebm
