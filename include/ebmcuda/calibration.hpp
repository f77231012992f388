// Temperature scaling (Guo et al. 2017): p_T(y | x), proportional to p(y | x)^(1/T). One number, fitted to rows that
// the model was not trained on, makes a classifier that is too sure of itself (T > 1), or not sure enough, mean what it
// says. The most probable class stays what it is.
#pragma once

#include <span>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"

namespace ebm {

// The T in [0.001, 1000] whose mean of -log p_T(label | x) over the rows is least; the mean is convex in 1/T, so that
// there is one. log_probabilities [N, C], labels [N] in 0 .. C-1. Where every row is right it falls up to the end, and
// T is the least. Throws ConfigError for shapes that differ, no rows, a label out of range or a NaN.
EBMCUDA_API double fit_temperature(MatrixView log_probabilities, std::span<const int> labels);

// log p_T(y | x), [N, C]. Throws ConfigError unless the temperature is finite and > 0.
EBMCUDA_API Matrix at_temperature(MatrixView log_probabilities, double temperature);

}  // namespace ebm
