// Langevin dynamics:  x <- x - step_size * g + noise_scale * n,   g = grad E(x) clipped, n ~ N(0, I);
// then, with a clamp, every position to the nearest point of the box. With noise_scale = sqrt(2 step_size) this is the
// unadjusted Langevin algorithm: it samples p up to a bias that vanishes with step_size (Roberts and Tweedie 1996).
#if !defined(EBMCUDA_SAMPLERS_LANGEVIN_HPP)
#define EBMCUDA_SAMPLERS_LANGEVIN_HPP

namespace ebm {
struct LangevinTraits {
  static constexpr bool kMetropolis = false;
  static constexpr int kRows = 2;
  enum Own { kNoiseScale };
};
}  // namespace ebm

#if !defined(__CUDACC_RTC__)
#include <array>
#include <optional>

#include "ebmcuda/export.hpp"
#include "ebmcuda/samplers/parameter.hpp"

namespace ebm {

struct EBMCUDA_API LangevinDynamics {
  float step_size = 0.01f;             // > 0
  std::optional<float> noise_scale{};  // >= 0; unset: sqrt(2 step_size), the unadjusted Langevin algorithm
  std::optional<float> grad_clip{};    // > 0: every element of g is clipped to [-grad_clip, grad_clip]
  std::optional<Box> clamp{};          // positions are limited to the box after each step

  using Traits = LangevinTraits;
  static constexpr std::string_view kName = "langevin";
  template <class Self, class Visit>
  static void parameters(Self& self, Visit&& visit) {
    visit(kStepSize, self.step_size);
    visit(Parameter{"noise_scale", kNonNegative, "noise per step; unset: sqrt(2 h), temperature 1"}, self.noise_scale);
    visit(kGradClip, self.grad_clip);
    visit(kClamp, self.clamp);
  }
  // Gradient evaluations of a transition, and the numbers that the body reads.
  std::int64_t evaluations() const { return 1; }
  std::array<float, 4> own() const { return {effective_noise_scale()}; }

  float effective_noise_scale() const;
  // noise_scale^2 / (2 step_size): 1 samples p, below 1 a sharper density.
  double temperature() const;
  // Throws ConfigError; `dim` checks the box.
  void validate(int dim) const;

  // Published settings of image models (data in [-1, 1] or [0, 1]); all far below temperature 1.
  // Grathwohl et al. 2020: step 1, noise 0.01; temperature 5e-5
  static LangevinDynamics jem();
  // Du and Mordatch 2019: step 10, noise 0.005, gradient clip 0.01; temperature 1.25e-6
  static LangevinDynamics igebm();
  // UvA deep learning tutorial 8: step 10, noise 0.005, gradient clip 0.03, clamp +-1
  static LangevinDynamics uvadlc();

  // The same dynamics from another convention's step size, all at temperature 1:
  static LangevinDynamics from_half_step(float epsilon);     // x - (epsilon/2) grad E + sqrt(epsilon) n
  static LangevinDynamics from_half_square(float epsilon);   // x - (epsilon^2/2) grad E + epsilon n
  static LangevinDynamics from_decoupled(float a, float s);  // x - a grad E + s n, at temperature s^2 / (2 a)
};

}  // namespace ebm
#endif  // !__CUDACC_RTC__
#endif  // EBMCUDA_SAMPLERS_LANGEVIN_HPP

// ---------------------------------------------------------------------------------------------------------- body
#if defined(EBM_SAMPLER_BODY)

// tile.sweep(trouble, f) evaluates the gradient at x and puts f(g, b, x, slope) in the place of every block of x; an
// engine may do so while the last product is under way, so `slope` is a gradient that only tile.descend() can read:
// x - step_size * clip(gradient), watching in `trouble` whatever the result does not show.
//
// The inner loop does nothing but steps: a chain in trouble ends it, is restarted outside, and the loop goes on. That
// keeps the rare work out of the registers and the instruction cache of the common one.
template <class Tile>
EBM_BODY void run_langevin(Tile& tile, std::int64_t n_steps) {
  using Block = typename Tile::Block;
  const float noise_scale = tile.own(LangevinTraits::kNoiseScale);
  std::int64_t s = 0;
  while (s < n_steps) {
    typename Tile::Real trouble[Tile::kGroups];
    tile.begin_sweeps();
    do {
      tile.foresee(Purpose::langevin_noise, s);
      tile.sweep(trouble, [&](int g, int b, const Block& x, const typename Tile::Slope& slope) EBM_LAMBDA {
        Block next = tile.descend(g, b, x, slope, trouble[g]);
        next = mul_add(noise_scale, tile.normals(Purpose::langevin_noise, g, s, b), next);
        watch(trouble[g], next);
        return tile.clamp(b, next);
      });
      ++s;
    } while (!tile.somewhere(trouble) && s < n_steps);
    EBM_UNROLL
    for (int g = 0; g < Tile::kGroups; ++g) tile.restart(kX, g, tile.any(in_trouble(trouble[g])), s - 1);
  }
}

#endif  // EBM_SAMPLER_BODY
