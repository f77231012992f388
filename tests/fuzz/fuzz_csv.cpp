#include "ebmcuda/error.hpp"
#include "host/files/csv.hpp"
#include "tests/fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ebm;
  const InputFile file = fuzz::input(data, size);
  try {
    const Matrix matrix = read_csv_matrix(file);
    fuzz::check(matrix.rows() > 0 && matrix.cols() > 0 && matrix.values().size() == matrix.rows() * matrix.cols());
  } catch (const FormatError&) {
  }
  try {
    fuzz::check(!read_csv_labels(file).empty());
  } catch (const FormatError&) {
  }
  return 0;
}
