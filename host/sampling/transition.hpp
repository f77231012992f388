// From a user's sampler (data units) to an engine's transition (model space).
#pragma once

#include "ebmcuda/sampler.hpp"
#include "host/engine/engine.hpp"

namespace ebm {

// Throws ConfigError when the sampler does not fit the model.
Transition resolve(const Sampler& sampler, const Mlp& model);

// The sampler again, with another step size.
Sampler with_step_size(Sampler sampler, float step_size);
float step_size_of(const Sampler& sampler);

// ConfigError unless x is [n, D] and finite; `field` names it.
void require_points(std::string_view field, MatrixView x, int dim);

// ConfigError unless each side holds 1 or D finite values and lo < hi.
void require_box(std::string_view field, const Box& box, int dim);
// D values on each side, from data units.
Box to_model_space(const Box& box, const Mlp& model);

}  // namespace ebm
