#include "tools/sampler_options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <type_traits>

#include "ebmcuda/error.hpp"
#include "tools/console.hpp"

namespace ebm::tools {
namespace {

// f(const Parameter&, field type tag) for every parameter of a kind.
template <class F>
void each_parameter(SamplerKind kind, F&& f) {
  Sampler sampler = default_sampler(kind);
  visit_parameters(sampler, [&](const Parameter& p, auto& field) { f(p, field); });
}

bool knows(SamplerKind kind, std::string_view parameter) {
  bool found = false;
  each_parameter(kind, [&](const Parameter& p, auto&) { found = found || p.name == parameter; });
  return found;
}

std::string names_of_those_with(std::string_view parameter) {
  std::vector<std::string_view> names;
  for (const SamplerKind kind : kSamplerKinds) {
    if (knows(kind, parameter)) names.push_back(to_string(kind));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// What stands for a value in the help.
template <class Field>
constexpr const char* type_of(const Field&) {
  if constexpr (std::is_same_v<Field, std::optional<Box>>) return "LO,HI";
  if constexpr (std::is_integral_v<Field>) return "N";
  if constexpr (std::is_same_v<Field, std::optional<std::vector<float>>>) return "B,B,...";
  return "X";
}

template <class Number>
std::string text_of(Number value) requires std::is_arithmetic_v<Number> {
  return fmt::format("{}", value);
}
std::string text_of(const std::optional<std::vector<float>>& values) {
  return values ? fmt::format("{}", fmt::join(*values, ",")) : "unset";
}
std::string text_of(const std::optional<float>& value) { return value ? fmt::format("{}", *value) : "off"; }
std::string text_of(const std::optional<Box>& box) {
  return box ? fmt::format("{},{}", fmt::join(box->lo, ","), fmt::join(box->hi, ",")) : "off";
}

// A box as a model's note holds it: all of lo, then all of hi.
void parse_note(const std::string& what, const std::string& text, std::optional<Box>& box) {
  std::vector<float> values;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parse(what, text.substr(begin, end - begin), values.emplace_back());
    begin = end + 1;
  }
  if (values.size() % 2 != 0) throw ConfigError(what, text, "must hold as many upper limits as lower ones");
  const auto half = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  box = Box{{values.begin(), half}, {half, values.end()}};
}
template <class Field>
void parse_note(const std::string& what, const std::string& text, Field& field) {
  parse(what, text, field);
}

}  // namespace

std::string option_of(std::string_view parameter) {
  std::string option = "--" + std::string(parameter);
  std::ranges::replace(option, '_', '-');
  return option;
}

void SamplerOptions::add(CommandLine& line) {
  line.group("Chains");
  std::vector<std::string_view> names;
  for (const SamplerKind kind_of_list : kSamplerKinds) names.push_back(to_string(kind_of_list));
  line.add_choice(
      "--sampler", name,
      [](auto given, auto option) {
        if (given != Tempering::kName) to_string(parse_sampler_kind(given, option, Tempering::kName));
        return std::string(given);
      },
      fmt::format("{}, {}", fmt::join(names, ", "), Tempering::kName));
  for (const SamplerKind owner : kSamplerKinds) {
    each_parameter(owner, [&](const Parameter& p, auto& field) {
      const auto [entry, is_new] = text.try_emplace(std::string(p.name));
      if (!is_new) return;  // the first sampler that has it describes it
      const std::string owners = names_of_those_with(p.name);
      const bool all = owners == fmt::format("{}", fmt::join(names, ", "));
      line.add(option_of(p.name), entry->second, type_of(field),
               all ? std::string(p.help) : fmt::format("{}: {}", owners, p.help));
    });
  }
}

void SamplerOptions::add_tempering(CommandLine& line) {
  line.add_choice(
      "--local-sampler", local, [](auto given, auto option) { return parse_sampler_kind(given, option); },
      "tempering: what moves the replicas (default mala)");
  Tempering fields;
  Tempering::parameters(fields, [&](const Parameter& p, auto& field) {
    line.add(option_of(p.name), tempering[std::string(p.name)], type_of(field), fmt::format("tempering: {}", p.help));
  });
}

std::optional<Tempering> SamplerOptions::tempering_or_none(const std::optional<Tempering>& base) const {
  const auto first = std::ranges::find_if(tempering, [](const auto& entry) { return entry.second.has_value(); });
  const bool asked = name ? *name == Tempering::kName : base || first != tempering.end();
  if (!asked) {
    if (first != tempering.end()) {
      throw ConfigError(option_of(first->first), *first->second, "belongs to --sampler tempering");
    }
    if (local) throw ConfigError("--local-sampler", std::string(to_string(*local)), "belongs to --sampler tempering");
    return std::nullopt;
  }
  Tempering fields = base.value_or(Tempering{});
  bool given_replicas = false;
  Tempering::parameters(fields, [&](const Parameter& p, auto& field) {
    const auto entry = tempering.find(std::string(p.name));
    if (entry == tempering.end() || !entry->second) return;
    parse(option_of(p.name), *entry->second, field);
    given_replicas = given_replicas || p.name == "replicas";
  });
  if (fields.inverse_temperatures && !given_replicas) {
    constexpr const char* kLadder = "inverse_temperatures";
    if (fields.inverse_temperatures->size() < 2) {
      throw ConfigError(option_of(kLadder), *tempering.at(kLadder), "must be a ladder of 2 or more, 1 first");
    }
    fields.replicas = static_cast<std::int64_t>(fields.inverse_temperatures->size());
  }
  return fields;
}

bool SamplerOptions::given(const std::string& parameter) const {
  const auto entry = text.find(parameter);
  return entry != text.end() && entry->second.has_value();
}

SamplerKind SamplerOptions::kind_or(SamplerKind otherwise) const {
  if (local) return *local;  // which belongs to tempering, and tempering_or_none() sees to that
  if (tempering_or_none()) return is_metropolis(otherwise) ? otherwise : SamplerKind::mala;
  if (name) return parse_sampler_kind(*name);
  const auto fits = [&](SamplerKind candidate) {
    return std::ranges::all_of(text, [&](const auto& entry) { return !entry.second || knows(candidate, entry.first); });
  };
  if (fits(otherwise)) return otherwise;
  const auto first = std::ranges::find_if(kSamplerKinds, fits);
  if (first == std::end(kSamplerKinds) ||
      std::find_if(first + 1, std::end(kSamplerKinds), fits) != std::end(kSamplerKinds))
    return otherwise;
  return *first;
}

Sampler SamplerOptions::apply(const Sampler& base) const {
  const SamplerKind wanted = kind_or(kind_of(base));
  Sampler sampler = wanted == kind_of(base) ? base : default_sampler(wanted);
  for (const auto& [parameter, value] : text) {
    if (!value || knows(wanted, parameter)) continue;
    if (parameter == kJumpProb.name && *value == "0") continue;  // none is what it does
    throw ConfigError(option_of(parameter), *value,
                      fmt::format("{} has no such parameter; it belongs to --sampler {}", to_string(wanted),
                                  names_of_those_with(parameter)));
  }
  visit_parameters(sampler, [&](const Parameter& p, auto& field) {
    const auto entry = text.find(std::string(p.name));
    if (entry != text.end() && entry->second) parse(option_of(p.name), *entry->second, field);
  });
  return sampler;
}

std::vector<std::pair<std::string, std::string>> settings_of(const Sampler& sampler,
                                                             const std::optional<Tempering>& tempering) {
  std::vector<std::pair<std::string, std::string>> list;
  const auto add = [&](const Parameter& p, const auto& field) {
    list.emplace_back(option_of(p.name).substr(2), text_of(field));
  };
  if (tempering) list.emplace_back("sampler", Tempering::kName);
  list.emplace_back(tempering ? "local-sampler" : "sampler", to_string(kind_of(sampler)));
  visit_parameters(sampler, add);
  if (tempering) Tempering::parameters(*tempering, add);
  return list;
}

Sampler sampler_of_model(const Mlp& model) {
  const auto& notes = model.notes();
  const auto name = notes.find("sampler");
  Sampler sampler = Mala{};
  if (name != notes.end()) sampler = default_sampler(parse_sampler_kind(name->second, "the model's note sampler"));
  visit_parameters(sampler, [&](const Parameter& p, auto& field) {
    const auto note = notes.find(std::string(p.name));
    if (note != notes.end()) parse_note(fmt::format("the model's note {}", p.name), note->second, field);
  });
  return sampler;
}

Sampler sampler_for(const Mlp& model, const SamplerOptions& options) {
  Sampler base = sampler_of_model(model);
  if (auto* langevin = std::get_if<LangevinDynamics>(&base); langevin != nullptr && options.given("step_size")) {
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
