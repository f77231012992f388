// ebm evaluate --save-log-z: log Z in the model's own file.
#pragma once

#include <filesystem>

#include "ebmcuda/known_log_z.hpp"
#include "tools/outputs.hpp"

namespace ebm::tools {

// Before any work: ConfigError unless `path` is a model file of ours that can be replaced.
void claim_log_z(const std::filesystem::path& path, Outputs* outputs);

// Puts log Z into the file, which is replaced as a whole. Throws Failure when it no longer holds the model that was
// evaluated, and WriteError.
void save_log_z(const std::filesystem::path& path, const Mlp& evaluated, const KnownLogZ& log_z);

}  // namespace ebm::tools
