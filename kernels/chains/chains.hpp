// Arguments of the chain kernels, in plain types, and their launchers. Everything is in model space.
#pragma once

#if !defined(__CUDACC_RTC__)
#include <cuda_runtime.h>
#endif

#include "kernels/energy/network.hpp"
#include "kernels/energy/plan.hpp"
// After portable.hpp, which has the integers where there is no standard library.
#include "ebmcuda/samplers/all.hpp"

namespace ebm {

struct ChainCounts {
  unsigned long long restarts, reinitialized;
  unsigned long long proposed[kMoves], accepted[kMoves];  // by Move
  unsigned long long swaps[2];                            // of replicas: proposed, accepted
};

// Transition (host/engine/engine.hpp) as plain numbers and pointers to the device.
struct StepView {
  SamplerKind kind;
  std::int64_t evaluations;  // of a transition; a chain's step number advances by as many
  float step_size;
  const float* adapted_step_size;  // on the device; null: step_size holds
  float own[4];                    // the sampler's own numbers
  float grad_clip;                 // infinity: off
  const float* clamp_lo;           // [D] or null
  const float* clamp_hi;
  const float* start_lo;  // where uniform starts and jumps go, [D] or null: +-3
  const float* start_hi;
  float jump_prob, difference_prob;
  const float* data;  // [n_data, D], for difference moves
  std::uint64_t n_data;
  float beta;  // for all chains, with a base: beta E + (1 - beta) E0
  BaseView base;
  LayerView base_layer;
};

// Where a launch's chains come from.
enum class ChainSource : int {
  set,  // row i: ids[i], steps[i], x[i]
  // Rows of a training batch, which begin at its row `first`:
  persistent,  // row i is the slot that iteration t draws for row first + i; id = slot
  data,        // id = t batch_rows + first + i, step 0, from row i of `batch`
  fresh,       // the same id, step 0, from the uniform start
};

// Words that hold a bit for each dimension, dimension 0's the lowest of the first.
EBM_HD constexpr int fixed_words(int dim) { return (dim + 31) / 32; }

struct ChainsView {
  ChainSource source;
  std::int64_t n;
  float* x;              // [n, D], or the replay buffer [capacity, D]
  std::uint64_t* steps;  // [n] or [capacity]
  const std::uint64_t* ids;
  std::uint8_t* restarted;  // [n] or null
  std::uint64_t seed;
  const float* beta;           // [n] inverse temperatures, or null: StepView::beta for all, temperature 1
  const std::uint32_t* fixed;  // [n, fixed_words(D)] a bit for each coordinate that stays, or null: none does
  // For sets that keep them, of the positions x, from launch to launch. All null otherwise; E0's without a base.
  bool known;            // whether they are up to date when a launch begins
  float* energy;         // [n] E
  float* base_energy;    // [n] E0
  float* gradient;       // [n, D] grad E
  float* base_gradient;  // [n, D] grad E0
  // Training only:
  std::int64_t first, batch_rows;  // 0 and n, unless these chains are a rank's share of the batch
  const std::int64_t* iteration;   // t, on the device
  const int* stopped;              // not 0: the run is over, do nothing
  std::uint64_t capacity;
  float reinit_prob;
  float* batch;  // [2 n, D]: data rows, then rows for the ends of these chains
};

#if !defined(__CUDACC_RTC__)
// Rows of D numbers per chain that a sampler asks for.
EBM_HD constexpr int rows_of(SamplerKind kind) {
  switch (kind) {
#define EBM_ROWS(name, type) \
  case SamplerKind::name:    \
    return type::Traits::kRows;
    EBM_SAMPLERS(EBM_ROWS)
#undef EBM_ROWS
  }
  return 0;
}

// Every chain to the uniform start of its step, in the start region of `step`.
cudaError_t launch_uniform_start(const ChainsView& chains, const StepView& step, int dim, cudaStream_t stream);
// n transitions of every chain, in one launch; the plan's layout has the rows that the sampler and the chains need.
cudaError_t launch_chains(const TilePlan& plan, const NetworkView& net, const ChainsView& chains, const StepView& step,
                          std::int64_t n, ChainCounts* counts, cudaStream_t stream);
#endif

}  // namespace ebm
