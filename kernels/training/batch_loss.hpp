// What the rows of a batch weigh in the gradient of the objective.
#pragma once

#include "kernels/math/portable.hpp"

namespace ebm {

// A row x adds (weight + energy_weight E(x)) dE(x)/dtheta and, where it has a label, label_weight times the gradient of
// its cross-entropy.
struct RowLoss {
  float weight = 0, energy_weight = 0, label_weight = 0;
};

// The two parts of a training batch, which are summed apart and then added in this order.
struct BatchLoss {
  RowLoss data, samples;
};

}  // namespace ebm
