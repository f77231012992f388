// The MODEL argument: a model, a checkpoint's, or a PyTorch state dict, and how to read one that says nothing about
// itself.
#pragma once

#include <filesystem>
#include <vector>

#include "ebmcuda/mlp.hpp"
#include "tools/command_line.hpp"
#include "tools/console.hpp"

namespace ebm::tools {

// Of a model file, a PyTorch state dict, or the checkpoint of a training run. Warns about a model that is unfinished or
// whose training diverged. Throws as Mlp::load.
Mlp load_model(const Console& console, const std::filesystem::path& path, const MlpReadOptions& options);

struct ModelOptions {
  std::filesystem::path path;
  std::vector<std::filesystem::path> others = {};  // members of an ensemble beside the first
  MlpReadOptions read;

  void add(CommandLine& line, bool required = true) {
    line.add("MODEL", path, "", "model file (.safetensors), or a checkpoint of a run");
    if (required) line.required();
  }
  // For commands that take several models: words after the first MODEL, but for the last where that is DATA.
  void take_several(CommandLine& line, std::filesystem::path* data = nullptr);
  std::vector<std::filesystem::path> paths() const;
  // Added after a command's own options, under a heading of their own.
  void add_hints(CommandLine& line) {
    line.group("Reading a PyTorch state dict");
    const auto activation = [](std::string_view text, std::string_view option) {
      return parse_activation(text, option);
    };
    const auto head = [](std::string_view text, std::string_view option) { return parse_head(text, option); };
    line.add_choice("--activation", read.activation, activation, "its activation");
    line.add_choice("--head", read.head, head, "its head: scalar or logits (default scalar for one output)");
    line.add("--confinement", read.confinement, "K", "its confinement (default 0)");
  }
  Mlp load(const Console& console) const { return load_model(console, path, read); }
  // Throws ConfigError for models of different D.
  std::vector<Mlp> load_all(const Console& console) const;
};

}  // namespace ebm::tools
