#include "support/exact_draws.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/networks.hpp"

namespace support {

ExactDraws::ExactDraws(const ebm::Mlp& model, std::uint64_t seed)
    : network_(to_reference(model)), lowest_(std::numeric_limits<double>::max()), bits_(seed) {
  constexpr double kSpacing = 0.04;
  double slope = 0;
  for (double x = -6; x <= 6; x += kSpacing) {
    for (double y = -6; y <= 6; y += kSpacing) {
      const ref::Evaluation e = ref::evaluate(network_, ref::Vector{x, y});
      lowest_ = std::min(lowest_, e.energy - 0.5 * (x * x + y * y));
      slope = std::max(slope, std::hypot(e.gradient[0] - x, e.gradient[1] - y));
    }
  }
  lowest_ -= slope * kSpacing;
}

double ExactDraws::network_part(double x, double y) const {
  return ref::evaluate(network_, ref::Vector{x, y}).energy - 0.5 * (x * x + y * y);
}

ebm::Matrix ExactDraws::operator()(std::size_t n) {
  ebm::Matrix draws(n, 2);
  for (std::size_t i = 0; i < n;) {
    const double x = normal_(bits_), y = normal_(bits_);
    if (std::log(uniform_(bits_)) >= lowest_ - network_part(x, y)) continue;
    draws(i, 0) = static_cast<float>(x);
    draws(i++, 1) = static_cast<float>(y);
  }
  return draws;
}

}  // namespace support
