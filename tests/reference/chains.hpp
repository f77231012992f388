// The Markov chains of the Contract in double precision.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "reference/network.hpp"
#include "reference/random.hpp"

namespace ref {

// E_beta = beta E + (1 - beta) |R (x - mean)|^2 / 2, R row-major [D, D]. Without a base: E.
struct Target {
  Network network;
  double beta = 1;
  Vector base_mean, base_root;     // empty without a base
  double inverse_temperature = 1;  // multiplies E; without a base only

  Evaluation evaluate(const Vector& x) const;
  double base_energy(const Vector& x) const;
};

struct Kernel {
  bool mala = false;
  bool hmc = false, malt = false;
  int leapfrog_steps = 1;  // hmc, malt: gradient evaluations of a transition
  double jitter = 0;       // hmc
  double friction = 0;     // malt
  double step_size = 0.01;
  double noise_scale = 0;  // Langevin
  double grad_clip = std::numeric_limits<double>::infinity();
  Vector lo, hi;              // both empty: no box
  Vector start_lo, start_hi;  // of the uniform start; both empty: +-3
  double jump_prob = 0;
  double difference_prob = 0;
  std::vector<Vector> points;  // training points of the difference move
};

struct Chain {
  std::uint64_t id = 0;
  std::uint64_t step = 0;
  Vector x;
  std::vector<bool> fixed = {};  // coordinates that stay, [D]; empty: none
  bool restarted = false;
  // Over all decisions so far, the smallest |ln u - log a| and the smallest distance of a clipped or clamped value, a
  // coordinate or a hidden unit from where it switches branch. A single-precision chain may leave the reference only
  // where one of them is within rounding.
  double decision_margin = std::numeric_limits<double>::infinity();
  double kink_distance = std::numeric_limits<double>::infinity();
};

struct Counts {
  std::uint64_t proposed = 0, accepted = 0;
  std::uint64_t jumps_proposed = 0, jumps_accepted = 0;
  std::uint64_t differences_proposed = 0, differences_accepted = 0;
  std::uint64_t restarts = 0;
};

// (2u - 1) 3 per dimension, purpose 1: model space. With a region, lo + (hi - lo) u.
Vector uniform_start(std::uint64_t seed, std::uint64_t chain, std::uint64_t step, int dim);
Vector uniform_start(const Kernel& kernel, std::uint64_t seed, std::uint64_t chain, std::uint64_t step, int dim);

// Parallel tempering: replica r of a chain, replicas[r], moves at inverse temperature ladder[r] with the numbers of id
// chain id + r 2^46, at a step of mala h / beta, of the leapfrogs h / sqrt(beta). After every `swap_every` transitions
// neighbours swap. `margin` falls to the smallest |ln u - log a| of a swap; the moves of all replicas are added to
// `moves`.
void run_tempered(const Target& target, const Kernel& kernel, std::uint64_t seed, const Vector& ladder, int swap_every,
                  int n_transitions, std::vector<Chain>* replicas, std::vector<Counts>* swaps, double* margin,
                  Counts* moves = nullptr);

// n_steps of the transition; the chain's step count goes up by the gradient evaluations of each.
void run(const Target& target, const Kernel& kernel, std::uint64_t seed, int n_steps, Chain* chain, Counts* counts);

}  // namespace ref
