// What is done to a data set before a model sees it. Both are pure functions of the seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/transform.hpp"

namespace ebm {

// The numbers 0 .. n-1 in shuffled order: a keyed bijection (purpose 13). Split a data set by its first and last part.
EBMCUDA_API std::vector<std::size_t> shuffled_order(std::size_t n, std::uint64_t seed);
// Rows order[begin] .. order[end-1] of `x`. Throws ConfigError for a number that is no row, or begin > end > size.
EBMCUDA_API Matrix select_rows(MatrixView x, const std::vector<std::size_t>& order, std::size_t begin, std::size_t end);

// x + width * u with u uniform in (0, 1), fresh for every value (purpose 14): whole-numbered data has no density, its
// dequantised version has (Theis, van den Oord and Bethge 2016). Row i depends only on (seed, i). Throws ConfigError
// unless width is finite and >= 0.
EBMCUDA_API Matrix dequantized(MatrixView x, float width, std::uint64_t seed);

// Columns whose values are all whole multiples of `width`, more than two of them different: counts, pixels, grades.
EBMCUDA_API std::vector<std::size_t> whole_columns(MatrixView x, float width = 1.0f);

// The transform measured to serve data of this kind best (docs/training.md), and the reason in a clause: "whole
// numbers in all 64 columns".
struct EBMCUDA_API TransformChoice {
  TransformKind kind = TransformKind::standardize;
  std::string why;
};
// `separable`: only one that leaves coordinates apart, as a clamp needs.
EBMCUDA_API TransformChoice choose_transform(MatrixView x, float dequantize = 0.0f, bool separable = false);

}  // namespace ebm
