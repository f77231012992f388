// The MODEL argument, and how to read a PyTorch state dict that says nothing about itself.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>

#include "ebmcuda/mlp.hpp"
#include "tools/options.hpp"

namespace ebm::tools {

struct ModelOptions {
  std::filesystem::path path;
  MlpReadOptions read;

  void add(CLI::App& app, bool required = true) {
    add_option(app, "MODEL", path, "", "model file (.safetensors)")->required(required);
    add_hints(app);
  }
  void add_hints(CLI::App& app) {
    constexpr const char* kGroup = "Reading a PyTorch state dict";
    const auto activation = [](std::string_view text, std::string_view option) {
      return parse_activation(text, option);
    };
    const auto head = [](std::string_view text, std::string_view option) { return parse_head(text, option); };
    add_choice(app, "--activation", read.activation, activation, "NAME", "its activation")->group(kGroup);
    add_choice(app, "--head", read.head, head, "NAME", "its head: scalar or logits")->group(kGroup);
    add_option(app, "--confinement", read.confinement, "K", "its confinement (default 0)")->group(kGroup);
  }
  Mlp load() const { return Mlp::load(path, read); }
};

}  // namespace ebm::tools
