// Which chain a thread serves, where it comes from, and what happened to it: for every chain kernel.
#pragma once

#include "kernels/chains/chains.hpp"
#include "kernels/math/normal.hpp"
#include "kernels/math/permutation.hpp"

namespace ebm {

// Per thread; only one of a chain's threads counts. A launch's transitions are fewer than 2^32.
struct Counter {
  unsigned restarts = 0, reinitialized = 0;
  unsigned proposed[kMoves] = {}, accepted[kMoves] = {};

  __device__ void count(Move move, bool was_proposed, bool was_accepted) {
    proposed[static_cast<int>(move)] += was_proposed;
    accepted[static_cast<int>(move)] += was_proposed && was_accepted;
  }
};

// Adds a warp's counts of one kind to *total. Called by the whole warp.
__device__ inline void add_count(unsigned own, unsigned long long* total) {
  // In two halves, whose sums over 32 threads fit. Whole numbers: the order of addition is free.
  const unsigned low = __reduce_add_sync(0xFFFFFFFFu, own & 0xFFFFu);
  const unsigned high = __reduce_add_sync(0xFFFFFFFFu, own >> 16);
  const unsigned long long sum = (static_cast<unsigned long long>(high) << 16) + low;
  if (threadIdx.x % 32 == 0 && sum != 0) atomicAdd(total, sum);
}

__device__ inline void add_counts(const Counter& own, ChainCounts* total) {
  add_count(own.restarts, &total->restarts);
  add_count(own.reinitialized, &total->reinitialized);
#pragma unroll
  for (int i = 0; i < kMoves; ++i) {
    add_count(own.proposed[i], &total->proposed[i]);
    add_count(own.accepted[i], &total->accepted[i]);
  }
}

// One chain as its threads know it.
struct Chain {
  bool exists;
  std::uint64_t id, step;
  std::int64_t row;  // in ChainsView::x
  bool fresh;        // begins at the uniform start
  bool reinitialized;
};

__device__ inline Chain open_chain(const ChainsView& chains, std::int64_t index) {
  Chain chain{index < chains.n, 0, 0, index, false, false};
  if (!chain.exists) return chain;
  switch (chains.source) {
    case ChainSource::set:
      chain.id = chains.ids[index];
      chain.step = chains.steps[index];
      break;
    case ChainSource::persistent: {
      const auto slots = Permutation::make(chains.seed, Purpose::replay_slot,
                                           static_cast<std::uint64_t>(*chains.iteration), chains.capacity);
      const std::uint64_t slot = slots(static_cast<std::uint64_t>(chains.first + index));
      chain.id = slot;
      chain.row = static_cast<std::int64_t>(slot);
      chain.step = chains.steps[slot];
      const PhiloxWords w = philox(chains.seed, Purpose::reinitialization, slot, chain.step, 0);
      chain.fresh = chain.reinitialized = unit_float(w.r0) < chains.reinit_prob;
      break;
    }
    case ChainSource::data:
    case ChainSource::fresh:
      chain.id = static_cast<std::uint64_t>(*chains.iteration * chains.batch_rows + chains.first + index);
      chain.fresh = chains.source == ChainSource::fresh;
      break;
  }
  return chain;
}

// Of a chain with fixed coordinates, which of dimensions 4 b .. 4 b + 3 < D they are: bits 0 .. 3.
__device__ inline unsigned fixed_in_block(const ChainsView& chains, const Chain& chain, int dim, int b) {
  if (!chain.exists) return 0;
  return chains.fixed[chain.row * fixed_words(dim) + b / 8] >> (4 * (b % 8)) & 0xFu;
}

__device__ inline float step_size_of(const StepView& step) {
  return step.adapted_step_size != nullptr ? *step.adapted_step_size : step.step_size;
}

// Dimension d of the uniform start; without a region the bits of uniform_start().
__device__ inline float start_position(const StepView& step, int d, std::uint32_t word) {
  float lo = -kStartRadius, hi = kStartRadius;
  if (step.start_lo != nullptr) {
    lo = step.start_lo[d];
    hi = step.start_hi[d];
  }
  return fminf(fmaf(hi - lo, unit_float(word), lo), hi);
}
// Whether v is outside the region that jumps go to.
__device__ inline bool outside_start_region(const StepView& step, int d, float v) {
  return step.start_lo == nullptr ? fabsf(v) > kStartRadius : v < step.start_lo[d] || v > step.start_hi[d];
}

}  // namespace ebm
