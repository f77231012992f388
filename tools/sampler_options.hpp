// The chain's own options, shared by train, sample and plot. They are the samplers' lists of parameters
// (ebmcuda/samplers): a sampler that is added has its options, and its messages, without a word here.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "ebmcuda/mlp.hpp"
#include "ebmcuda/sampler.hpp"
#include "tools/command_line.hpp"

namespace ebm::tools {

struct SamplerOptions {
  std::optional<std::string> name;                              // of a sampler, or "tempering"
  std::optional<SamplerKind> local;                             // with tempering: what moves the replicas
  std::map<std::string, std::optional<std::string>> text;       // as given, by the parameter's name
  std::map<std::string, std::optional<std::string>> tempering;  // the same of Tempering's

  void add(CommandLine& line);
  void add_tempering(CommandLine& line);

  bool given(const std::string& parameter) const;
  // `base` with the given options applied; none when another sampler is named. Without a base there is tempering when
  // it is named, or no sampler is and one of its options is given. Throws ConfigError.
  std::optional<Tempering> tempering_or_none(const std::optional<Tempering>& base = {}) const;
  // Which sampler the options mean: the one named (with tempering: its local one); else `otherwise`, unless the
  // parameters given belong to one other sampler only (--noise-scale means langevin).
  SamplerKind kind_or(SamplerKind otherwise) const;
  // `base` with the given options applied; changes its kind when another one is asked for. Throws ConfigError for an
  // option that the sampler hasn't got.
  Sampler apply(const Sampler& base) const;
};

// "--step-size" of "step_size".
std::string option_of(std::string_view parameter);
// Every parameter of the sampler as text, by option name without the dashes; "off" for what is not set.
std::vector<std::pair<std::string, std::string>> settings_of(const Sampler& sampler,
                                                             const std::optional<Tempering>& tempering = {});

// The sampler a model says it was trained with (notes of its file), else Mala at its default step.
Sampler sampler_of_model(const Mlp& model);
// That sampler with the given options. A noise scale noted for one step size is not carried over to another.
Sampler sampler_for(const Mlp& model, const SamplerOptions& options);

// Warns when nothing keeps p(x) integrable: no confinement and no box.
class Console;
void warn_if_unconfined(const Console& console, const Mlp& model, const Sampler& sampler);

}  // namespace ebm::tools
