// Where the persistent chains of a training run begin.
#pragma once

#include "ebmcuda/trainer.hpp"

namespace ebm {

// Positions [capacity, replicas, D] of the replay buffer before the first iteration, model space, inside the sampler's
// clamp (ContrastiveDivergence::buffer_start). `data` is in data units.
std::vector<float> initial_chains(const Mlp& model, const TrainerOptions& options, MatrixView data);

}  // namespace ebm
