// log Z by annealed importance sampling against quadrature on random networks in the plane, and how often the standard
// error that is reported covers the truth.
//
//   gate_log_z [NETWORKS] [SEEDS]    (50 networks, 20 seeds each)
//
// Exit status 1 when a value that was given is off by more than four of its standard errors more often than once in a
// thousand, or two of them cover less than 90 %.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "ebmcuda/ebmcuda.hpp"

int main(int argc, char** argv) {
  const int networks = argc > 1 ? std::atoi(argv[1]) : 50, seeds = argc > 2 ? std::atoi(argv[2]) : 20;
  int given = 0, refused = 0, within_two = 0, beyond_four = 0;
  double worst = 0;
  for (int k = 0; k < networks; ++k) {
    ebm::MlpShape shape{.dim = 2, .hidden = {32, 32}};
    shape.activation = static_cast<ebm::Activation>(k % 6);
    shape.confinement = 0.5f;
    ebm::Mlp model = ebm::Mlp::random(shape, static_cast<std::uint64_t>(k), 6.0f);
    for (float& w : model.weight(2)) w *= 10;  // several nats of structure
    const ebm::QuadratureResult exact = ebm::quadrature_log_z(model);
    for (int seed = 0; seed < seeds; ++seed) {
      ebm::AisOptions options{.temperatures = 200, .chains = 512};
      options.burn_in = 200;
      options.seed = static_cast<std::uint64_t>(seed);
      const ebm::AisResult result = ebm::ais_log_z(model, options);
      if (!result.log_z) {
        ++refused;
        continue;
      }
      ++given;
      const double off = std::max(0.0, std::abs(*result.log_z - exact.log_z) - exact.error) / result.stderr_forward;
      within_two += off <= 2;
      beyond_four += off > 4;
      worst = std::max(worst, off);
    }
  }
  const double covered = given > 0 ? static_cast<double>(within_two) / given : 0;
  fmt::print(
      "{} networks, {} seeds each: {} values given, {} refused; {:.1f} % within two standard errors, {} beyond "
      "four, worst {:.2f}\n",
      networks, seeds, given, refused, 100 * covered, beyond_four, worst);
  return given > 0 && covered >= 0.9 && beyond_four * 1000 <= given ? 0 : 1;
}
