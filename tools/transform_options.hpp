// --transform: which coordinates a new model lives in.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ebmcuda/transform.hpp"
#include "tools/console.hpp"
#include "tools/inputs.hpp"

namespace ebm::tools {

struct TransformOption {
  std::optional<std::string> name;  // auto or a TransformKind's
  std::optional<bool> standardize;  // --standardize: that kind; --no-standardize: none

  void add(CommandLine& line);
  // What was asked for by name; nothing for auto. Throws ConfigError when the two options contradict each other.
  std::optional<TransformKind> kind() const;
  // Fitted to the data, and what was chosen and why, on the console. Says when columns look like whole numbers and
  // nobody asked for --dequantize.
  Transform fit(const Data& data, float dequantize, std::uint64_t seed, bool clamped, const Console& console) const;
};

}  // namespace ebm::tools
