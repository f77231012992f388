// A training batch that ranks with a GPU each share out: kernels/training/shared_batch.hpp with its memory, and what
// host/cpu/shared_batch.hpp is for CPUs. Each has whole chunks of its rows, the same ones of the data and of the
// chains.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "host/cuda/gpu_ranks.hpp"
#include "host/cuda/memory.hpp"
#include "host/engine/engine.hpp"
#include "host/ranks/shares.hpp"
#include "kernels/training/shared_batch.hpp"

namespace ebm::cuda {

// Rows of a plan's batch that are this rank's; null: all of them.
BatchShare share_of_batch(const TrainingPlan& plan, const GpuRanks* ranks);

class SharedIteration {
 public:
  // What an iteration works on, on this rank's device.
  struct Memory {
    DeviceClock* device;
    const float *energy, *cross_entropy;  // of this rank's rows, data then samples; cross_entropy null: no labels
    float* buffer_x;
    std::uint64_t* buffer_steps;
    float* gradient;  // [parameters], of the whole batch
  };

  SharedIteration(std::shared_ptr<const Context> context, std::shared_ptr<GpuRanks> ranks, const TrainingPlan& plan,
                  bool labels, std::uint64_t parameters);

  // Chunks of each of this rank's nodes of the tree, and where their gradients go, [2][nodes][parameters].
  std::span<const std::size_t> nodes() const { return nodes_; }
  float* node_sums();

  // Queues the meeting of all ranks in an iteration: what each has done, to each. Statistics, buffer and, where it
  // learns, energies and gradient are then those of the whole batch.
  void exchange(const Memory& memory, bool learns, cudaStream_t stream);
  // Of the whole batch, after an exchange: data then samples; null without labels.
  const float* energy() const { return energy_.data(); }
  const float* cross_entropy() const { return cross_entropy_.data(); }

  // Waits for an event of the context's stream.
  void wait(const Event& event) { ranks_->wait(event); }

 private:
  std::shared_ptr<const Context> context_;
  std::shared_ptr<GpuRanks> ranks_;
  RankBlock block_{};
  std::vector<std::size_t> nodes_;
  std::int64_t batch_, kept_;
  std::uint64_t parameters_, capacity_, seed_;
  NodeTree tree_{};
  DeviceArray<unsigned char> blocks_;
  DeviceArray<std::int64_t> first_rows_, places_;
  DeviceArray<int2> pairs_;
  DeviceArray<float> energy_, cross_entropy_;
};

}  // namespace ebm::cuda
