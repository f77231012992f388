// Factor analysis: a covariance W W^T + diag(noise) with few columns in W.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace ebm {

struct FactorModel {
  std::size_t dim = 0, factors = 0;
  std::vector<double> loadings;  // W, [dim, factors] row-major
  std::vector<double> noise;     // [dim], > 0

  std::vector<double> covariance() const;  // [dim, dim]
};

// From the leading directions of the covariance `s` [dim, dim] (probabilistic PCA, Tipping and Bishop 1999, by
// orthogonal iteration). 1 <= factors < dim.
FactorModel start_factors(std::span<const double> s, std::size_t dim, std::size_t factors, double least_noise);

// One step of expectation maximisation (Rubin and Thayer 1982) towards the covariance `s`.
void improve_factors(FactorModel& model, std::span<const double> s, double least_noise);

}  // namespace ebm
