#include "ebmcuda/error.hpp"
#include "host/training/checkpoint.hpp"
#include "tests/fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ebm;
  try {
    const Checkpoint checkpoint = read_checkpoint(fuzz::input(data, size));
    fuzz::check(checkpoint.state.parameters.size() == checkpoint.model.shape().parameter_count());
  } catch (const FormatError&) {
  }
  return 0;
}
