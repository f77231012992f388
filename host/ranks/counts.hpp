// What ranks have counted, added up.
#pragma once

#include "ebmcuda/communicator.hpp"
#include "ebmcuda/sampler.hpp"

namespace ebm {

ChainStats sum_over(const Communicator& ranks, const ChainStats& mine);
// With rank 0's ladder.
ReplicaStats sum_over(const Communicator& ranks, const ReplicaStats& mine);

}  // namespace ebm
