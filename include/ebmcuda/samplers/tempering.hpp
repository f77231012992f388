// Non-reversible parallel tempering (Syed, Bouchard-Cote, Deligiannidis and Doucet, arXiv 1905.02939). A chain has R
// replicas at inverse temperatures 1 = beta_0 > beta_1 > ...: replica r moves by an exact sampler that leaves
// exp(-beta_r E) invariant, and neighbours r, r + 1 swap their states, for even and for odd r in turn, if
//   ln u < (beta_r - beta_{r+1}) (E_r - E_{r+1}).
// Replica 0 is the chain. States travel up to where the density is flat, lose their mode and come back, so that modes
// are visited in proportion to their mass without anybody knowing where they are.
//
// At inverse temperature beta local steps are taken as if at T = 1 / beta: mala's step T h, that of hmc and malt
// sqrt(T) h. Rejection between neighbours adds up to the global barrier, which no number of replicas changes much; the
// best round-trip rate has it spread evenly, and that is what fitted temperatures do.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/samplers/all.hpp"
#include "ebmcuda/samplers/parameter.hpp"

namespace ebm {

struct EBMCUDA_API Tempering {
  std::int64_t replicas = 8;    // 2 .. 128
  std::int64_t swap_every = 1;  // >= 1 local transitions between rounds of swaps
  float hottest = 0.1f;         // (0, 1): the last inverse temperature of a fitted ladder
  // beta_0 = 1 > beta_1 > ... > 0, `replicas` of them; unset: fitted between 1 and `hottest` so that every pair of
  // neighbours rejects as often, by a pilot run that depends on model, sampler, these options and the seed only; in
  // training, where the energy changes, geometric_ladder().
  std::optional<std::vector<float>> inverse_temperatures{};

  static constexpr std::string_view kName = "tempering";
  template <class Self, class Visit>
  static void parameters(Self& self, Visit&& visit) {
    visit(Parameter{"replicas", {2, 128}, "replicas of a chain, each hotter than the last"}, self.replicas);
    visit(Parameter{"swap_every", {1, 1 << 20}, "transitions between rounds of swaps"}, self.swap_every);
    visit(Parameter{"hottest", {0, 1, false}, "the last inverse temperature of a fitted ladder"}, self.hottest);
    visit(Parameter{"inverse_temperatures", {0, 1, false}, "the ladder, 1 first; unset: fitted"},
          self.inverse_temperatures);
  }
  // Throws ConfigError.
  void validate() const;
  // hottest^(r / (replicas - 1)), r = 0 .. replicas - 1.
  std::vector<float> geometric_ladder() const;
};

// What the replicas did, over all chains.
struct EBMCUDA_API ReplicaStats {
  std::vector<float> inverse_temperatures;  // [R]
  std::vector<MoveCount> swaps;             // [R - 1]: of replicas r and r + 1
  std::uint64_t round_trips = 0;            // states that came back to replica 0 from replica R - 1

  // Estimate of the global barrier: the sum of the rejection rates.
  double barrier() const;
};

}  // namespace ebm
