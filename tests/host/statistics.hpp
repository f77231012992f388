// What the statistical tests here share. They run on fixed seeds at alpha = 1e-6 per test.
#pragma once

#include <cmath>
#include <cstddef>

namespace ebm::test {

// Two-sided and one-sided standard normal quantiles of alpha = 1e-6.
constexpr double kTwoSided = 4.892;
constexpr double kOneSided = 4.753;

// A chi-squared statistic as a standard normal deviate (Wilson and Hilferty 1931); within 0.01 of the exact quantile
// for 100 degrees of freedom and more.
inline double chi_squared_deviate(double statistic, double degrees) {
  const double c = 2 / (9 * degrees);
  return (std::cbrt(statistic / degrees) - (1 - c)) / std::sqrt(c);
}

}  // namespace ebm::test
