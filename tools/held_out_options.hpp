// --held-out and what goes with it: points that training does not see, to judge it by.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "ebmcuda/trainer.hpp"
#include "tools/inputs.hpp"

namespace ebm::tools {

struct HeldOutSettings {
  std::optional<std::filesystem::path> file;
  std::optional<float> share;
  std::optional<KeptModel> keep;
  std::optional<std::int64_t> patience;

  void add(CommandLine& line);
  // Throws ConfigError for options that contradict each other.
  void check() const;
  // The held-out points: those of the file, or a share of `data`'s rows, which are taken out of it; no rows without
  // either. Which rows does not depend on --seed, so that runs with different seeds compare, and resumed ones agree.
  Matrix take(const DataOptions& source, const Console& console, Data* data) const;
};

}  // namespace ebm::tools
