// From a user's sampler (data units) to an engine's transition (model space).
#pragma once

#include <map>
#include <string>

#include "ebmcuda/sampler.hpp"
#include "host/core/points.hpp"
#include "host/engine/engine.hpp"

namespace ebm {

// What the counters of random numbers hold (docs/reproducibility.md): ids and step numbers are below these.
inline constexpr std::uint64_t kChainLimit = std::uint64_t{1} << 56;
inline constexpr std::uint64_t kStepLimit = std::uint64_t{1} << 48;

// Throws ConfigError when the sampler does not fit the model.
Transition resolve(const Sampler& sampler, const Mlp& model);

// The sampler again, with another step size.
Sampler with_step_size(Sampler sampler, float step_size);
float step_size_of(const Sampler& sampler);

// Notes of a model file that say how its chains ran: "sampler", and every number of the sampler under its name.
void note_sampler(const Sampler& sampler, std::map<std::string, std::string>* notes);

// ConfigError unless every point [n, D], data units, lies in the transition's box.
void require_inside(std::string_view field, MatrixView x, const Mlp& model, const Transition& transition);

// The uniform start of chains first_chain .. at `step`, in the transition's start region: [n, D], model space.
Matrix uniform_start_in(const Mlp& model, const Transition& transition, std::int64_t n, std::uint64_t seed,
                        std::uint64_t first_chain = 0, std::uint64_t step = 0);

// ConfigError unless each side holds 1 or D finite values and lo < hi.
void require_box(std::string_view field, const Box& box, int dim);
// D values on each side, from data units.
Box to_model_space(const Box& box, const Mlp& model);
// Throws ConfigError about `field`, a box, where the model's transform makes something else of boxes.
void require_separable(std::string_view field, const Mlp& model);

}  // namespace ebm
