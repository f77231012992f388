#include "tools/model_options.hpp"

#include <fmt/format.h>

#include "ebmcuda/checkpoint.hpp"
#include "ebmcuda/error.hpp"

namespace ebm::tools {

void ModelOptions::take_several(CommandLine& line, std::filesystem::path* data) {
  line.take_extras([this, data](const std::vector<std::string>& words) {
    if (data != nullptr) others.push_back(*data);
    others.insert(others.end(), words.begin(), words.end());
    if (data == nullptr) return;
    *data = others.back();
    others.pop_back();
  });
}

std::vector<std::filesystem::path> ModelOptions::paths() const {
  std::vector<std::filesystem::path> all{path};
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

std::vector<Mlp> ModelOptions::load_all(const Console& console) const {
  std::vector<Mlp> models;
  for (const std::filesystem::path& each : paths()) {
    models.push_back(load_model(console, each, read));
    if (models.back().dim() != models.front().dim()) {
      throw ConfigError("MODEL", each.string(),
                        fmt::format("has D = {}; models of one density have the first one's D = {}",
                                    models.back().dim(), models.front().dim()));
    }
  }
  return models;
}

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
