// z = L^-1 (x - mean) with L L^T the covariance: uncorrelated columns of variance 1.
#pragma once

#include <span>
#include <vector>

#include "ebmcuda/matrix.hpp"

namespace ebm {

struct Whitening {
  std::vector<double> mean;  // [D]
  std::vector<double> root;  // L, lower triangular, [D, D] row-major, zeros above the diagonal
  double shrinkage = 0;      // of the correlations, where they were singular; not kept in files

  bool empty() const noexcept { return mean.empty(); }
  // One row in place.
  void forward(std::span<double> x) const;
  void inverse(std::span<double> z) const;
  void pull_back(std::span<double> gradient) const;  // L^-T gradient
  double log_volume() const;                         // sum of log L_dd
};

// Of rows to which independent noise of `noise_variance` in every column, mean `noise_mean`, is going to be added.
Whitening fit_whitening(MatrixView x, double noise_mean = 0, double noise_variance = 0);

}  // namespace ebm
