// The MODEL argument, and how to read a PyTorch state dict that says nothing about itself.
#pragma once

#include <filesystem>

#include "ebmcuda/mlp.hpp"
#include "tools/command_line.hpp"

namespace ebm::tools {

struct ModelOptions {
  std::filesystem::path path;
  MlpReadOptions read;

  void add(CommandLine& line, bool required = true) {
    line.add("MODEL", path, "", "model file (.safetensors)");
    if (required) line.required();
  }
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
  Mlp load() const { return Mlp::load(path, read); }
};

}  // namespace ebm::tools
