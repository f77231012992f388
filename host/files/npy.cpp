#include "host/files/npy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "host/files/atomic_file.hpp"
#include "host/files/npy_header.hpp"

namespace ebm {
namespace {

// IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction. Every half is a float.
struct Half {
  std::uint16_t bits;
};
double to_double(Half h) {
  const int exponent = h.bits >> 10 & 31, fraction = h.bits & 1023;
  double value = 0;
  if (exponent == 31) {
    value = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else {
    value = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  }
  return (h.bits & 0x8000) != 0 ? -value : value;
}
struct Bool {
  std::uint8_t byte;
};
double to_double(Bool b) { return b.byte == 0 ? 0 : 1; }
template <class T>
double to_double(T v) {
  return static_cast<double>(v);
}

template <class T>
T in_order(T value, bool swap) {
  if constexpr (sizeof(T) > 1) {
    if (!swap) return value;
    std::array<std::byte, sizeof(T)> bytes{};
    std::memcpy(bytes.data(), &value, sizeof(T));
    std::ranges::reverse(bytes);
    std::memcpy(&value, bytes.data(), sizeof(T));
  }
  return value;
}

// Calls use(index, value) for every element, in the order of the file.
template <class T, class Use>
void for_each_element(ByteStream& bytes, const NpyHeader& header, const Use& use) {
  std::array<T, 8192 / sizeof(T)> buffer{};
  for (std::uint64_t first = 0; first < header.count; first += buffer.size()) {
    const auto piece = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), header.count - first));
    bytes.read(std::as_writable_bytes(piece));
    for (std::size_t i = 0; i < piece.size(); ++i) use(first + i, in_order(piece[i], header.big_endian));
  }
}

// Where the file's elements belong: rows are the first axis, the others are flattened into columns in C order.
class Placement {
 public:
  explicit Placement(const NpyHeader& header)
      : header_(header), rows_(header.shape.front()), cols_(header.count / rows_) {}

  // Call for index 0, 1, 2, ...
  std::pair<std::size_t, std::size_t> next() {
    const std::pair here{row_, column_};
    if (!header_.fortran_order) {
      if (++column_ == cols_) {
        column_ = 0;
        ++row_;
      }
    } else if (++row_ == rows_) {
      row_ = 0;
      ++plane_;
      column_ = column_of(plane_);
    }
    return here;
  }

 private:
  // The column with the axes' digits in the opposite order of significance.
  std::size_t column_of(std::uint64_t plane) const {
    std::uint64_t column = 0, stride = cols_;
    for (std::size_t axis = 1; axis < header_.shape.size(); ++axis) {
      stride /= header_.shape[axis];
      column += plane % header_.shape[axis] * stride;
      plane /= header_.shape[axis];
    }
    return column;
  }

  const NpyHeader& header_;
  std::uint64_t rows_, cols_;
  std::size_t row_ = 0, column_ = 0;
  std::uint64_t plane_ = 0;
};

template <class T>
void read_elements(ByteStream& bytes, const NpyHeader& header, std::span<const std::uint32_t> slots, CellSink& sink) {
  Placement placement(header);
  for_each_element<T>(bytes, header, [&](std::uint64_t index, T value) {
    const auto [row, column] = placement.next();
    if (slots[column] == std::numeric_limits<std::uint32_t>::max()) return;
    Cell cell;
    cell.value = to_double(value);
    cell.narrow = static_cast<float>(cell.value);
    if constexpr (std::is_integral_v<T> && sizeof(T) == 8) {
      cell.narrow = static_cast<float>(value);
      const bool beyond = cell.value >= 0x1p53 || cell.value <= -0x1p53;
      if (beyond && (cell.value >= (std::is_signed_v<T> ? 0x1p63 : 0x1p64) || static_cast<T>(cell.value) != value)) {
        bytes.fail(
            fmt::format("element {} (row {}, column {}) is {}, beyond 2^53, and would be rounded; subtract an offset "
                        "in NumPy first",
                        index, row, column, value));
      }
    }
    sink.take(row, slots[column], cell);
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

NpySource::NpySource(const InputFile& file, std::function<std::unique_ptr<ByteStream>()> open)
    : TableSource(file), open_(std::move(open)), header_(read_npy_header(*open_())) {
  rows_ = header_.shape.front();
  cols_ = header_.count / rows_;
}

bool NpySource::narrows() const {
  switch (header_.type) {
    case NpyType::f8:
    case NpyType::i4:
    case NpyType::i8:
    case NpyType::u4:
    case NpyType::u8:
      return true;
    default:
      return false;
  }
}

std::string NpySource::place(std::size_t row, std::size_t column) const {
  return fmt::format("row {}, column {}", row, column);
}

void NpySource::read(std::span<const std::size_t> columns, CellSink& sink) const {
  std::vector<std::uint32_t> slots(cols_, std::numeric_limits<std::uint32_t>::max());
  for (std::size_t slot = 0; slot < columns.size(); ++slot) slots[columns[slot]] = static_cast<std::uint32_t>(slot);
  const std::unique_ptr<ByteStream> bytes = open_();
  const NpyHeader header = read_npy_header(*bytes);
  if (header.count != header_.count) bytes->fail("changed while it was read");
  const auto read_as = [&]<class T>(T) { read_elements<T>(*bytes, header, slots, sink); };
  switch (header.type) {
    case NpyType::b1:
      return read_as(Bool{});
    case NpyType::i1:
      return read_as(std::int8_t{});
    case NpyType::i2:
      return read_as(std::int16_t{});
    case NpyType::i4:
      return read_as(std::int32_t{});
    case NpyType::i8:
      return read_as(std::int64_t{});
    case NpyType::u1:
      return read_as(std::uint8_t{});
    case NpyType::u2:
      return read_as(std::uint16_t{});
    case NpyType::u4:
      return read_as(std::uint32_t{});
    case NpyType::u8:
      return read_as(std::uint64_t{});
    case NpyType::f2:
      return read_as(Half{});
    case NpyType::f4:
      return read_as(float{});
    case NpyType::f8:
      return read_as(double{});
  }
}

Matrix read_npy_matrix(const InputFile& file) {
  TableOptions options;
  options.finite = false;
  return read_table(NpySource(file, [&] { return std::make_unique<FileStream>(file); }), options).x;
}

std::vector<int> read_npy_labels(const InputFile& file) {
  return read_label_table(NpySource(file, [&] { return std::make_unique<FileStream>(file); }), {}).labels;
}

void write_npy(const std::filesystem::path& path, std::span<const std::uint64_t> shape, std::span<const float> values) {
  write(path, "<f4", shape, std::as_bytes(values));
}

void write_npy(const std::filesystem::path& path, std::span<const std::uint64_t> shape, std::span<const int> values) {
  static_assert(sizeof(int) == 4);
  write(path, "<i4", shape, std::as_bytes(values));
}

}  // namespace ebm
