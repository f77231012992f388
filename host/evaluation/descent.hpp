// Descents of an energy from many points at once.
#pragma once

#include <vector>

#include "ebmcuda/modes.hpp"

namespace ebm {

struct Descents {
  Matrix x;                     // [n, D]: where they ended
  std::vector<float> energy;    // there
  std::vector<bool> converged;  // whether the gradient's elements are within the tolerance, or float32 shows no descent
};

// Limited-memory BFGS with backtracking (Nocedal 1980; Armijo's condition), each point for itself.
Descents descend(const EnergyGradient& energy, Matrix x, const ModesOptions& options);

}  // namespace ebm
