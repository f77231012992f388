#pragma once

#include <memory>

#include "host/cpu/thread_pool.hpp"
#include "host/engine/engine.hpp"

namespace ebm::cpu {

std::unique_ptr<TrainingPrimitives> make_training_loops(TrainingPlan plan, TrainingState start,
                                                        std::span<const float> data, std::span<const int> labels,
                                                        std::shared_ptr<ThreadPool> pool, Communicator ranks);

}  // namespace ebm::cpu
