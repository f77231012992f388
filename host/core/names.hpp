// Enumerators by name: one table per enum serves both directions and the error message.
#pragma once

#include <fmt/format.h>

#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "host/core/check.hpp"

namespace ebm {

template <class Enum>
struct Name {
  Enum value;
  std::string_view name;
};

template <class Enum>
std::string_view name_of(std::type_identity_t<std::span<const Name<Enum>>> names, Enum value) {
  for (const auto& entry : names) {
    if (entry.value == value) return entry.name;
  }
  return "?";
}

template <class Enum>
Enum parse_name(std::type_identity_t<std::span<const Name<Enum>>> names, std::string_view name,
                std::string_view field) {
  std::string allowed = "must be one of";
  for (const auto& entry : names) {
    if (entry.name == name) return entry.value;
    allowed += fmt::format(" {}", entry.name);
  }
  reject(field, name, allowed);
}

}  // namespace ebm
