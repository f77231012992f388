#include "tools/sampler_options.hpp"

#include <fmt/format.h>

#include "ebmcuda/error.hpp"
#include "tools/console.hpp"

namespace ebm::tools {
namespace {

SamplerKind parse_kind(std::string_view text, std::string_view option) {
  if (text == "langevin") return SamplerKind::langevin;
  if (text == "mala") return SamplerKind::mala;
  throw ConfigError(std::string(option), std::string(text), "must be one of langevin mala");
}

std::optional<float> number_in(const Mlp& model, const std::string& key) {
  const auto note = model.notes().find(key);
  if (note == model.notes().end()) return std::nullopt;
  float value = 0;
  parse(fmt::format("the model's note {}", key), note->second, value);
  return value;
}

}  // namespace

void SamplerOptions::add(CommandLine& line) {
  line.group("Chains");
  line.add_choice("--sampler", kind, parse_kind, "langevin or mala (Metropolis-adjusted)");
  line.add("--step-size", step_size, "H", "step size h, in model space");
  line.add("--noise-scale", noise_scale, "S", "langevin: noise per step (default sqrt(2 h): temperature 1)");
  line.add("--jump-prob", jump_prob, "J", "mala: share of steps that propose a uniform point");
  line.add("--grad-clip", grad_clip, "C", "limit every element of the energy's gradient to [-C, C]");
  line.add("--clamp", clamp, "LO,HI", "keep positions in a box, data units");
}

SamplerKind SamplerOptions::kind_or(SamplerKind otherwise) const {
  if (kind) return *kind;
  return noise_scale ? SamplerKind::langevin : otherwise;
}

Sampler SamplerOptions::apply(const Sampler& base) const {
  const SamplerKind wanted = kind_or(kind_of(base));
  if (wanted == SamplerKind::langevin) {
    if (jump_prob && *jump_prob != 0) {
      throw ConfigError("--jump-prob", fmt::format("{}", *jump_prob), "only --sampler mala jumps");
    }
    const auto* same = std::get_if<LangevinDynamics>(&base);
    LangevinDynamics langevin = same != nullptr ? *same : LangevinDynamics{};
    if (step_size) langevin.step_size = *step_size;
    if (noise_scale) langevin.noise_scale = noise_scale;
    if (grad_clip) langevin.grad_clip = grad_clip;
    if (clamp) langevin.clamp = clamp;
    return langevin;
  }
  if (noise_scale) {
    throw ConfigError("--noise-scale", fmt::format("{}", *noise_scale),
                      "only --sampler langevin has one; mala's noise is sqrt(2 step_size)");
  }
  const auto* same = std::get_if<Mala>(&base);
  Mala mala = same != nullptr ? *same : Mala{};
  if (step_size) mala.step_size = *step_size;
  if (jump_prob) mala.jump_prob = *jump_prob;
  if (grad_clip) mala.grad_clip = grad_clip;
  if (clamp) mala.clamp = clamp;
  return mala;
}

SamplerKind kind_of(const Sampler& sampler) {
  return std::holds_alternative<Mala>(sampler) ? SamplerKind::mala : SamplerKind::langevin;
}

std::string_view to_string(SamplerKind kind) { return kind == SamplerKind::mala ? "mala" : "langevin"; }

Sampler sampler_of_model(const Mlp& model) {
  const auto name = model.notes().find("sampler");
  const auto step_size = number_in(model, "step_size");
  if (name != model.notes().end() && name->second == "langevin") {
    LangevinDynamics langevin;
    if (step_size) langevin.step_size = *step_size;
    langevin.noise_scale = number_in(model, "noise_scale");
    return langevin;
  }
  Mala mala;
  if (step_size) mala.step_size = *step_size;
  if (const auto jump_prob = number_in(model, "jump_prob")) mala.jump_prob = *jump_prob;
  return mala;
}

Sampler sampler_for(const Mlp& model, const SamplerOptions& options) {
  Sampler base = sampler_of_model(model);
  if (auto* langevin = std::get_if<LangevinDynamics>(&base); langevin != nullptr && options.step_size) {
    langevin->noise_scale.reset();
  }
  return options.apply(base);
}

void warn_if_unconfined(const Console& console, const Mlp& model, const Sampler& sampler) {
  const bool boxed = std::visit([](const auto& s) { return s.clamp.has_value(); }, sampler);
  if (model.shape().confinement == 0 && !boxed) {
    console.warn("confinement 0 without --clamp: nothing makes p(x) integrable, so chains may run away");
  }
}

}  // namespace ebm::tools
