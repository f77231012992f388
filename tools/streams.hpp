// Standard output and standard error. A message that can't be written (a full or closed stderr, a vanished terminal) is
// dropped and work goes on; data that can't be written is an error.
#pragma once

#include <string_view>

#include "ebmcuda/matrix.hpp"

namespace ebm::tools {

// Before anything is opened: a closed standard stream is replaced by one that refuses every use, so that no output file
// takes its number, and a write to a closed pipe or beyond a limit is an error instead of the end.
void prepare_streams();

// For people, on stderr, unbuffered. Never fails.
void say(std::string_view text) noexcept;

// Data, on stdout, by the first rank. Throws WriteError: a full disk or a closed pipe is no success.
void print(std::string_view text);
// Comma-separated rows, numbers so that they read back to the same float. Throws WriteError.
void print_rows(MatrixView x);

}  // namespace ebm::tools
