#include "ebmcuda/error.hpp"
#include "host/files/npy.hpp"
#include "tests/fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ebm;
  const InputFile file = fuzz::input(data, size);
  try {
    const Matrix matrix = read_npy_matrix(file);
    fuzz::check(matrix.rows() > 0 && matrix.cols() > 0 && matrix.values().size() <= size);
  } catch (const FormatError&) {
  }
  try {
    fuzz::check(read_npy_labels(file).size() <= size);
  } catch (const FormatError&) {
  }
  return 0;
}
