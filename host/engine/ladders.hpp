// The inverse temperatures of a training batch's rows.
#pragma once

#include <vector>

#include "host/engine/engine.hpp"

namespace ebm {

// Of `chains` chains with their replicas, one chain after the other: [chains, replicas].
inline std::vector<float> ladders(const TrainingPlan& plan, std::size_t chains) {
  std::vector<float> beta;
  beta.reserve(chains * plan.inverse_temperatures.size());
  for (std::size_t c = 0; c < chains; ++c) {
    beta.insert(beta.end(), plan.inverse_temperatures.begin(), plan.inverse_temperatures.end());
  }
  return beta;
}

}  // namespace ebm
