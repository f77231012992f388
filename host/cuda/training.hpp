#pragma once

#include "host/cuda/context.hpp"
#include "host/engine/engine.hpp"

namespace ebm {

// A training run that lives on the device. One iteration is captured as a CUDA graph; run() replays it and reads the
// statistics from a ring, one stretch of iterations behind, so that the stream never waits for the host.
std::unique_ptr<TrainingSession> make_cuda_training_session(std::shared_ptr<const Context> context, Precision precision,
                                                            TrainingPlan plan, TrainingState start,
                                                            std::span<const float> data, std::span<const int> labels);

}  // namespace ebm
