// Arguments of the chain kernels, in plain types, and their launchers. Everything is in model space.
#pragma once

#if !defined(__CUDACC_RTC__)
#include <cuda_runtime.h>
#endif

#include "kernels/energy/network.hpp"
#include "kernels/energy/plan.hpp"

namespace ebm {

struct ChainCounts {
  unsigned long long restarts, reinitialized;
  unsigned long long proposed, accepted;
  unsigned long long jumps_proposed, jumps_accepted;
  unsigned long long differences_proposed, differences_accepted;
};

struct StepView {
  bool mala;
  float step_size;
  const float* adapted_step_size;  // on the device; null: step_size holds
  float noise_scale;               // Langevin
  float grad_clip;                 // infinity: off
  const float* clamp_lo;           // [D] or null
  const float* clamp_hi;
  float jump_prob, difference_prob;
  const float* data;  // [n_data, D], for difference moves
  std::uint64_t n_data;
  float beta;
  BaseView base;
  LayerView base_layer;
};

// Where a launch's chains come from.
enum class ChainSource : int {
  set,         // row i: ids[i], steps[i], x[i]
  persistent,  // row i is the slot that iteration t draws as its i-th; id = slot
  data,        // id = t n + i, step 0, from batch row i
  fresh,       // id = t n + i, step 0, from the uniform start
};

struct ChainsView {
  ChainSource source;
  std::int64_t n;
  float* x;              // [n, D], or the replay buffer [capacity, D]
  std::uint64_t* steps;  // [n] or [capacity]
  const std::uint64_t* ids;
  std::uint8_t* restarted;  // [n] or null
  std::uint64_t seed;
  // Training only:
  const std::int64_t* iteration;  // t, on the device
  const int* stopped;             // not 0: the run is over, do nothing
  std::uint64_t capacity;
  float reinit_prob;
  float* batch;  // [2 n, D]: data rows, then rows for the ends of these chains
};

#if !defined(__CUDACC_RTC__)
// Every chain to the uniform start of its step.
cudaError_t launch_uniform_start(const ChainsView& chains, int dim, cudaStream_t stream);
// n_steps of the transition for every chain, in one launch.
cudaError_t launch_chains(const TilePlan& plan, const NetworkView& net, const ChainsView& chains, const StepView& step,
                          std::int64_t n_steps, ChainCounts* counts, cudaStream_t stream);
#endif

}  // namespace ebm
