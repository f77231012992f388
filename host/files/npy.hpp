// NumPy's .npy format (numpy/lib/format.py): versions 1.0, 2.0 and 3.0 are read, 1.0 is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "ebmcuda/matrix.hpp"
#include "host/files/byte_stream.hpp"
#include "host/files/table_source.hpp"

namespace ebm {

enum class NpyType { b1, i1, i2, i4, i8, u1, u2, u4, u8, f2, f4, f8 };

struct NpyHeader {
  NpyType type = NpyType::f4;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<std::uint64_t> shape;  // one axis or more, none of them 0
  std::uint64_t count = 0;           // product of the shape
  std::uint64_t data_begin = 0;      // byte of the file; the data is all that follows
};

// Reads the header off the stream and checks it against the stream's length. Throws FormatError for a type that is none
// of the above.
NpyHeader read_npy_header(ByteStream& bytes);

class NpySource : public TableSource {
 public:
  // `open` gives the array's bytes from the start, as often as it is called.
  NpySource(const InputFile& file, std::function<std::unique_ptr<ByteStream>()> open);

  bool narrows() const override;
  std::string place(std::size_t row, std::size_t column) const override;
  void read(std::span<const std::size_t> columns, CellSink& sink) const override;

 private:
  std::function<std::unique_ptr<ByteStream>()> open_;
  NpyHeader header_;
};

// As read_matrix and read_labels of ebmcuda/files.hpp.
Matrix read_npy_matrix(const InputFile& file);
std::vector<int> read_npy_labels(const InputFile& file);

// `shape` is one axis or two. Atomic; throws WriteError.
void write_npy(const std::filesystem::path& path, std::span<const std::uint64_t> shape, std::span<const float> values);
void write_npy(const std::filesystem::path& path, std::span<const std::uint64_t> shape, std::span<const int> values);

}  // namespace ebm
