#include "tools/model_options.hpp"

#include "ebmcuda/checkpoint.hpp"

namespace ebm::tools {

Mlp load_model(const Console& console, const std::filesystem::path& path, const MlpReadOptions& options) {
  Mlp model = is_checkpoint(path) ? read_run(path).model : Mlp::load(path, options);
  const auto& notes = model.notes();
  if (const auto note = notes.find("unfinished"); note != notes.end()) {
    console.warn("{}: the model of an unfinished run, {}", path.string(), note->second);
  }
  if (const auto note = notes.find("diverged"); note != notes.end()) {
    console.warn("{}: its training diverged: {}", path.string(), note->second);
  }
  return model;
}

}  // namespace ebm::tools
