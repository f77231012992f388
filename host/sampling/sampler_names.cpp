// The samplers by kind and name: what file formats need of them, without the engines.
#include "ebmcuda/sampler.hpp"
#include "host/core/check.hpp"

namespace ebm {

SamplerKind kind_of(const Sampler& sampler) { return static_cast<SamplerKind>(sampler.index()); }

std::string_view to_string(SamplerKind kind) {
  return std::visit([](const auto& s) { return s.kName; }, default_sampler(kind));
}

SamplerKind parse_sampler_kind(std::string_view name, std::string_view field, std::string_view also) {
  std::string known;
#define EBM_PARSE(key, type)                        \
  if (name == type::kName) return SamplerKind::key; \
  known += fmt::format(" {}", type::kName);
  EBM_SAMPLERS(EBM_PARSE)
#undef EBM_PARSE
  if (!also.empty()) known += fmt::format(" {}", also);
  reject(field, name, "must be one of" + known);
}

Sampler default_sampler(SamplerKind kind) {
  switch (kind) {
#define EBM_DEFAULT(name, type) \
  case SamplerKind::name:       \
    return type{};
    EBM_SAMPLERS(EBM_DEFAULT)
#undef EBM_DEFAULT
  }
  reject("sampler", static_cast<int>(kind), "is not a sampler");
}

bool is_metropolis(SamplerKind kind) {
  return std::visit([]<class S>(const S&) { return S::Traits::kMetropolis; }, default_sampler(kind));
}

std::string metropolis_names() {
  std::vector<std::string_view> names;
  for (const SamplerKind kind : kSamplerKinds) {
    if (is_metropolis(kind)) names.push_back(to_string(kind));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string_view prefix_of(Move move) {
  constexpr std::string_view kPrefixes[kMoves] = {"", "jumps_", "differences_"};
  return kPrefixes[static_cast<int>(move)];
}

}  // namespace ebm
