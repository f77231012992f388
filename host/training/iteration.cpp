#include "host/training/iteration.hpp"

#include <utility>

namespace ebm {

void add_contrastive_divergence(float share, BatchLoss* loss) {
  loss->data.weight += share;
  loss->samples.weight -= share;
}

void add_energy_regulariser(float share, float energy_reg, BatchLoss* loss) {
  loss->data.energy_weight += 2 * energy_reg * share;
  loss->samples.energy_weight += 2 * energy_reg * share;
}

void add_cross_entropy(float share, BatchLoss* loss) { loss->data.label_weight += share; }

BatchLoss objective(const TrainingPlan& plan, bool labels) {
  const float share = 1.0f / static_cast<float>(plan.batch_size);
  BatchLoss loss;
  add_contrastive_divergence(share, &loss);
  add_energy_regulariser(share, plan.energy_reg, &loss);
  if (labels) add_cross_entropy(share, &loss);
  return loss;
}

StepRules step_rules(const TrainingPlan& plan) {
  const Adam& adam = plan.optimizer;
  StepRules rules;
  rules.learning_rate = adam.learning_rate;
  rules.beta1 = adam.beta1;
  rules.beta2 = adam.beta2;
  rules.epsilon = adam.epsilon;
  rules.weight_decay = adam.weight_decay;
  rules.grad_norm_clip = adam.grad_norm_clip;
  rules.warmup = adam.warmup;
  rules.decay = static_cast<int>(adam.decay);
  rules.iterations = plan.iterations;
  rules.ema = plan.ema;
  rules.target_acceptance = plan.target_acceptance.value_or(0.0f);
  return rules;
}

void iterate(const BatchLoss& loss, const StepRules& rules, TrainingPrimitives& engine) {
  engine.gather_data();
  engine.run_chains();
  engine.differentiate(loss);
  engine.conclude(rules);
  engine.update_parameters();
}

void iterate_chains(TrainingPrimitives& engine) {
  StepRules rules;
  rules.learns = false;
  engine.run_chains();
  engine.conclude(rules);
}

TrainingSession::TrainingSession(const Engine& engine, TrainingPlan plan, TrainingState start,
                                 std::span<const float> data, std::span<const int> labels) {
  const BatchLoss loss = objective(plan, !labels.empty());
  const StepRules rules = step_rules(plan);
  primitives_ = engine.training(std::move(plan), std::move(start), data, labels);
  primitives_->record([loss, rules, primitives = primitives_.get()] { iterate(loss, rules, *primitives); });
}

}  // namespace ebm
