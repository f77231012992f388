// Which chain a thread serves, where it comes from, and what happened to it: for every chain kernel.
#pragma once

#include "kernels/chains/chains.hpp"
#include "kernels/math/normal.hpp"
#include "kernels/math/permutation.hpp"

namespace ebm {

struct Counter {  // per thread; only part 0 of a chain counts
  unsigned restarts = 0, reinitialized = 0, proposed = 0, accepted = 0, jumps_proposed = 0, jumps_accepted = 0,
           differences_proposed = 0, differences_accepted = 0;
};

__device__ inline void add_counts(const Counter& own, ChainCounts* total) {
  const unsigned values[8] = {own.restarts,
                              own.reinitialized,
                              own.proposed,
                              own.accepted,
                              own.jumps_proposed,
                              own.jumps_accepted,
                              own.differences_proposed,
                              own.differences_accepted};
  auto* out = reinterpret_cast<unsigned long long*>(total);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    // Whole numbers: the order of addition is free.
    const unsigned sum = __reduce_add_sync(0xFFFFFFFFu, values[i]);
    if (threadIdx.x % 32 == 0 && sum != 0) atomicAdd(out + i, static_cast<unsigned long long>(sum));
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
      const std::uint64_t slot = slots(static_cast<std::uint64_t>(index));
      chain.id = slot;
      chain.row = static_cast<std::int64_t>(slot);
      chain.step = chains.steps[slot];
      const PhiloxWords w = philox(chains.seed, Purpose::reinitialization, slot, chain.step, 0);
      chain.fresh = chain.reinitialized = unit_float(w.r0) < chains.reinit_prob;
      break;
    }
    case ChainSource::data:
    case ChainSource::fresh:
      chain.id = static_cast<std::uint64_t>(*chains.iteration * chains.n + index);
      chain.fresh = chains.source == ChainSource::fresh;
      break;
  }
  return chain;
}

__device__ inline float step_size_of(const StepView& step) {
  return step.adapted_step_size != nullptr ? *step.adapted_step_size : step.step_size;
}

}  // namespace ebm
