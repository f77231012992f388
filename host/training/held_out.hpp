// Held-out data in a training run: how far the model is from points it has not seen, and the state that did best.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ebmcuda/energy.hpp"
#include "ebmcuda/trainer.hpp"

namespace ebm {

// What a checkpoint keeps of it.
struct HeldOutState {
  std::uint64_t fingerprint = 0;         // of the held-out data; 0: there are none
  std::int64_t best_iteration = 0;       // 0: no check has given a likelihood yet
  double best_log_likelihood = 0;        // nats per point
  double last_log_likelihood = 0;        // of the last check that gave one
  std::int64_t checks_since_best = 0;    // that gave one
  std::vector<float> best_parameters{};  // empty or flat as Mlp::parameters()
  bool out_of_patience(const HeldOutOptions& options) const {
    return options.patience > 0 && checks_since_best >= options.patience;
  }
  bool operator==(const HeldOutState&) const = default;
};

class HeldOut {
 public:
  // Copies are kept of at most 4096 rows of each, evenly spread, with the noise of TrainerOptions::dequantize. `model`
  // is taken for its shape and transform.
  HeldOut(const Mlp& model, const TrainerOptions& options, MatrixView data, MatrixView held_out, const Device& device,
          HeldOutState state);

  // Looks at the model after `iteration`, a multiple of log_every or the last one: the energy gap always, the
  // likelihood where a check is due.
  HeldOutReport look(const Mlp& model, std::int64_t iteration);
  bool out_of_patience() const { return state_.out_of_patience(options_.held_out); }
  const HeldOutState& state() const { return state_; }

 private:
  bool due(std::int64_t iteration) const;
  void measure(const Mlp& model, double mean_energy, HeldOutReport* report) const;

  TrainerOptions options_;
  Matrix train_, held_out_;  // data units
  Device device_;
  Energy energy_;
  HeldOutState state_;
};

}  // namespace ebm
