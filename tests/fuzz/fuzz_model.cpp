#include "ebmcuda/error.hpp"
#include "host/files/mlp_file.hpp"
#include "tests/fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ebm;
  try {
    const MlpReadOptions options = {.activation = Activation::silu, .head = Head::scalar, .confinement = 0.0f};
    const Mlp model = read_mlp(fuzz::input(data, size), options);
    model.shape().validate();  // throws ConfigError, which nothing here catches
    fuzz::check(model.parameters().size() == model.shape().parameter_count());
  } catch (const FormatError&) {
  }
  return 0;
}
