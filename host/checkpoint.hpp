// Everything a training run needs to go on, in one safetensors file. Layout: docs/files.md.
#pragma once

#include <cstdint>
#include <filesystem>

#include "ebmcuda/trainer.hpp"
#include "host/engine.hpp"

namespace ebm {

struct Checkpoint {
  Mlp model;  // shape and standardisation; the raw parameters are in `state`
  TrainerOptions options;
  TrainingState state;
  ChainStats since_log;           // statistics not yet reported to a progress callback
  std::uint64_t fingerprint = 0;  // of the training data and labels
};

// Atomic: beside, synced, renamed. Throws WriteError.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);
// Throws FormatError that names the tensor or key.
Checkpoint read_checkpoint(const std::filesystem::path& path);

}  // namespace ebm
