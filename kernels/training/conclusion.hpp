// The end of a training iteration, in numbers: what is reported, whether the run goes on, and what the optimiser and
// the next iteration's chains work with. The same on every engine; on a GPU one thread of the device calls it, so that
// no host waits for it.
#pragma once

#include "kernels/math/adam.hpp"
#include "kernels/math/learning_rate.hpp"

namespace ebm {

// Of a run, the same in every iteration.
struct StepRules {
  bool learns = true;  // false: the chains run and nothing else happens
  float learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
  float grad_norm_clip = 0;  // 0: off
  float ema = 0;
  std::int64_t warmup = 0, iterations = 0;
  int decay = 0;                // LearningRateDecay
  float target_acceptance = 0;  // 0: the step size stays
};

// What changes from iteration to iteration, beside parameters and chains.
struct TrainingClock {
  std::int64_t iteration = 0;  // done
  float step_size = 0;
  int stopped = 0;  // 1 after numbers that were not finite: nothing is done any more
  AdamStep adam{};  // of the iteration that is ending
  float gradient_scale = 1;
};

// Over the rows of a batch in the order of summation; the square over the parameters.
struct BatchSums {
  double energy_data = 0, energy_samples = 0, cross_entropy = 0;
  double gradient_square = 0;
};

struct IterationReport {
  std::int64_t iteration = 0;                                     // its number, from 0
  double energy_data = 0, energy_samples = 0, cross_entropy = 0;  // means
  double gradient_norm = 0;                                       // NaN: the run has stopped
  double step_size = 0;                                           // that it ran with
};

EBM_HD inline AdamStep adam_step(const StepRules& rules, std::int64_t iteration) {
  const double rate =
      learning_rate(static_cast<double>(rules.learning_rate), rules.warmup, rules.decay, iteration, rules.iterations);
  const auto t = static_cast<double>(iteration + 1);
  AdamStep step{};
  step.rate = static_cast<float>(rate);
  step.beta1 = rules.beta1;
  step.beta2 = rules.beta2;
  step.epsilon = rules.epsilon;
  step.correction1 = static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(rules.beta1), t)));
  step.correction2 = static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(rules.beta2), t)));
  step.decay = static_cast<float>(rate * static_cast<double>(rules.weight_decay));
  step.ema = static_cast<float>(ema_decay(static_cast<double>(rules.ema), iteration));
  return step;
}

// What a gradient of this norm is multiplied by.
EBM_HD inline float clip_scale(double norm, float limit) {
  const auto most = static_cast<double>(limit);
  return most > 0.0 && norm > most ? static_cast<float>(most / norm) : 1.0f;
}

// Towards the target by the share of proposals that were accepted.
EBM_HD inline float adapted_step_size(float step_size, std::uint64_t proposed, std::uint64_t accepted, float target) {
  if (target <= 0.0f || proposed == 0) return step_size;
  const double acceptance = static_cast<double>(accepted) / static_cast<double>(proposed);
  const double log_step =
      std::log(static_cast<double>(step_size)) + kStepSizeGain * (acceptance - static_cast<double>(target));
  const double next = std::exp(log_step);
  return static_cast<float>(next < kSmallestStepSize  ? kSmallestStepSize
                            : next > kLargestStepSize ? kLargestStepSize
                                                      : next);
}

// Ends an iteration of `batch` rows whose chains made `proposed` moves of their own. A sum that is not finite stops the
// run and leaves the rest of the clock as it was.
EBM_HD inline IterationReport conclude(const StepRules& rules, const BatchSums& sums, std::int64_t batch,
                                       std::uint64_t proposed, std::uint64_t accepted, TrainingClock& clock) {
  const auto count = static_cast<double>(batch);
  IterationReport report;
  report.iteration = clock.iteration;
  report.step_size = static_cast<double>(clock.step_size);
  if (rules.learns) {
    report.energy_data = sums.energy_data / count;
    report.energy_samples = sums.energy_samples / count;
    report.cross_entropy = sums.cross_entropy / count;
    report.gradient_norm = std::sqrt(sums.gradient_square);
    const double all = report.gradient_norm + report.energy_data + report.energy_samples;
    if (!(all - all == 0.0)) {  // infinite or NaN
      report.gradient_norm = all - all;
      clock.stopped = 1;
      return report;
    }
    clock.adam = adam_step(rules, clock.iteration);
    clock.gradient_scale = clip_scale(report.gradient_norm, rules.grad_norm_clip);
  }
  clock.step_size = adapted_step_size(clock.step_size, proposed, accepted, rules.target_acceptance);
  ++clock.iteration;
  return report;
}

}  // namespace ebm
