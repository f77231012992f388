// Which rows an iteration works on: the data point of a place in the batch, the slot of the replay buffer, and whether
// it starts afresh. Pure functions of seed and iteration, for all engines.
#pragma once

#include "kernels/math/permutation.hpp"

namespace ebm {

// Row i of the batch of iteration t is number t batch + i of all rows that a run visits. It is also the id of a chain
// that begins in this iteration and is not kept.
EBM_HD constexpr std::uint64_t batch_position(std::int64_t iteration, std::int64_t batch, std::uint64_t i) {
  return static_cast<std::uint64_t>(iteration) * static_cast<std::uint64_t>(batch) + i;
}

// Data is visited in a new keyed order every epoch (purpose 7). Keeps the order of the epoch asked for last.
class DataOrder {
 public:
  EBM_HD DataOrder(std::uint64_t seed, std::uint64_t n) : seed_(seed), n_(n) {}
  // Of n data points, the one at a position of the run.
  EBM_HD std::uint64_t row(std::uint64_t position) {
    const std::uint64_t epoch = position / n_;
    if (order_.n == 0 || epoch != epoch_) {
      order_ = Permutation::make(seed_, Purpose::data_order, epoch, n_);
      epoch_ = epoch;
    }
    return order_(position % n_);
  }

 private:
  std::uint64_t seed_, n_, epoch_ = 0;
  Permutation order_{};
};

// Words of the noise of dimensions 4 block .. of the point at a position (purpose 8): x + width u.
EBM_HD inline PhiloxWords dequantization_words(std::uint64_t seed, std::uint64_t position, std::uint32_t block) {
  return philox(seed, Purpose::data_noise, position, 0, block);
}

// Words of the Gaussian noise of the same dimensions (purpose 17): x + data_noise n.
EBM_HD inline PhiloxWords smoothing_words(std::uint64_t seed, std::uint64_t position, std::uint32_t block) {
  return philox(seed, Purpose::data_smoothing, position, 0, block);
}

// The slots that an iteration draws, the i-th for row i of the batch: distinct, so that writing back needs no lock.
EBM_HD inline Permutation slot_draw(std::uint64_t seed, std::int64_t iteration, std::uint64_t capacity) {
  return Permutation::make(seed, Purpose::replay_slot, static_cast<std::uint64_t>(iteration), capacity);
}

// Row of the buffer that holds replica r of a slot's chain.
EBM_HD constexpr std::uint64_t slot_row(std::uint64_t slot, std::int64_t replicas, std::int64_t r = 0) {
  return slot * static_cast<std::uint64_t>(replicas) + static_cast<std::uint64_t>(r);
}

// Whether a drawn slot, whose next step is `step`, starts afresh.
EBM_HD inline bool starts_afresh(std::uint64_t seed, std::uint64_t slot, std::uint64_t step, float reinit_prob) {
  return unit_float(philox(seed, Purpose::reinitialization, slot, step, 0).r0) < reinit_prob;
}

}  // namespace ebm
