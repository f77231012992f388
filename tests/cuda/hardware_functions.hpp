// The approximate functions of the kernels, tried on the device itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hardware {

struct FunctionError {
  std::string name;
  double of_bound = 0;  // the largest error over the bound that the source states; infinity where one was NaN
};

// Every `stride`-th of the 2^32 floats (those that are finite) and words, from 0; 1 tries them all. Throws
// std::runtime_error where CUDA fails.
std::vector<FunctionError> function_errors(std::uint64_t stride);

}  // namespace hardware
