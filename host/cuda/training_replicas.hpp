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
  // `plan` has inverse temperatures; `chains` of its batch run here.
  TrainingReplicas(std::shared_ptr<const Context> context, const Network& network, const TrainingPlan& plan,
                   std::int64_t chains);

  // Queues an iteration's chains: out of their slots, plan.n_steps transitions with their rounds of swaps, and back.
  // `chains` says where they come from, as launch_chains() has it; `mma` null: in fp32.
  void run(const ChainsView& chains, const StepView& step, MmaNetwork* mma, ChainCounts* counts, cudaStream_t stream);

 private:
  ChainsView working_set(const ChainsView& chains, bool known);

  std::shared_ptr<const Context> context_;
  NetworkView net_;
  std::int64_t n_steps_, swap_every_;
  int replicas_;
  // Of every replica: [chains, replicas], positions and gradients [chains, replicas, D].
  DeviceArray<float> x_, energy_, gradient_, beta_;
  DeviceArray<std::uint64_t> ids_, steps_;
  DeviceArray<std::int64_t> places_;  // [chains]
  OwnedPlan plan_;
};

}  // namespace ebm::cuda
