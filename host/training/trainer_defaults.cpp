// The measured defaults, apart from the mechanism: docs/training.md says what each was chosen against.
#include <algorithm>
#include <cmath>

#include "ebmcuda/trainer.hpp"

namespace ebm {

TrainerOptions TrainerOptions::defaults(int dim, std::size_t n_data) {
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
    objective.buffer_start = BufferStart::gaussian;  // a cube's corners are far from everything in many dimensions
    // Few rows are soon learnt by heart: weight decay that falls with their number, and a short run below a thousand.
    constexpr double kRowsPerDecay = 430;
    constexpr std::size_t kFewRows = 1000;
    options.iterations = n_data < kFewRows ? 1000 : 8000;
    const double decay = std::min(1.0, kRowsPerDecay / static_cast<double>(std::max<std::size_t>(n_data, 1)));
    options.optimizer.weight_decay = static_cast<float>(std::round(100 * decay) / 100);
  }
  objective.sampler = mala;
  return options;
}

float default_first_layer_scale(int dim) { return dim <= 3 ? 12.0f : 2.0f; }

float default_confinement(int dim) { return dim <= 3 ? 0.1f : 1.0f; }

}  // namespace ebm
