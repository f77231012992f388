#include "ebmcuda/error.hpp"
#include "host/files/npy.hpp"
#include "host/files/npz.hpp"
#include "tests/fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ebm;
  const InputFile file = fuzz::input(data, size);
  for (const char* name : {"", "x"}) {
    try {
      const std::string member = find_npz_array(file, name);
      TableOptions options;
      options.finite = false;
      const Matrix matrix = read_table(NpySource(file, [&] { return open_npz_array(file, member); }), options).x;
      // deflate expands 1032 times at most, and one byte becomes one float.
      fuzz::check(matrix.rows() > 0 && matrix.cols() > 0 && matrix.values().size() <= 1032 * size);
    } catch (const FormatError&) {
    }
  }
  return 0;
}
