// What a checkpoint of a training run holds, for those who do not go on with it (Trainer::resume does).
#pragma once

#include <cstdint>
#include <filesystem>

#include "ebmcuda/export.hpp"
#include "ebmcuda/mlp.hpp"
#include "ebmcuda/trainer.hpp"

namespace ebm {

struct EBMCUDA_API TrainingRun {
  TrainerOptions options;
  std::int64_t iteration = 0;  // done, of options.iterations
  Mlp model;                   // what Trainer::model() was when the checkpoint was written

  bool finished() const { return iteration >= options.iterations; }
};

// Whether the file calls itself a checkpoint; false for one that is missing or no safetensors file.
EBMCUDA_API bool is_checkpoint(const std::filesystem::path& path);
// Throws FormatError that names the tensor or key.
EBMCUDA_API TrainingRun read_run(const std::filesystem::path& path);

}  // namespace ebm
