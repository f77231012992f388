// The replicas of a training batch's chains, where training is tempered.
#pragma once

#include "host/cuda/memory.hpp"
#include "host/cuda/mma.hpp"
#include "host/cuda/network.hpp"
#include "host/engine/engine.hpp"
#include "kernels/chains/chains.hpp"

namespace ebm::cuda {

class TrainingReplicas {
 public:
  // `plan` has inverse temperatures.
  TrainingReplicas(std::shared_ptr<const Context> context, const Network& network, const TrainingPlan& plan);

  // Queues an iteration's chains: out of their slots, plan.n_steps transitions with their rounds of swaps, and back.
  // `chains` says where they come from, as launch_chains() has it; `mma` null: in fp32.
  void run(const ChainsView& chains, const StepView& step, MmaNetwork* mma, ChainCounts* counts, cudaStream_t stream);

 private:
  ChainsView working_set(const ChainsView& chains, bool known);

  std::shared_ptr<const Context> context_;
  NetworkView net_;
  std::int64_t n_steps_, swap_every_;
  int replicas_;
  // Of every replica of the batch: [batch, replicas], positions and gradients [batch, replicas, D].
  DeviceArray<float> x_, energy_, gradient_, beta_;
  DeviceArray<std::uint64_t> ids_, steps_;
  DeviceArray<std::int64_t> places_;  // [batch]
  OwnedPlan plan_;
};

}  // namespace ebm::cuda
