// What a call refuses.
#pragma once

#include <functional>
#include <string>

#include "ebmcuda/error.hpp"

namespace support {

// The field that the call's ConfigError names; "(accepted)" when it throws none.
inline std::string field_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const ebm::ConfigError& error) {
    return error.field();
  }
  return "(accepted)";
}

}  // namespace support
