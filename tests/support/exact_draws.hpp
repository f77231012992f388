// Exact draws from a network's density in the plane, however far it is from a Gaussian.
#pragma once

#include <cstdint>
#include <random>

#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "reference/network.hpp"

namespace support {

// By rejection from N(0, I): the network's part of the energy (its confinement is 1) is bounded below by its smallest
// value on a fine grid of [-6, 6]^2, less a margin that its slope allows between the grid's points. Energies are the
// reference's.
class ExactDraws {
 public:
  ExactDraws(const ebm::Mlp& model, std::uint64_t seed);
  ebm::Matrix operator()(std::size_t n);

 private:
  double network_part(double x, double y) const;

  ref::Network network_;
  double lowest_;
  std::mt19937_64 bits_;
  std::normal_distribution<double> normal_;
  std::uniform_real_distribution<double> uniform_;
};

}  // namespace support
