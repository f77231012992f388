// Activations and maps of random words in double precision, straight from the formulas, for the host and for a device.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/math/activation.hpp"

namespace support {

EBM_HD inline double logistic(double z) { return z < 0 ? std::exp(z) / (1 + std::exp(z)) : 1 / (1 + std::exp(-z)); }

struct Exact {
  double value, derivative;
};
EBM_HD inline Exact exact_activation(ebm::ActivationKind kind, double z) {
  using ebm::ActivationKind;
  switch (kind) {
    case ActivationKind::silu: {
      const double s = logistic(z);
      return {z * s, s + z * s * logistic(-z)};
    }
    case ActivationKind::softplus:
      return {std::fmax(z, 0.0) + std::log1p(std::exp(-std::fabs(z))), logistic(z)};
    case ActivationKind::tanh: {
      const double cosh = std::cosh(std::fmin(std::fabs(z), 300.0));
      return {std::tanh(z), 1 / (cosh * cosh)};
    }
    case ActivationKind::gelu: {
      // 0.5 z (1 + tanh(u)) is z logistic(2 u).
      const double root = 1.5957691216057308, u = root * (z + 0.044715 * z * z * z);  // 2 sqrt(2 / pi)
      const double s = logistic(u);
      const double bell = s * logistic(-u);
      return {z * s, s + (bell == 0 ? 0.0 : z * bell * root * (1 + 3 * 0.044715 * z * z))};
    }
    case ActivationKind::elu:
      return z > 0 ? Exact{z, 1} : Exact{std::expm1(z), std::exp(z)};
    case ActivationKind::relu:
      return {std::fmax(z, 0.0), z > 0 ? 1.0 : 0.0};
  }
  return {};
}

// ln u, u = (r + 1/2) 2^-32: next to 1 from 1 - u, which is exact.
EBM_HD inline double exact_log(std::uint32_t r) {
  if (r >> 31) return std::log1p(-(static_cast<double>(~r) + 0.5) * 0x1p-32);
  return std::log((static_cast<double>(r) + 0.5) * 0x1p-32);
}

// The two normals of words r_a, r_b (kernels/math/normal.hpp).
struct ExactNormals {
  double a, b;
};
EBM_HD inline ExactNormals exact_normals(std::uint32_t r_a, std::uint32_t r_b) {
  const double rho = std::sqrt(-2 * exact_log(r_a));
  const double phi = 2 * 3.14159265358979323846 * ((static_cast<double>(r_b) + 0.5) * 0x1p-32);
  return {rho * std::sin(phi), rho * std::cos(phi)};
}
// A word to go with each word, so that all words come up in both places: an odd factor.
EBM_HD inline std::uint32_t other_word(std::uint32_t r) { return r * 2654435761u + 12345u; }

}  // namespace support
