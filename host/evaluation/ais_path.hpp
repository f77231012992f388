// What annealed importance sampling travels along: a Gaussian to start from, and a ladder of temperatures with one step
// size each. Both are fixed before the run whose weights count, so that exp(log weight) is unbiased whatever they are.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "host/engine/engine.hpp"

namespace ebm {

// The Gaussian at beta = 0, model space.
class AnnealingBase {
 public:
  // N(0, I).
  explicit AnnealingBase(int dim);
  // Mean and covariance of `points` [n, D], model space, n >= 2, made a little rounder so that no direction is so
  // narrow that it dictates the step size.
  AnnealingBase(int dim, MatrixView points);

  const GaussianBase& gaussian() const noexcept { return gaussian_; }
  // log of the integral of exp(-E0).
  double log_z() const noexcept { return log_z_; }
  // One exact draw per id, [n, D]. Each depends only on (seed, id).
  std::vector<float> draw(std::uint64_t seed, const std::vector<std::uint64_t>& ids) const;

 private:
  GaussianBase gaussian_;
  double log_z_ = 0;
};

// Rung t runs at beta[t] with step_size[t]; beta[0] = 0 (the base, no steps), beta.back() = 1.
struct Ladder {
  std::vector<float> beta, step_size;
};

// A pilot run's findings.
struct Pilot {
  Ladder ladder;            // empty when abandoned
  double length = 0;        // of the path in the friction metric: the shorter, the less the log weights vary
  std::vector<float> ends;  // [n, D] model space: its chains on the model itself
};

// A pilot run on chains of its own (`ids`): anneals adaptively, fits a step size to `target_acceptance` on the way and
// measures at every stop the spread of U = E - E0 and how fast it is forgotten. The rungs then have equal length in the
// friction metric sqrt(Var(U) tau) d beta, which minimises the variance of the work (Sivak and Crooks 2012,
// arXiv 1201.4166). `report` is called now and then; false abandons the pilot.
Pilot run_pilot(const EnergyFunction& function, const AnnealingBase& base, std::uint64_t seed,
                std::vector<std::uint64_t> ids, std::int64_t temperatures, float target_acceptance,
                const std::function<bool()>& report);
// The ladder alone.
Ladder pilot_ladder(const EnergyFunction& function, const AnnealingBase& base, std::uint64_t seed,
                    std::vector<std::uint64_t> ids, std::int64_t temperatures, float target_acceptance,
                    const std::function<bool()>& report);

}  // namespace ebm
