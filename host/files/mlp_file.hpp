// Mlp::load from any InputFile; tests and fuzzers read from memory.
#pragma once

#include "ebmcuda/mlp.hpp"
#include "host/files/input_file.hpp"

namespace ebm {

Mlp read_mlp(InputFile file, const MlpReadOptions& options = {});

}  // namespace ebm
