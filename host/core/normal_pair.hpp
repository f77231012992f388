// Box-Muller in double precision, for draws made on the host (`ebm data`, bases of AIS). The layout is the Contract's
// (docs/reproducibility.md); the engines have their own single-precision form for the noise of the chains.
#pragma once

#include <cmath>
#include <numbers>
#include <utility>

#include "kernels/math/philox.hpp"

namespace ebm {

inline std::pair<double, double> double_normal_pair(std::uint32_t r_a, std::uint32_t r_b) {
  const double rho = std::sqrt(-2 * std::log(unit_double(r_a)));
  const double phi = 2 * std::numbers::pi * unit_double(r_b);
  return {rho * std::sin(phi), rho * std::cos(phi)};
}

}  // namespace ebm
