#include "tools/saved_log_z.hpp"

#include <fmt/format.h>

#include "ebmcuda/checkpoint.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"
#include "tools/errors.hpp"

namespace ebm::tools {

void claim_log_z(const std::filesystem::path& path, Outputs* outputs) {
  const auto metadata = describe_safetensors(path).metadata;
  const auto format = metadata.find("format");
  if (is_checkpoint(path) || format == metadata.end() || format->second != "ebmcuda") {
    throw ConfigError("--save-log-z", path.string(),
                      fmt::format("is {}: log Z is kept in a model file, which ebm export makes of it",
                                  is_checkpoint(path) ? "a checkpoint" : "a state dict"));
  }
  outputs->claim("--save-log-z", path);
}

void save_log_z(const std::filesystem::path& path, const Mlp& evaluated, const KnownLogZ& log_z) {
  Mlp model = evaluated;
  note_log_z(model, log_z);
  Mlp now = Mlp::load(path);
  note_log_z(now, log_z);
  // Evaluating takes minutes, in which a training may have put another model there. The notes have its fingerprint.
  if (now.notes() != model.notes()) {
    throw Failure(fmt::format("{} was changed while it was evaluated: log Z is not saved", path.string()));
  }
  model.save(path);
}

}  // namespace ebm::tools
