// Ranks with a GPU each (ebmcuda/communicator.hpp), joined by NCCL where they train together.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "ebmcuda/communicator.hpp"
#include "host/cuda/context.hpp"

namespace ebm::cuda {

// ConfigError on all ranks where two of them have the same GPU.
void require_own_gpus(const Communicator& ranks, int ordinal);

// Work on the context's stream that waits for that of the other ranks. The host never waits in CUDA for such work: it
// looks whether it is done, and meanwhile hears of the others (await), so that one that fails or ends is noticed. Then
// what is queued is given up, and with it this object.
class GpuRanks {
 public:
  // Made by all ranks together. Throws ConfigError on all of them where one has no NCCL or another version of it,
  // DeviceError, RankError.
  GpuRanks(std::shared_ptr<const Context> context, Communicator ranks);
  ~GpuRanks();
  GpuRanks(const GpuRanks&) = delete;
  GpuRanks& operator=(const GpuRanks&) = delete;

  const Communicator& ranks() const noexcept { return ranks_; }
  // Queues that all ranks get what each has at its own place of `blocks`, [ranks][bytes]. Bytes are moved; nothing is
  // added.
  void all_gather(unsigned char* blocks, std::size_t bytes, cudaStream_t stream);
  // Waits for an event of the context's stream. Throws RankError, DeviceError.
  void wait(const Event& event);

 private:
  struct Joined;

  void abort() noexcept;

  std::shared_ptr<const Context> context_;
  Communicator ranks_;
  std::unique_ptr<Joined> joined_;  // null: given up
};

}  // namespace ebm::cuda
