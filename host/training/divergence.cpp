#include "ebmcuda/divergence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/core/names.hpp"

namespace ebm {
namespace {

constexpr Name<OnDivergence> kPolicies[] = {
    {OnDivergence::warn, "warn"}, {OnDivergence::stop, "stop"}, {OnDivergence::rollback, "rollback"}};

}  // namespace

std::string_view to_string(OnDivergence policy) { return name_of<OnDivergence>(kPolicies, policy); }
OnDivergence parse_on_divergence(std::string_view name, std::string_view field) {
  return parse_name<OnDivergence>(kPolicies, name, field);
}

// Conditions are written so that a NaN is a sign.
std::vector<DivergenceSign> divergence_signs(const Vitals& v) {
  using Kind = DivergenceSign::Kind;
  std::vector<DivergenceSign> signs;
  if (v.proposed >= kFewestProposals) {
    const double acceptance = static_cast<double>(v.accepted) / static_cast<double>(v.proposed);
    const double least = std::min(kLeastAcceptance, v.target_acceptance / 2);
    if (!(acceptance >= least)) {
      signs.push_back({Kind::acceptance, fmt::format("acceptance {:.3g} is below {:.3g}", acceptance, least),
                       "a smaller learning_rate or step_size, or grad_norm_clip"});
    }
  }
  const double energy = std::max(std::fabs(v.energy_data), std::fabs(v.energy_samples));
  if (!(energy <= kLargestEnergy)) {
    signs.push_back({Kind::energy, fmt::format("an energy of {:.3g} is beyond {:.0e}", energy, kLargestEnergy),
                     "a smaller learning_rate, grad_norm_clip or energy_reg"});
  }
  const double gap = std::fabs(v.energy_data - v.energy_samples), most = kLargestGap + v.dim;
  const bool settled = v.progress >= kSettledFrom;
  if (settled && !(gap <= most)) {
    signs.push_back({Kind::gap, fmt::format("an energy gap of {:.3g} is beyond {:.3g}", gap, most),
                     "a smaller learning_rate, or more n_steps"});
  }
  if (static_cast<double>(v.restarts) > kMostRestarts * static_cast<double>(v.chains)) {
    signs.push_back({Kind::restarts,
                     fmt::format("{} restarts of {} chains are more than {:.3g}", v.restarts, v.chains,
                                 kMostRestarts * static_cast<double>(v.chains)),
                     "a smaller step_size, or grad_clip"});
  }
  if (settled && (v.spread > kLargestSpread || v.spread < 1 / kLargestSpread)) {
    signs.push_back({Kind::spread,
                     fmt::format("the chains' spread is {:.3g} of the data's, not within {:.3g} .. {:.3g}", v.spread,
                                 1 / kLargestSpread, kLargestSpread),
                     "a smaller learning_rate, more confinement or n_steps, or standardised data"});
  }
  return signs;
}

}  // namespace ebm
