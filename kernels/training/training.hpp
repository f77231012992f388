// What a training iteration does beside running chains and differentiating: it gathers the data batch, judges the
// gradient, steps the parameters. Everything that changes from one iteration to the next is on the device, so that the
// host can queue iterations (or replay one captured graph) without waiting for any.
#pragma once

#include <cuda_runtime.h>

#include "kernels/chains/chains.hpp"
#include "kernels/energy/network.hpp"
#include "kernels/math/adam.hpp"

namespace ebm {

struct IterationRecord {
  std::int64_t iteration;
  double energy_data, energy_samples, gradient_norm, cross_entropy, step_size;
  ChainCounts chains;
};

// One per session, in device memory.
struct TrainingClock {
  std::int64_t iteration;  // done
  float step_size;
  int stopped;  // 1 after a gradient that was not finite: later launches do nothing
  AdamStep adam;
  float gradient_scale;  // of the norm clip
  ChainCounts counts;    // of the iteration under way
};

struct GatherView {
  const TrainingClock* clock;
  std::int64_t n_data, batch;
  int dim;
  const float* data;   // [n_data, D]
  const int* labels;   // [n_data] or null
  const float* width;  // [D] of the dequantisation noise, or null
  std::uint64_t seed;
  float* batch_x;     // [batch, D]
  int* batch_labels;  // [batch], with labels
};
// The iteration's data points, in a new order every epoch.
cudaError_t launch_gather(const GatherView& view, cudaStream_t stream);

struct JudgeView {
  TrainingClock* clock;
  std::uint64_t parameters;
  const float* gradient;
  std::int64_t batch;
  const float* energy;         // [2 batch]
  const float* cross_entropy;  // [batch] or null
  IterationRecord* ring;       // record of iteration t at t modulo ring_size
  std::int64_t ring_size;
  // Adam and schedule
  float learning_rate, beta1, beta2, epsilon, weight_decay, grad_norm_clip, ema;
  std::int64_t warmup, iterations;
  int decay;
  float target_acceptance;  // negative: the step size stays
};
// Norm of the gradient, means, the iteration's record, and the numbers of its Adam step; adapts the step size; counts
// the iteration, or stops the session when anything is not finite.
cudaError_t launch_judge(const JudgeView& view, cudaStream_t stream);

struct UpdateView {
  const TrainingClock* clock;
  NetworkView net;
  const float* gradient;
  float *parameters, *adam_m, *adam_v, *ema;  // ema null: off
  float* image;
};
// Adam, moving average and weight image, one thread a parameter.
cudaError_t launch_update(const UpdateView& view, cudaStream_t stream);

}  // namespace ebm
