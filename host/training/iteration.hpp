// The training iteration, written once for every engine over what engines offer (TrainingPrimitives), and a run of it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "host/engine/engine.hpp"

namespace ebm {

// What the terms of the objective weigh on a row of the batch. Each is a mean over the batch, so a share of 1 / batch.
//
//   contrastive divergence   mean E(data) - mean E(samples)
//   energy regulariser       energy_reg (mean E(data)^2 + mean E(samples)^2)
//   cross-entropy            mean over the data of logsumexp f - f_label
void add_contrastive_divergence(float share, BatchLoss* loss);
void add_energy_regulariser(float share, float energy_reg, BatchLoss* loss);
void add_cross_entropy(float share, BatchLoss* loss);
BatchLoss objective(const TrainingPlan& plan, bool labels);

StepRules step_rules(const TrainingPlan& plan);

// One iteration. An engine may record these calls and replay them: they do not depend on what the iteration finds.
void iterate(const BatchLoss& loss, const StepRules& rules, TrainingPrimitives& engine);
// The chains alone: nothing is learnt, and energies and norms are reported as 0. Not for chains that begin at the data.
void iterate_chains(TrainingPrimitives& engine);

class TrainingSession {
 public:
  // `data` [n, D] model space; labels [n] or empty. Copies are kept.
  TrainingSession(const Engine& engine, TrainingPlan plan, TrainingState start, std::span<const float> data,
                  std::span<const int> labels);
  // See TrainingPrimitives.
  std::vector<IterationStats> run(std::int64_t n) { return primitives_->run(n); }
  TrainingState state() const { return primitives_->state(); }
  std::int64_t iteration() const { return primitives_->iteration(); }

 private:
  std::unique_ptr<TrainingPrimitives> primitives_;
};

}  // namespace ebm
