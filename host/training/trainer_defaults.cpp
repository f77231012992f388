// The measured defaults, apart from the mechanism: docs/training.md says what each was chosen against.
#include "ebmcuda/trainer.hpp"

namespace ebm {

TrainerOptions TrainerOptions::defaults(int dim) {
  TrainerOptions options;
  Mala mala;
  auto& objective = options.objective;
  objective.buffer.reinit_prob = 0.0f;  // a jump is a restart that the model has agreed to
  if (dim <= 3) {
    // Global moves are accepted often enough here to balance modes.
    mala.jump_prob = 0.1f;
    objective.difference_prob = 0.2f;
    objective.n_steps = 20;
    options.iterations = 6000;
  } else {
    objective.n_steps = 10;
    options.iterations = 4000;
  }
  objective.sampler = mala;
  return options;
}

float default_first_layer_scale(int dim) { return dim <= 3 ? 12.0f : 2.0f; }

float default_confinement(int dim) { return dim <= 3 ? 0.1f : 1.0f; }

}  // namespace ebm
