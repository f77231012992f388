// Chains of the layered path (host/cuda/layered.hpp): what happens to a chunk of them between two evaluations, which
// are other kernels'. For n transitions of L evaluations each, n L = total, the host queues
//
//   open,  stage(0), evaluate, stage(1), ... evaluate, stage(total),  close
//
// where stage(e) does all that a sampler does after evaluation e - 1 and before evaluation e, and evaluate takes
// row evaluated_row() to row gradient_row(). A Metropolis-adjusted run whose chains have kept nothing begins with
// stage(-2): its first two evaluations look where the chains stand.
#pragma once

#include "kernels/chains/chains.hpp"
#include "kernels/chains/rows.hpp"

namespace ebm {

struct LayeredChunk {
  ChainsView chains;  // source: set
  StepView step;
  int dim;
  std::int64_t first, count;  // the set's chains first .. first + count - 1
  std::int64_t transitions;   // n
  std::int64_t stride;        // floats from a row's matrix to the next: a chunk's chains times padded(dim)
  float* rows;                // the sampler's, each a matrix [a chunk's chains, padded(dim)]
  // Of the last evaluation:
  const float* energy;         // [count]
  const float* base_energy;    // with a base
  const float* own_gradient;   // of E, where evaluations go there: see gradient_row()
  const float* base_gradient;  // with a base
  void* states;                // kStateBytes for each chain: what a run carries from stage to stage
  ChainCounts* counts;

  float* row(int number) const { return rows + number * stride; }
};
constexpr std::size_t kStateBytes = 64;

constexpr int evaluated_row(bool metropolis) { return metropolis ? kProposal : kX; }
// Where the gradient of E goes: -1: to own_gradient, because the target is not E or because E's is kept.
inline int gradient_row(bool metropolis, const ChainsView& chains, const StepView& step) {
  if (!metropolis) return kGradient;
  return chains.energy != nullptr || chains.beta != nullptr || step.base.root != nullptr ? -1 : kProposalGradient;
}
EBM_HD constexpr bool is_metropolis_kind(SamplerKind kind) {
  switch (kind) {
#define EBM_METROPOLIS(name, type) \
  case SamplerKind::name:          \
    return type::Traits::kMetropolis;
    EBM_SAMPLERS(EBM_METROPOLIS)
#undef EBM_METROPOLIS
  }
  return false;
}

// Positions to row kX.
cudaError_t launch_open_chunk(const LayeredChunk& chunk, cudaStream_t stream);
cudaError_t launch_stage(const LayeredChunk& chunk, std::int64_t evaluation, cudaStream_t stream);
// Row kX to the positions; step numbers advance.
cudaError_t launch_close_chunk(const LayeredChunk& chunk, cudaStream_t stream);

}  // namespace ebm
