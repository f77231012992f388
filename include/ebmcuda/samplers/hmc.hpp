// Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011): momentum p ~ N(0, I), L leapfrog steps of
//   p <- p - h_n/2 g(x),   x <- x + h_n p,   p <- p - h_n/2 g(x),
// accepted with log a = E(x) + |p|^2 / 2 - E(y) - |p'|^2 / 2: exact for any step. With n the chain's step number,
// h_n = h (1 + jitter (2 u - 1)), u = unit(purpose 9, block 0, word 2), so that no trajectory length is in step with a
// period of the target (Mackenzie 1989). p is purpose 5. A transition advances n by its L gradient evaluations.
// grad_clip replaces g throughout; the leapfrog stays reversible and volume-preserving, and the chain exact.
#if !defined(EBMCUDA_SAMPLERS_HMC_HPP)
#define EBMCUDA_SAMPLERS_HMC_HPP

namespace ebm {
struct HmcTraits {
  static constexpr bool kMetropolis = true;
  static constexpr int kRows = 5;
  enum Own { kLeapfrogSteps, kJitter };
};
}  // namespace ebm

#if !defined(__CUDACC_RTC__)
#include <array>
#include <cstdint>
#include <optional>

#include "ebmcuda/export.hpp"
#include "ebmcuda/samplers/parameter.hpp"

namespace ebm {

struct EBMCUDA_API Hmc {
  float step_size = 0.1f;            // > 0: of the leapfrog, model space; mala's h is step_size^2 / 2
  std::int64_t leapfrog_steps = 10;  // 1 .. 1024
  float jitter = 0.2f;               // 0 .. 1: the step varies by this share between transitions
  float jump_prob = 0.0f;            // 0 .. 1: share of transitions that propose the uniform start instead
  std::optional<float> grad_clip{};  // > 0
  std::optional<Box> clamp{};        // a trajectory that ends outside is rejected

  using Traits = HmcTraits;
  static constexpr std::string_view kName = "hmc";
  template <class Self, class Visit>
  static void parameters(Self& self, Visit&& visit) {
    visit(kStepSize, self.step_size);
    visit(kLeapfrog, self.leapfrog_steps);
    visit(Parameter{"jitter", kProbability, "the leapfrog step varies by this share"}, self.jitter);
    visit(kJumpProb, self.jump_prob);
    visit(kGradClip, self.grad_clip);
    visit(kClamp, self.clamp);
  }
  std::int64_t evaluations() const { return leapfrog_steps; }
  std::array<float, 4> own() const { return {static_cast<float>(leapfrog_steps), jitter}; }
  // Throws ConfigError; `dim` checks the box.
  void validate(int dim) const;
};

}  // namespace ebm
#endif  // !__CUDACC_RTC__
#endif  // EBMCUDA_SAMPLERS_HMC_HPP

// ---------------------------------------------------------------------------------------------------------- body
#if defined(EBM_SAMPLER_BODY)

template <class Tile>
struct HmcTrajectory {
  using Real = typename Tile::Real;
  std::int64_t length;
  Real step[Tile::kGroups], kinetic[Tile::kGroups];

  EBM_BODY std::int64_t evaluations() const { return length; }

  // At temperature T = 1 / beta the step is sqrt(T) h: in units of the target's width it stays the same.
  EBM_BODY void begin(Tile& tile, std::int64_t offset) {
    const float h = tile.step_size(), jitter = tile.own(HmcTraits::kJitter);
    EBM_UNROLL
    for (int g = 0; g < Tile::kGroups; ++g) {
      const Real varied = uniform(tile.words(Purpose::move, g, offset, 0), 2) * (2.0f * jitter) + (1.0f - jitter);
      step[g] = square_root(tile.temperature(g)) * h * varied;
      draw_momentum(tile, g, offset);
      kinetic[g] = kinetic_energy(tile, g);
    }
  }

  // Half a kick at the start, whole ones where the half of a step meets that of the next, and the drift.
  EBM_BODY void propose(Tile& tile, int g, std::int64_t, std::int64_t l, const typename Tile::Bool& local) {
    const Real kick = step[g] * (l == 0 ? -0.5f : -1.0f);
    kick_and_drift(tile, g, l == 0, kick, step[g], local);
  }

  EBM_BODY void evaluated(Tile& tile, int g, std::int64_t, std::int64_t l) {
    if (l + 1 < length) return;
    kick_at_proposal(tile, g, step[g] * -0.5f);
    kinetic[g] = kinetic[g] - kinetic_energy(tile, g);
  }

  EBM_BODY Real log_ratio(Tile&, int g) const { return kinetic[g]; }
};

template <class Tile>
EBM_BODY void run_hmc(Tile& tile, std::int64_t n_transitions) {
  HmcTrajectory<Tile> trajectory;
  trajectory.length = static_cast<std::int64_t>(tile.own(HmcTraits::kLeapfrogSteps));
  run_metropolis(tile, trajectory, n_transitions);
}

#endif  // EBM_SAMPLER_BODY
