// The rows that a training session sees: the data in model space.
#pragma once

#include <span>
#include <vector>

#include "ebmcuda/trainer.hpp"

namespace ebm {

struct TrainingRows {
  Matrix points;            // model space
  std::vector<int> labels;  // one for each, or none
  // Width of the uniform noise that an engine adds at every visit, model space, [D]; empty: none, or it is in the
  // points already.
  std::vector<float> noise;
};

// Uniform noise in data units is uniform noise in model space for `none` and `standardize`: the engine adds it. Other
// transforms turn it into something else, so each row stands for as many noisy copies as its visits in the whole run,
// up to 64 and 2^25 values in all; the copies' noise is that of dequantized() with seeds seed, seed + 1, ...
TrainingRows training_rows(const Mlp& model, const TrainerOptions& options, MatrixView data,
                           std::span<const int> labels);

}  // namespace ebm
