// The Metropolis-adjusted Langevin algorithm (Roberts and Tweedie 1996), exact for any h = step_size:
//   y = x - h g + sqrt(2 h) n,
//   log a = E(x) - E(y) + (|y - x + h g|^2 - |x - y + h g(y)|^2) / (4 h).
// grad_clip replaces g by the clipped g in both directions. The steps that jump, and in training the difference moves,
// are in metropolis.hpp.
#if !defined(EBMCUDA_SAMPLERS_MALA_HPP)
#define EBMCUDA_SAMPLERS_MALA_HPP

namespace ebm {
struct MalaTraits {
  static constexpr bool kMetropolis = true;
  static constexpr int kRows = 4;
};
}  // namespace ebm

#if !defined(__CUDACC_RTC__)
#include <array>
#include <optional>

#include "ebmcuda/export.hpp"
#include "ebmcuda/samplers/parameter.hpp"

namespace ebm {

struct EBMCUDA_API Mala {
  float step_size = 0.01f;           // > 0
  float jump_prob = 0.0f;            // 0 .. 1: share of steps that propose the uniform start instead
  std::optional<float> grad_clip{};  // clips the proposal's gradient, in both directions, so the chain stays exact
  std::optional<Box> clamp{};        // a proposal outside is rejected

  using Traits = MalaTraits;
  static constexpr std::string_view kName = "mala";
  template <class Self, class Visit>
  static void parameters(Self& self, Visit&& visit) {
    visit(kStepSize, self.step_size);
    visit(kJumpProb, self.jump_prob);
    visit(kGradClip, self.grad_clip);
    visit(kClamp, self.clamp);
  }
  std::int64_t evaluations() const { return 1; }
  std::array<float, 4> own() const { return {}; }
  // Throws ConfigError; `dim` checks the box.
  void validate(int dim) const;
};

}  // namespace ebm
#endif  // !__CUDACC_RTC__
#endif  // EBMCUDA_SAMPLERS_MALA_HPP

// ---------------------------------------------------------------------------------------------------------- body
#if defined(EBM_SAMPLER_BODY)

template <class Tile>
struct MalaTrajectory {
  using Real = typename Tile::Real;
  using Block = typename Tile::Block;
  float step_size, noise_scale;

  EBM_BODY std::int64_t evaluations() const { return 1; }
  EBM_BODY void begin(Tile& tile, std::int64_t offset) { tile.foresee(Purpose::langevin_noise, offset + 1); }

  // At temperature T = 1 / beta the step is T h: the drift is then that of E, and the noise sqrt(2 T h).
  EBM_BODY void propose(Tile& tile, int g, std::int64_t offset, std::int64_t, const typename Tile::Bool& local) {
    const Real drift = tile.temperature(g) * (-step_size);
    const Real scale = square_root(tile.temperature(g)) * noise_scale;
    EBM_UNROLL
    for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
      const Block drifted = mul_add(drift, tile.get(kGradient, g, b), tile.get(kX, g, b));
      const Block noise = tile.normals(Purpose::langevin_noise, g, offset, b);
      tile.set_where(local, kProposal, g, b, mul_add(scale, noise, drifted));
    }
  }
  EBM_BODY void evaluated(Tile&, int, std::int64_t, std::int64_t) {}

  // The difference of squares multiplied out, so that nothing large cancels:
  // ((y - x) / 2 + h (g_x - g_y) / 4) . (g_x + g_y).
  EBM_BODY Real log_ratio(Tile& tile, int g) const {
    const Real quarter = tile.temperature(g) * (0.25f * step_size);
    Real sum = tile.zero();
    EBM_UNROLL
    for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
      const Block from = tile.get(kX, g, b), to = tile.get(kProposal, g, b);
      const Block g_x = tile.get(kGradient, g, b), g_y = tile.clip(tile.get(kProposalGradient, g, b));
      EBM_UNROLL
      for (int i = 0; i < 4; ++i) {
        const Real mean = mul_add(quarter, g_x.v[i] - g_y.v[i], (to.v[i] - from.v[i]) * 0.5f);
        sum = mul_add(mean, g_x.v[i] + g_y.v[i], sum);
      }
    }
    return tile.sum(sum);
  }
};

template <class Tile>
EBM_BODY void run_mala(Tile& tile, std::int64_t n_transitions) {
  const float h = tile.step_size();
  MalaTrajectory<Tile> trajectory{h, scalar_root(2.0f * h)};
  run_metropolis(tile, trajectory, n_transitions);
}

#endif  // EBM_SAMPLER_BODY
