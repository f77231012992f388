// Small helpers that every option check uses, so that messages read alike: "step_size = -1: must be > 0".
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <string_view>

#include "ebmcuda/error.hpp"

namespace ebm {

template <class Value>
[[noreturn]] void reject(std::string_view field, const Value& value, std::string_view allowed) {
  throw ConfigError(std::string(field), fmt::format("{}", value), std::string(allowed));
}

// NaN fails every comparison, so the conditions below are written to be true for good values only.
template <class Value>
void require(bool good, std::string_view field, const Value& value, std::string_view allowed) {
  if (!good) reject(field, value, allowed);
}

inline void require_positive(std::string_view field, double value) {
  require(std::isfinite(value) && value > 0, field, value, "must be finite and > 0");
}
inline void require_non_negative(std::string_view field, double value) {
  require(std::isfinite(value) && value >= 0, field, value, "must be finite and >= 0");
}
inline void require_probability(std::string_view field, double value) {
  require(value >= 0 && value <= 1, field, value, "must be in [0, 1]");
}

}  // namespace ebm
