// Gauss-Legendre quadrature on [-1, 1].
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace ebm {

template <std::size_t N>
struct GaussLegendre {
  std::array<double, N> nodes, weights;
};

// The N-point rule, exact for polynomials of degree 2 N - 1. Newton's method on the Legendre polynomial from the
// Chebyshev-like first guess (Abramowitz and Stegun 22.16.6), which converges quadratically for every N.
template <std::size_t N>
const GaussLegendre<N>& gauss_legendre() {
  static const GaussLegendre<N> rule = [] {
    GaussLegendre<N> result{};
    constexpr double n = static_cast<double>(N);
    for (std::size_t i = 0; i < N; ++i) {
      double x = -std::cos(std::numbers::pi * (static_cast<double>(i) + 0.75) / (n + 0.5));
      double slope = 0;
      for (int iteration = 0; iteration < 6; ++iteration) {
        double previous = 1, value = x;  // P_0 and P_1
        for (std::size_t k = 2; k <= N; ++k) {
          const double degree = static_cast<double>(k);
          const double next = ((2 * degree - 1) * x * value - (degree - 1) * previous) / degree;
          previous = value;
          value = next;
        }
        slope = n * (x * value - previous) / (x * x - 1);
        x -= value / slope;
      }
      result.nodes[i] = x;
      result.weights[i] = 2 / ((1 - x * x) * slope * slope);
    }
    return result;
  }();
  return rule;
}

}  // namespace ebm
