// One parameter's Adam step (Kingma and Ba 2015, algorithm 1) with decoupled weight decay (Loshchilov and Hutter 2019),
// and its moving average, for both engines.
#pragma once

#include "kernels/math/portable.hpp"

#if !defined(__CUDACC_RTC__)
#include <cmath>
#endif

namespace ebm {

// The numbers of one iteration, the same for every parameter.
struct AdamStep {
  float rate, beta1, beta2, epsilon;
  float correction1, correction2;  // 1 / (1 - beta^t), t = iterations done + 1
  float decay;                     // rate * weight_decay
  float ema;                       // weight of the old average
};

// `decays`: weights do, biases don't.
EBM_HD inline void adam_update(const AdamStep& step, bool decays, float gradient, float& parameter, float& m,
                               float& v) {
  m = step.beta1 * m + (1.0f - step.beta1) * gradient;
  v = step.beta2 * v + (1.0f - step.beta2) * gradient * gradient;
  if (decays) parameter -= step.decay * parameter;
  parameter -= step.rate * (m * step.correction1) / (std::sqrt(v * step.correction2) + step.epsilon);
}

// In the form that leaves an average alone that has arrived.
EBM_HD inline void ema_update(const AdamStep& step, float parameter, float& average) {
  average += (1.0f - step.ema) * (parameter - average);
}

// The decay that iteration t (from 0) uses: short at first, so that the average forgets the start.
EBM_HD inline double ema_decay(double decay, std::int64_t t) {
  const double warm = static_cast<double>(t + 1) / static_cast<double>(t + 10);
  return decay < warm ? decay : warm;
}

// log step_size moves by this times (acceptance - target) after each training iteration.
constexpr double kStepSizeGain = 0.1;
constexpr double kSmallestStepSize = 1e-6, kLargestStepSize = 1e2;

}  // namespace ebm
