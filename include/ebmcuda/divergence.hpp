// Signs that a training run has left its data behind, and what is done about them. docs/training.md has the reasons for
// the limits.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "ebmcuda/export.hpp"

namespace ebm {

enum class OnDivergence {
  warn,      // say so and go on, as long as the numbers are finite
  stop,      // return to the last good state and throw DivergenceError
  rollback,  // return to the last good state and go on with a quarter of the rate, at most kMaxRollbacks times
};
EBMCUDA_API std::string_view to_string(OnDivergence policy);
EBMCUDA_API OnDivergence parse_on_divergence(std::string_view name, std::string_view field = "on_divergence");

inline constexpr int kMaxRollbacks = 5;  // of a run

// Beyond these a run counts as diverged.
inline constexpr double kLeastAcceptance = 0.05;  // of at least kFewestProposals local moves since the last report
inline constexpr std::uint64_t kFewestProposals = 100;
inline constexpr double kLargestEnergy = 1e6;   // nats: above it float32 does not tell 0.1 nat apart
inline constexpr double kLargestGap = 10;       // nats: |E data - E samples| <= this + D, once the run has settled
inline constexpr double kMostRestarts = 0.001;  // per chain that was run since the last report
inline constexpr double kLargestSpread = 3;     // of the chains, in spreads of the data; the least is 1 / this
inline constexpr double kSettledFrom = 0.1;     // share of the iterations after which gap and spread are judged

// What a run looks like at a report.
struct EBMCUDA_API Vitals {
  int dim = 1;
  double progress = 0;                       // iterations done / iterations
  std::uint64_t proposed = 0, accepted = 0;  // local moves since the last report; 0 where nothing is rejected
  double target_acceptance = 1;              // what the step size follows: the limit is half of it where that is less
  double energy_data = 0, energy_samples = 0;
  std::uint64_t restarts = 0, chains = 0;  // of chains that left the finite numbers, since the last report, of so many
  double spread = std::numeric_limits<double>::quiet_NaN();  // of the chains, in spreads of the data; NaN: not known
};

struct EBMCUDA_API DivergenceSign {
  enum class Kind { acceptance, energy, gap, restarts, spread, not_finite };
  Kind kind;
  std::string what;    // "acceptance 0.006 is below 0.05"
  std::string advice;  // which fields to change: "a smaller learning_rate ..."
};

EBMCUDA_API std::vector<DivergenceSign> divergence_signs(const Vitals& vitals);

}  // namespace ebm
