#include "ebmcuda/error.hpp"
#include "host/files/safetensors.hpp"
#include "tests/fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ebm;
  try {
    const SafetensorsReader reader(fuzz::input(data, size));
    std::uint64_t covered = 0;
    for (const TensorInfo& tensor : reader.tensors()) {
      fuzz::check(tensor.end >= tensor.begin && tensor.end <= size);
      covered += tensor.end - tensor.begin;
      if (tensor.dtype == Dtype::f32) fuzz::check(reader.read<float>(tensor).size() == tensor.count());
      if (tensor.dtype == Dtype::u64) fuzz::check(reader.read<std::uint64_t>(tensor).size() == tensor.count());
    }
    fuzz::check(covered + 8 <= size);
  } catch (const FormatError&) {
  }
  return 0;
}
