// What a fuzzer gets, as a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "host/files/input_file.hpp"

namespace ebm::fuzz {

inline InputFile input(const std::uint8_t* data, std::size_t size) {
  return InputFile("fuzz", std::as_bytes(std::span(data, size)));
}

// Stops the fuzzer with a report: what a reader accepted must hold.
inline void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace ebm::fuzz
