// Markov chains on an energy.
//
//   LangevinDynamics   x <- x - step_size * g + noise_scale * n,   g = grad_x E(x) clipped, n ~ N(0, I)
//   Mala               the same proposal with noise sqrt(2 step_size), accepted by the Metropolis-Hastings rule
//                      (Roberts and Tweedie 1996): exact for any step_size; with `jump_prob` a step proposes a uniform
//                      point
//
// step_size and noise_scale are in model space. The convention is x - h grad E + sqrt(2 h) n at temperature 1; other
// papers' step sizes are converted by the functions below (docs/sampling.md).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"

namespace ebm {

// Limits of the positions in data units: D values each, or one value that holds for every dimension.
struct EBMCUDA_API Box {
  std::vector<float> lo;
  std::vector<float> hi;
};

struct EBMCUDA_API LangevinDynamics {
  float step_size = 0.01f;             // > 0
  std::optional<float> noise_scale{};  // >= 0; unset: sqrt(2 step_size), the unadjusted Langevin algorithm
  std::optional<float> grad_clip{};    // > 0: every element of g is clipped to [-grad_clip, grad_clip]
  std::optional<Box> clamp{};          // positions are limited to the box after each step

  float effective_noise_scale() const;
  // noise_scale^2 / (2 step_size): 1 samples p, below 1 a sharper density.
  double temperature() const;
  // Throws ConfigError; `dim` checks the box.
  void validate(int dim) const;

  // Published settings of image models (data in [-1, 1] or [0, 1]); all far below temperature 1.
  static LangevinDynamics jem();  // Grathwohl et al. 2020: step 1, noise 0.01; temperature 5e-5
  static LangevinDynamics
  igebm();  // Du and Mordatch 2019: step 10, noise 0.005, gradient clip 0.01; temperature 1.25e-6
  static LangevinDynamics
  uvadlc();  // UvA deep learning tutorial 8: step 10, noise 0.005, gradient clip 0.03, clamp +-1

  // The same dynamics from another convention's step size, all at temperature 1:
  static LangevinDynamics from_half_step(float epsilon);     // x - (epsilon/2) grad E + sqrt(epsilon) n
  static LangevinDynamics from_half_square(float epsilon);   // x - (epsilon^2/2) grad E + epsilon n
  static LangevinDynamics from_decoupled(float a, float s);  // x - a grad E + s n, at temperature s^2 / (2 a)
};

struct EBMCUDA_API Mala {
  float step_size = 0.01f;           // > 0
  float jump_prob = 0.0f;            // 0 .. 1: share of steps that propose the uniform start instead
  std::optional<float> grad_clip{};  // clips the proposal's gradient, in both directions, so the chain stays exact
  std::optional<Box> clamp{};        // a proposal outside is rejected

  void validate(int dim) const;
};

using Sampler = std::variant<LangevinDynamics, Mala>;

// "langevin dynamics, step_size 0.01, noise_scale 0.1414 (temperature 1)"
EBMCUDA_API std::string describe(const Sampler& sampler);

// What happened to the chains. Counts are over all chains and steps.
struct EBMCUDA_API ChainStats {
  std::uint64_t steps = 0;                                           // chain-steps
  std::uint64_t restarts = 0;                                        // non-finite chains sent back to the uniform start
  std::uint64_t reinitialized = 0;                                   // replay buffer slots that started afresh
  std::uint64_t proposed = 0, accepted = 0;                          // Mala's local moves
  std::uint64_t jumps_proposed = 0, jumps_accepted = 0;              // uniform jumps
  std::uint64_t differences_proposed = 0, differences_accepted = 0;  // difference moves (training)

  double acceptance() const { return proposed ? static_cast<double>(accepted) / static_cast<double>(proposed) : 1.0; }
  ChainStats& operator+=(const ChainStats& other);
  bool operator==(const ChainStats&) const = default;
};

struct EBMCUDA_API SampleProgress {
  std::int64_t step;     // steps done of
  std::int64_t n_steps;  // this many
  double seconds;        // since the call
};

struct EBMCUDA_API SampleOptions {
  std::int64_t n_chains = 1024;  // ignored when `init` is given
  std::int64_t n_steps = 1000;   // >= 0
  std::uint64_t seed = 0;
  std::uint64_t first_chain = 0;  // chain ids first_chain .. first_chain + n_chains - 1, below 2^56
  std::uint64_t first_step = 0;   // number of the first step, below 2^48; a run split over calls gives the same bits
  std::optional<Matrix> init{};   // start positions [n_chains, D], data units; unset: the uniform start
  std::int64_t thin = 0;          // > 0: keep the positions after every `thin` steps in `trajectory`
  std::function<bool(const SampleProgress&)> progress{};  // called now and then; false stops early
};

struct EBMCUDA_API SampleResult {
  Matrix x;                             // [n_chains, D], data units
  std::vector<float> energy;            // E of each final position
  std::vector<Matrix> trajectory;       // n_steps / thin matrices, when asked for
  std::vector<std::uint8_t> restarted;  // 1 where a chain was restarted
  ChainStats stats;
  std::int64_t n_steps = 0;  // steps done
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
