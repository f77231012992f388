// Metropolis-adjusted Langevin trajectories (Riou-Durand and Vogrinc, arXiv 2202.13230): momentum p ~ N(0, I), then L
// steps of underdamped Langevin dynamics with friction gamma, each an O-B-A-B-O of step h:
//   O  p <- e^{-gamma h / 2} p + sqrt(1 - e^{-gamma h}) xi      B  p <- p - h/2 g(x)      A  x <- x + h p
// and one decision for the whole trajectory, log a = sum over its steps of H before B-A-B minus H after it,
// H = E + |p|^2 / 2: the O parts leave the law of p alone and cost nothing. friction 0 is hmc without jitter; one step
// with the momentum wholly refreshed (gamma h large) is mala at step_size^2 / 2.
//
// With n the chain's step number, p is purpose 5 at n, xi of step l purpose 0 at n + l, and of its second half purpose
// 15. A transition advances n by its L gradient evaluations. The last O of a trajectory changes nothing that is kept.
#if !defined(EBMCUDA_SAMPLERS_MALT_HPP)
#define EBMCUDA_SAMPLERS_MALT_HPP

namespace ebm {
struct MaltTraits {
  static constexpr bool kMetropolis = true;
  static constexpr int kRows = 5;
  enum Own { kLeapfrogSteps, kFriction };
};
}  // namespace ebm

#if !defined(__CUDACC_RTC__)
#include <array>
#include <cstdint>
#include <optional>

#include "ebmcuda/export.hpp"
#include "ebmcuda/samplers/parameter.hpp"

namespace ebm {

struct EBMCUDA_API Malt {
  float step_size = 0.1f;            // > 0: of the leapfrog, model space; mala's h is step_size^2 / 2
  std::int64_t leapfrog_steps = 10;  // 1 .. 1024
  float friction = 1.0f;             // >= 0; the momentum decorrelates over a time of 1 / friction
  float jump_prob = 0.0f;            // 0 .. 1: share of transitions that propose the uniform start instead
  std::optional<float> grad_clip{};  // > 0
  std::optional<Box> clamp{};        // a trajectory that ends outside is rejected

  using Traits = MaltTraits;
  static constexpr std::string_view kName = "malt";
  template <class Self, class Visit>
  static void parameters(Self& self, Visit&& visit) {
    visit(kStepSize, self.step_size);
    visit(kLeapfrog, self.leapfrog_steps);
    visit(Parameter{"friction", kNonNegative, "how fast a trajectory forgets its momentum; 0: hmc"}, self.friction);
    visit(kJumpProb, self.jump_prob);
    visit(kGradClip, self.grad_clip);
    visit(kClamp, self.clamp);
  }
  std::int64_t evaluations() const { return leapfrog_steps; }
  std::array<float, 4> own() const { return {static_cast<float>(leapfrog_steps), friction}; }
  // Throws ConfigError; `dim` checks the box.
  void validate(int dim) const;
};

}  // namespace ebm
#endif  // !__CUDACC_RTC__
#endif  // EBMCUDA_SAMPLERS_MALT_HPP

// ---------------------------------------------------------------------------------------------------------- body
#if defined(EBM_SAMPLER_BODY)

template <class Tile>
struct MaltTrajectory {
  using Real = typename Tile::Real;
  std::int64_t length;
  // At temperature T = 1 / beta the step is sqrt(T) h and the friction gamma / sqrt(T): their product, and with it what
  // a half step keeps of the momentum, stays the same.
  float kept, fresh;
  Real step[Tile::kGroups];
  Real gained[Tile::kGroups];  // kinetic energy lost over the B-A-Bs so far

  EBM_BODY std::int64_t evaluations() const { return length; }

  EBM_BODY void begin(Tile& tile, std::int64_t offset) {
    EBM_UNROLL
    for (int g = 0; g < Tile::kGroups; ++g) {
      step[g] = square_root(tile.temperature(g)) * tile.step_size();
      gained[g] = tile.zero();
      draw_momentum(tile, g, offset);
    }
  }

  EBM_BODY void refresh(Tile& tile, Purpose purpose, int g, std::int64_t offset) const {
    EBM_UNROLL
    for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
      const auto noise = tile.normals(purpose, g, offset, b);
      tile.set(kMomentum, g, b, mul_add(kept, tile.get(kMomentum, g, b), mul_add(fresh, noise, tile.zero_block())));
    }
  }

  EBM_BODY void propose(Tile& tile, int g, std::int64_t offset, std::int64_t l, const typename Tile::Bool& local) {
    refresh(tile, Purpose::langevin_noise, g, offset + l);
    gained[g] = gained[g] + kinetic_energy(tile, g);
    const Real kick = step[g] * -0.5f;
    kick_and_drift(tile, g, l == 0, kick, step[g], local);
  }

  EBM_BODY void evaluated(Tile& tile, int g, std::int64_t offset, std::int64_t l) {
    kick_at_proposal(tile, g, step[g] * -0.5f);
    gained[g] = gained[g] - kinetic_energy(tile, g);
    if (l + 1 < length) refresh(tile, Purpose::second_half_noise, g, offset + l);
  }

  EBM_BODY Real log_ratio(Tile&, int g) const { return gained[g]; }
};

template <class Tile>
EBM_BODY void run_malt(Tile& tile, std::int64_t n_transitions) {
  const float decay = tile.own(MaltTraits::kFriction) * tile.step_size();
  MaltTrajectory<Tile> trajectory;
  trajectory.length = static_cast<std::int64_t>(tile.own(MaltTraits::kLeapfrogSteps));
  trajectory.kept = scalar_exp(-0.5f * decay);
  trajectory.fresh = scalar_root(1.0f - scalar_exp(-decay));
  run_metropolis(tile, trajectory, n_transitions);
}

#endif  // EBM_SAMPLER_BODY
