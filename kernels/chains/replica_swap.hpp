// The rule by which neighbouring replicas swap their states (ebmcuda/samplers/tempering.hpp).
#pragma once

#include "kernels/math/normal.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {

// `word` is the pair's random number; energies are E, not beta E. A state of infinite energy (one that could not be
// brought to finite ground) only ever moves to the hotter side; two of them (NaN) stay.
EBM_HD inline bool swaps(std::uint32_t word, float beta_a, float beta_b, float energy_a, float energy_b) {
  const float log_a = (beta_a - beta_b) * (energy_a - energy_b);
  return log_unit(word) < log_a;
}

}  // namespace ebm
