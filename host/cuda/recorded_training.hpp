#pragma once

#include "host/cuda/context.hpp"
#include "host/cuda/gpu_ranks.hpp"
#include "host/engine/engine.hpp"

namespace ebm::cuda {

// Training that lives on the device. record() captures one iteration as a CUDA graph; run() replays it and reads the
// statistics from a ring, one stretch of iterations behind, so that the stream never waits for the host. With `ranks`
// the batch is shared out over them, who meet once an iteration, in conclude(); null: none.
std::unique_ptr<TrainingPrimitives> make_recorded_training(std::shared_ptr<const Context> context, Precision precision,
                                                           TrainingPlan plan, TrainingState start,
                                                           std::span<const float> data, std::span<const int> labels,
                                                           std::shared_ptr<GpuRanks> ranks);

}  // namespace ebm::cuda
