// Everything a training run needs to go on, in one safetensors file. Layout: docs/files.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "ebmcuda/trainer.hpp"
#include "host/engine/engine.hpp"
#include "host/files/input_file.hpp"
#include "host/training/held_out.hpp"

namespace ebm {

struct Checkpoint {
  Mlp model;  // shape and standardisation; the raw parameters are in `state`
  TrainerOptions options;
  TrainingState state;
  ChainStats since_log;           // statistics not yet reported to a progress callback
  std::uint64_t fingerprint = 0;  // of the training data and labels
  int rollbacks = 0;              // so far
  std::string diverged{};         // signs at the last report, or empty
  // Where a divergence returns to; unset: `state` itself, or never.
  std::optional<TrainingState> good{};
  HeldOutState held_out{};
};

// Atomic: beside, synced, renamed. Throws WriteError, also for a state that could not be resumed (a NaN), so that it
// never takes the place of a good checkpoint.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);
// Throws FormatError that names the tensor or key. The options' ranges are left to TrainerOptions::validate, which
// needs the data's size.
Checkpoint read_checkpoint(const std::filesystem::path& path);
Checkpoint read_checkpoint(InputFile file);

}  // namespace ebm
