// The little dense linear algebra that the baselines and AIS need, in double. Square matrices are row-major [n, n].
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ebmcuda/matrix.hpp"

namespace ebm {

struct Moments {
  std::vector<double> mean;        // [D]
  std::vector<double> covariance;  // [D, D], divided by the total weight
  double mean_variance() const;    // mean of the diagonal
};

// Of the rows of `x`, each with weight 1 or its own; their sum must be positive.
Moments moments(MatrixView x, std::span<const double> weights = {});

void add_to_diagonal(std::span<double> a, std::size_t n, double value);

// Upper triangular U with A = U^T U (zeros below the diagonal), or nothing when A is not numerically positive definite.
std::optional<std::vector<double>> cholesky(std::vector<double> a, std::size_t n);

// Solve U^T y = b and U x = b in place, U upper triangular.
void solve_transposed(std::span<const double> u, std::span<double> b);
void solve_upper(std::span<const double> u, std::span<double> b);

// (U^T U)^-1.
std::vector<double> inverse_from_cholesky(std::span<const double> u, std::size_t n);

double log_sum_exp(std::span<const double> values);

// |a - b|^2
double square_distance(std::span<const float> a, std::span<const float> b);

}  // namespace ebm
