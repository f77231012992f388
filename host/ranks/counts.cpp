#include "host/ranks/counts.hpp"

#include <algorithm>

namespace ebm {

ChainStats sum_over(const Communicator& ranks, const ChainStats& mine) {
  ChainStats sum;
  for (const ChainStats& part : ranks.gather_value("counts of chains", mine)) sum += part;
  return sum;
}

ReplicaStats sum_over(const Communicator& ranks, const ReplicaStats& mine) {
  ReplicaStats sum;
  for (const auto& swaps : ranks.gather("swaps of replicas", std::span<const MoveCount>(mine.swaps))) {
    sum.swaps.resize(std::max(sum.swaps.size(), swaps.size()));
    for (std::size_t r = 0; r < swaps.size(); ++r) {
      sum.swaps[r].proposed += swaps[r].proposed;
      sum.swaps[r].accepted += swaps[r].accepted;
    }
  }
  for (const auto trips : ranks.gather_value("round trips", mine.round_trips)) sum.round_trips += trips;
  sum.inverse_temperatures = ranks.gather("ladder", std::span<const float>(mine.inverse_temperatures)).front();
  return sum;
}

}  // namespace ebm
