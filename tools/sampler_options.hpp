// The chain's own options, shared by train, sample and plot.
#pragma once

#include <optional>
#include <string>

#include "ebmcuda/mlp.hpp"
#include "ebmcuda/sampler.hpp"
#include "tools/command_line.hpp"

namespace ebm::tools {

enum class SamplerKind { langevin, mala };

struct SamplerOptions {
  std::optional<SamplerKind> kind;
  std::optional<float> step_size, noise_scale, grad_clip, jump_prob;
  std::optional<Box> clamp;

  void add(CommandLine& line);

  // Which sampler the options mean: the one named, else langevin when --noise-scale is given (only it has one), else
  // `otherwise`.
  SamplerKind kind_or(SamplerKind otherwise) const;
  // `base` with the given options applied; changes its kind when another one is asked for. Throws ConfigError for an
  // option that the sampler hasn't got.
  Sampler apply(const Sampler& base) const;
};

SamplerKind kind_of(const Sampler& sampler);
std::string_view to_string(SamplerKind kind);

// The sampler a model says it was trained with (notes of its file), else Mala at its default step.
Sampler sampler_of_model(const Mlp& model);
// That sampler with the given options. A noise scale noted for one step size is not carried over to another.
Sampler sampler_for(const Mlp& model, const SamplerOptions& options);

// Warns when nothing keeps p(x) integrable: no confinement and no box.
class Console;
void warn_if_unconfined(const Console& console, const Mlp& model, const Sampler& sampler);

}  // namespace ebm::tools
