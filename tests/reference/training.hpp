// Training by contrastive divergence in double precision: objective, optimiser, replay buffer and the loop, written
// from the Contract.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "reference/chains.hpp"

namespace ref {

// mean E(data) - mean E(samples) + reg (mean E(data)^2 + mean E(samples)^2) [+ mean cross-entropy], and its gradient.
struct Objective {
  double value = 0;
  double energy_data = 0, energy_samples = 0;  // means
  double cross_entropy = 0;
  Vector gradient;
};
Objective objective(const Network& network, const std::vector<Vector>& data, const std::vector<int>& labels,
                    const std::vector<Vector>& samples, double energy_reg);

struct AdamSettings {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0, grad_norm_clip = 0;
  int warmup = 0;
  enum class Decay { constant, cosine, linear } decay = Decay::constant;
};
// Warm-up (t+1)/(warmup+1), then the decay to zero at iteration n.
double learning_rate(const AdamSettings& adam, std::int64_t t, std::int64_t n);

enum class Start { persistent, data, fresh };

struct Plan {
  std::int64_t iterations = 0, batch_size = 0;
  Start start = Start::persistent;
  Kernel kernel;  // its points are the training data; step_size is the start value
  int n_steps = 1;
  double energy_reg = 0;
  std::optional<double> target_acceptance;
  std::uint64_t capacity = 0;
  double reinit_prob = 0;
  Vector ladder;  // inverse temperatures of a chain's replicas, 1 first; empty: none
  int swap_every = 1;
  AdamSettings adam;
  double ema = 0;
  Vector dequantize;  // width per dimension, or empty
  double data_noise = 0;
  std::uint64_t seed = 0;
};

struct Training {
  Plan plan;
  Network network;
  std::vector<Vector> data;
  std::vector<int> labels;

  std::int64_t iteration = 0;
  Vector adam_m, adam_v, ema;
  double step_size = 0;
  std::vector<Vector> buffer;
  std::vector<std::vector<Vector>> hot_buffer;  // of each slot, replicas 1 ..
  std::vector<std::uint64_t> buffer_steps;

  // Of the last iteration.
  Objective objective;
  double gradient_norm = 0;
  Counts counts, swaps;
  std::uint64_t reinitialized = 0;
  // Over all iterations: the smallest margin of an accept decision (see Chain).
  double decision_margin = std::numeric_limits<double>::infinity();

  Training(Plan plan, Network network, std::vector<Vector> data, std::vector<int> labels = {});
  // One iteration.
  void step();
};

}  // namespace ref
