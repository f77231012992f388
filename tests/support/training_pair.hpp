// The same training run for the product and for the reference.
#pragma once

#include <span>
#include <vector>

#include "ebmcuda/trainer.hpp"
#include "reference/training.hpp"

namespace support {

// What Trainer(model, data, options, ..., labels) is to do, in double precision from the first iteration on.
ref::Training to_reference(const ebm::Mlp& model, ebm::MatrixView data, const ebm::TrainerOptions& options,
                           std::span<const int> labels = {});

// Options that start from the library's plainest: Langevin, persistent chains, constant rate, no average.
ebm::TrainerOptions plain_training(std::int64_t iterations, std::int64_t batch_size);

}  // namespace support
