// Markov chains on an energy. The samplers stand in ebmcuda/samplers, one file each, with their formulas and sources.
//
// Step sizes and noise are in model space. The convention is x - h grad E + sqrt(2 h) n at temperature 1; other papers'
// step sizes are converted by functions of LangevinDynamics (docs/sampling.md).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "ebmcuda/samplers/all.hpp"
#include "ebmcuda/samplers/tempering.hpp"

namespace ebm {

namespace detail {
// std::variant of all types but the last, which is void.
template <class... Types>
struct Variant;
template <class... Done, class Next, class... Rest>
struct Variant<std::variant<Done...>, Next, Rest...> : Variant<std::variant<Done..., Next>, Rest...> {};
template <class... Done>
struct Variant<std::variant<Done...>, void> {
  using Type = std::variant<Done...>;
};
template <class... Types>
using VariantOf = typename Variant<std::variant<>, Types...>::Type;
}  // namespace detail

#define EBM_SAMPLER_TYPE(name, type) type,
// The samplers, one file each in ebmcuda/samplers.
using Sampler = detail::VariantOf<EBM_SAMPLERS(EBM_SAMPLER_TYPE) void>;
#undef EBM_SAMPLER_TYPE

EBMCUDA_API SamplerKind kind_of(const Sampler& sampler);
// "langevin", "mala", ... and back; the second throws ConfigError naming `field`, the names and `also`.
EBMCUDA_API std::string_view to_string(SamplerKind kind);
EBMCUDA_API SamplerKind parse_sampler_kind(std::string_view name, std::string_view field = "sampler",
                                           std::string_view also = {});
// The sampler of a kind with its defaults.
EBMCUDA_API Sampler default_sampler(SamplerKind kind);
// Whether its transitions are accepted or rejected, so that it is exact for any step size.
EBMCUDA_API bool is_metropolis(SamplerKind kind);
// Their names: "mala, hmc, ...".
EBMCUDA_API std::string metropolis_names();
// The sampler's fields in order; see ebmcuda/samplers/parameter.hpp.
template <class SamplerLike, class Visit>
void visit_parameters(SamplerLike&& sampler, Visit&& visit) {
  std::visit([&](auto& s) { s.parameters(s, visit); }, sampler);
}
// Throws ConfigError naming the field; `dim` checks a box.
EBMCUDA_API void validate(const Sampler& sampler, int dim);

// "langevin dynamics, step_size 0.01, noise_scale 0.1414 (temperature 1)"
EBMCUDA_API std::string describe(const Sampler& sampler);

// What precedes "proposed" and "accepted" in logs, summaries and checkpoints, by Move: "", "jumps_", "differences_".
EBMCUDA_API std::string_view prefix_of(Move move);

// What happened to the chains. Counts are over all chains and steps.
struct EBMCUDA_API ChainStats {
  std::uint64_t steps = 0;                // chain-steps: gradient evaluations, by which step numbers advance
  std::uint64_t restarts = 0;             // non-finite chains sent back to the uniform start
  std::uint64_t reinitialized = 0;        // replay buffer slots that started afresh
  std::array<MoveCount, kMoves> moves{};  // of Metropolis-adjusted samplers, by Move
  MoveCount swaps{};                      // of neighbouring replicas, with tempering

  const MoveCount& operator[](Move move) const { return moves[static_cast<std::size_t>(move)]; }
  MoveCount& operator[](Move move) { return moves[static_cast<std::size_t>(move)]; }
  // Of the sampler's own moves; 1 for samplers that reject nothing.
  double acceptance() const {
    const auto& [proposed, accepted] = (*this)[Move::local];
    return proposed ? static_cast<double>(accepted) / static_cast<double>(proposed) : 1.0;
  }
  ChainStats& operator+=(const ChainStats& other);
  bool operator==(const ChainStats&) const = default;
};

struct EBMCUDA_API SampleProgress {
  std::int64_t step;     // steps done of
  std::int64_t n_steps;  // this many
  double seconds;        // since the call
};

struct EBMCUDA_API SampleOptions {
  std::int64_t n_chains = 1024;  // ignored when `init` or `fixed` is given
  std::int64_t n_steps = 1000;   // >= 0
  std::uint64_t seed = 0;
  std::uint64_t first_chain = 0;  // chain ids first_chain .. first_chain + n_chains - 1, below 2^56 (tempering: 2^46)
  std::uint64_t first_step = 0;   // number of the first step, below 2^48; a run split over calls gives the same bits
  std::optional<Matrix> init{};   // start positions [n_chains, D], data units; unset: the uniform start
  // Coordinates that stay, [n_chains, D] data units, NaN: free. The chains sample the conditional density of the others
  // (ChainsOptions::fixed). Any columns, also where the model's transform whitens: rows in a run that fix the same ones
  // then have their chains on a model with those first (reorder_columns), with tempering by a ladder that is given.
  std::optional<Matrix> fixed{};
  // Every chain has replicas at higher temperatures; the sampler, which must be a Metropolis-adjusted one, moves them.
  std::optional<Tempering> tempering{};
  std::int64_t thin = 0;  // > 0: keep the positions after every `thin` steps in `trajectory`
  std::function<bool(const SampleProgress&)> progress{};  // called now and then; false stops early
};

struct EBMCUDA_API SampleResult {
  Matrix x;                             // [n_chains, D], data units
  std::vector<float> energy;            // E of each final position
  std::vector<Matrix> trajectory;       // n_steps / thin matrices, when asked for
  std::vector<std::uint8_t> restarted;  // 1 where a chain was restarted
  ChainStats stats;                     // of all replicas, with tempering
  ReplicaStats replicas;                // with tempering
  std::int64_t n_steps = 0;             // transitions done
  double seconds = 0.0;
  std::string engine;  // which engine and path ran, e.g. "cpu AVX2, 2 threads"
};

// Runs chains. Throws ConfigError for a request out of range.
EBMCUDA_API SampleResult sample(const Mlp& model, const Sampler& sampler, const SampleOptions& options,
                                const Device& device = Device::automatic());

// The uniform start of chains first_chain .. : x_d = mean_d + (2 u - 1) * 3 * std_d, [n, D], data units.
EBMCUDA_API Matrix uniform_start(const Mlp& model, std::int64_t n, std::uint64_t seed, std::uint64_t first_chain = 0,
                                 std::uint64_t step = 0);

}  // namespace ebm
