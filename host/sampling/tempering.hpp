// Parallel tempering over the seam's chain sets: a set whose chains have replicas looks like any other.
#pragma once

#include <memory>
#include <optional>

#include "host/engine/engine.hpp"
#include "kernels/chains/replica_swap.hpp"

namespace ebm {

// The inverse temperatures that `tempering` means for this model and local transition: those given, or fitted by a
// pilot run (Syed et al., section 5.1) whose chains have ids of their own. Throws ConfigError when the transition is
// not of a Metropolis-adjusted sampler.
std::vector<float> ladder_of(const EnergyFunction& function, int dim, const Transition& local,
                             const Tempering& tempering, std::uint64_t seed);

// ConfigError unless the transition is of a Metropolis-adjusted sampler.
void require_can_be_tempered(const Transition& local);

// Chains with these ids and step numbers that have replicas, at the ladder that `tempering` must hold. Positions set
// are those of all replicas of a chain; positions, energies and steps are replica 0's.
std::unique_ptr<ChainSet> make_tempered_chains(const EnergyFunction& function, int dim, std::uint64_t seed,
                                               std::span<const std::uint64_t> ids, std::span<const std::uint64_t> steps,
                                               const Tempering& tempering);

}  // namespace ebm
