// What a build is, apart from what it finds on a machine.
#pragma once

#include <string>
#include <vector>

namespace ebm {

// "version 0.2.0", "cuda on", "mpi off".
std::vector<std::string> build_options();

}  // namespace ebm
