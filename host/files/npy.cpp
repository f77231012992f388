#include "host/files/npy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "host/files/atomic_file.hpp"
#include "host/files/npy_header.hpp"

namespace ebm {
namespace {

// Calls use(first index, values) for pieces of the data as they stand in the file, so that a conversion needs no second
// copy of the whole.
template <class T, class Use>
void for_each_piece(const InputFile& file, const NpyHeader& header, const Use& use) {
  std::array<T, 4096> buffer{};
  for (std::uint64_t first = 0; first < header.count; first += buffer.size()) {
    const auto piece = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), header.count - first));
    file.read(header.data_begin + first * sizeof(T), std::as_writable_bytes(piece));
    use(first, std::span<const T>(piece));
  }
}

template <class T>
void convert_to_float(const InputFile& file, const NpyHeader& header, std::span<float> out) {
  for_each_piece<T>(file, header, [&](std::uint64_t first, std::span<const T> piece) {
    std::ranges::transform(piece, out.subspan(first).begin(), [](T v) { return static_cast<float>(v); });
  });
}

// A double beyond float32's range would turn into an infinity; an infinity in the file stays one.
void convert_doubles(const InputFile& file, const NpyHeader& header, std::span<float> out) {
  constexpr auto kLargest = static_cast<double>(std::numeric_limits<float>::max());
  for_each_piece<double>(file, header, [&](std::uint64_t first, std::span<const double> piece) {
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const double v = piece[i];
      if ((v > kLargest || v < -kLargest) && v - v == 0) {
        file.fail(fmt::format("element {} is {}, beyond the range of float32", first + i, v));
      }
      out[first + i] = static_cast<float>(v);
    }
  });
}

template <class T>
void convert_to_labels(const InputFile& file, const NpyHeader& header, std::span<int> out) {
  for_each_piece<T>(file, header, [&](std::uint64_t first, std::span<const T> piece) {
    for (std::size_t i = 0; i < piece.size(); ++i) {
      if (!std::in_range<int>(+piece[i])) {
        file.fail(fmt::format("element {} is {}, beyond the range of a label", first + i, piece[i]));
      }
      out[first + i] = static_cast<int>(piece[i]);
    }
  });
}

void write(const std::filesystem::path& path, std::string_view descr, std::span<const std::uint64_t> shape,
           std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(make_npy_header(descr, shape));
  file.write(bytes);
  file.commit();
}

}  // namespace

Matrix read_npy_matrix(const InputFile& file) {
  const NpyHeader header = read_npy_header(file);
  const std::uint64_t rows = header.shape.front();
  Matrix matrix(rows, header.count / rows);
  switch (header.type) {
    case NpyType::f4:
      file.read(header.data_begin, std::as_writable_bytes(matrix.values()));
      break;
    case NpyType::f8:
      convert_doubles(file, header, matrix.values());
      break;
    case NpyType::u1:
      convert_to_float<std::uint8_t>(file, header, matrix.values());
      break;
    case NpyType::i4:
      convert_to_float<std::int32_t>(file, header, matrix.values());
      break;
    case NpyType::i8:
      convert_to_float<std::int64_t>(file, header, matrix.values());
      break;
  }
  return matrix;
}

std::vector<int> read_npy_labels(const InputFile& file) {
  const NpyHeader header = read_npy_header(file);
  if (header.count != header.shape.front()) {
    file.fail(fmt::format("labels have one axis; the shape is ({})", fmt::join(header.shape, ", ")));
  }
  if (header.type == NpyType::f4 || header.type == NpyType::f8) {
    file.fail("labels are whole numbers; the array holds floating-point numbers (save array.astype('int32'))");
  }
  std::vector<int> labels(header.count);
  if (header.type == NpyType::u1) convert_to_labels<std::uint8_t>(file, header, labels);
  if (header.type == NpyType::i4) convert_to_labels<std::int32_t>(file, header, labels);
  if (header.type == NpyType::i8) convert_to_labels<std::int64_t>(file, header, labels);
  return labels;
}

void write_npy(const std::filesystem::path& path, std::span<const std::uint64_t> shape, std::span<const float> values) {
  write(path, "<f4", shape, std::as_bytes(values));
}

void write_npy(const std::filesystem::path& path, std::span<const std::uint64_t> shape, std::span<const int> values) {
  static_assert(sizeof(int) == 4);
  write(path, "<i4", shape, std::as_bytes(values));
}

}  // namespace ebm
