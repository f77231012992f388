// The optimiser's learning-rate schedule, for both engines: linear warm-up from 0, then constant, cosine (Loshchilov
// and Hutter 2017, one period) or linear decay to 0 at iteration n.
#pragma once

#include "kernels/math/portable.hpp"

#if !defined(__CUDACC_RTC__)
#include <cmath>
#endif

namespace ebm {

// `decay` is the value of LearningRateDecay: 0 constant, 1 cosine, 2 linear. t from 0.
EBM_HD inline double learning_rate(double rate, std::int64_t warmup, int decay, std::int64_t t, std::int64_t n) {
  if (t < warmup) return rate * static_cast<double>(t + 1) / static_cast<double>(warmup + 1);
  if (decay == 0) return rate;
  const double share = n > warmup ? static_cast<double>(t - warmup) / static_cast<double>(n - warmup) : 0.0;
  if (share >= 1.0) return 0.0;
  return decay == 1 ? rate * 0.5 * (1.0 + cos(3.14159265358979323846 * share)) : rate * (1.0 - share);
}

}  // namespace ebm
