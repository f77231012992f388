// A training batch's chains as a set like any other: where training is tempered, with their replicas, and where they go
// the layered path.
#pragma once

#include <optional>

#include "host/cuda/layered.hpp"
#include "host/cuda/memory.hpp"
#include "host/cuda/mma.hpp"
#include "host/cuda/network.hpp"
#include "host/engine/engine.hpp"
#include "kernels/chains/chains.hpp"

namespace ebm::cuda {

class TrainingReplicas {
 public:
  // `chains` of the plan's batch run here. `layered` null: run() has another path.
  TrainingReplicas(std::shared_ptr<const Context> context, const Network& network, const TrainingPlan& plan,
                   std::int64_t chains, std::shared_ptr<const LayeredNetwork> layered);

  // Queues an iteration's chains: out of their slots, plan.n_steps transitions with their rounds of swaps, and back.
  // `chains` says where they come from, as launch_chains() has it; `mma` null: in fp32, layered or fused.
  void run(const ChainsView& chains, const StepView& step, MmaNetwork* mma, ChainCounts* counts, cudaStream_t stream);

 private:
  ChainsView working_set(const ChainsView& chains, bool known);

  std::shared_ptr<const Context> context_;
  NetworkView net_;
  std::int64_t n_steps_, swap_every_;
  int replicas_;
  bool tempered_;
  // Of every replica: [chains, replicas], positions and gradients [chains, replicas, D]. Energies, gradients and
  // inverse temperatures where training is tempered.
  DeviceArray<float> x_, energy_, gradient_, beta_;
  DeviceArray<std::uint64_t> ids_, steps_;
  DeviceArray<std::int64_t> places_;  // [chains]
  // One of the two, for chains in fp32:
  std::optional<OwnedPlan> plan_;
  std::optional<LayeredWork> layered_;
};

}  // namespace ebm::cuda
