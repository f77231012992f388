// What a training iteration does on a GPU beside running chains and differentiating: it gathers the data batch,
// concludes, steps the parameters. Everything that changes from one iteration to the next is on the device, so that the
// host can queue iterations (or replay one captured graph) without waiting for any.
#pragma once

#include <cuda_runtime.h>

#include "kernels/chains/chains.hpp"
#include "kernels/energy/network.hpp"
#include "kernels/training/conclusion.hpp"

namespace ebm {

struct IterationRecord {
  IterationReport report;
  ChainCounts chains;
};

// One per session, in device memory.
struct DeviceClock {
  TrainingClock clock;
  ChainCounts counts;  // of the iteration under way
};

struct GatherView {
  const TrainingClock* clock;
  std::int64_t n_data, batch;      // rows to gather
  std::int64_t first, batch_rows;  // 0 and batch, unless these rows are a rank's share, from row `first` on
  int dim;
  const float* data;   // [n_data, D]
  const int* labels;   // [n_data] or null
  const float* width;  // [D] of the dequantisation noise, or null
  float data_noise;    // standard deviation of the Gaussian noise; 0: none
  std::uint64_t seed;
  float* batch_x;     // [batch, D]
  int* batch_labels;  // [batch], with labels
};
// The iteration's data points.
cudaError_t launch_gather(const GatherView& view, cudaStream_t stream);

// Blocks that sum the gradient's squares, kNormTerms each.
constexpr int kNormTerms = 4096;
EBM_HD constexpr std::uint64_t norm_blocks(std::uint64_t parameters) {
  return (parameters + kNormTerms - 1) / kNormTerms;
}

struct ConcludeView {
  DeviceClock* device;
  StepRules rules;
  std::int64_t batch;
  const float* energy;         // [2 batch]: data, then samples
  const float* cross_entropy;  // [batch] or null
  const float* gradient;       // [parameters]
  std::uint64_t parameters;
  double* squares;        // [norm_blocks(parameters)], scratch
  IterationRecord* ring;  // record of iteration t at t modulo ring_size
  std::int64_t ring_size;
};
// Sums, then conclude() of conclusion.hpp, and the iteration's record.
cudaError_t launch_conclude(const ConcludeView& view, cudaStream_t stream);

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
