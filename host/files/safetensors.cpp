#include "host/files/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "ebmcuda/files.hpp"
#include "host/files/atomic_file.hpp"
#include "host/files/safetensors_header.hpp"
#include "host/files/text.hpp"

namespace ebm {

static_assert(std::endian::native == std::endian::little, "safetensors and .npy data are little-endian");

std::size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::boolean:
    case Dtype::u8:
    case Dtype::i8:
    case Dtype::f8_e4m3:
    case Dtype::f8_e5m2:
      return 1;
    case Dtype::i16:
    case Dtype::u16:
    case Dtype::f16:
    case Dtype::bf16:
      return 2;
    case Dtype::i32:
    case Dtype::u32:
    case Dtype::f32:
      return 4;
    case Dtype::i64:
    case Dtype::u64:
    case Dtype::f64:
      return 8;
  }
  return 0;
}

namespace {

// Both are exact: single precision holds every value of either.
float float_of_bfloat(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
float float_of_half(std::uint16_t bits) {
  const std::uint32_t exponent = bits >> 10 & 31u, fraction = bits & 1023u;
  const float sign = bits >> 15 != 0 ? -1.0f : 1.0f;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  if (exponent < 31) return sign * std::ldexp(static_cast<float>(1024u + fraction), static_cast<int>(exponent) - 25);
  return sign * (fraction == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN());
}

void check_layout(const InputFile& file, std::uint64_t data_begin, const TensorSet& tensors) {
  const std::uint64_t data_size = file.size() - data_begin;
  std::vector<const TensorInfo*> by_offset;
  const auto fail = [&](const TensorInfo& tensor, const std::string& what) {
    file.fail(fmt::format("tensor {} (data_offsets [{}, {}], byte {} on): {}", in_quotes(tensor.name), tensor.begin,
                          tensor.end, data_begin + std::min(tensor.begin, data_size), what));
  };
  for (const TensorInfo& tensor : tensors) {
    if (tensor.end < tensor.begin) fail(tensor, "data_offsets end before they begin");
    if (tensor.end > data_size) fail(tensor, fmt::format("the file holds {} bytes of data", data_size));
    std::uint64_t bytes = size_of(tensor.dtype);
    for (const std::uint64_t axis : tensor.shape) {
      if (__builtin_mul_overflow(bytes, axis, &bytes)) fail(tensor, "the product of the shape overflows");
    }
    if (bytes != tensor.end - tensor.begin) {
      fail(tensor,
           fmt::format("{} [{}] takes {} bytes", to_string(tensor.dtype), fmt::join(tensor.shape, ", "), bytes));
    }
    by_offset.push_back(&tensor);
  }
  std::ranges::sort(by_offset, {}, [](const TensorInfo* t) { return std::pair(t->begin, t->end); });
  std::uint64_t covered = 0;
  for (const TensorInfo* tensor : by_offset) {
    if (tensor->begin != covered) {
      fail(*tensor,
           fmt::format("{}: the tensors before it end at {}", tensor->begin < covered ? "overlap" : "gap", covered));
    }
    covered = tensor->end;
  }
  if (covered != data_size) {
    file.fail(fmt::format("byte {}: {} bytes after the last tensor", data_begin + covered, data_size - covered));
  }
}

std::uint64_t read_header_length(const InputFile& file) {
  if (file.size() < 8)
    file.fail(fmt::format("is {} bytes long; a safetensors file starts with an 8-byte length", file.size()));
  std::uint64_t length = 0;
  file.read(0, std::as_writable_bytes(std::span(&length, 1)));
  if (length > kMaxSafetensorsHeader) {
    file.fail(fmt::format("byte 0: not a safetensors file: a header of {} bytes; {} are the most", length,
                          kMaxSafetensorsHeader));
  }
  if (length > file.size() - 8) {
    file.fail(fmt::format("byte 0: a header of {} bytes, but only {} follow", length, file.size() - 8));
  }
  return length;
}

}  // namespace

SafetensorsReader::SafetensorsReader(InputFile file) : file_(std::move(file)) {
  data_begin_ = 8 + read_header_length(file_);
  SafetensorsHeader header = read_safetensors_header(file_, 8, data_begin_);
  metadata_ = std::move(header.metadata);
  tensors_ = std::move(header.tensors);
  check_layout(file_, data_begin_, tensors_);
}

const TensorInfo* SafetensorsReader::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &*it;
}

void SafetensorsReader::require_dtype(const TensorInfo& tensor, Dtype dtype) const {
  if (tensor.dtype != dtype) {
    fail(tensor, fmt::format("is {}; {} is what belongs here", to_string(tensor.dtype), to_string(dtype)));
  }
}

void SafetensorsReader::require_float(const TensorInfo& tensor) const {
  switch (tensor.dtype) {
    case Dtype::f32:
    case Dtype::f16:
    case Dtype::bf16:
    case Dtype::f64:
      return;
    default:
      fail(tensor, fmt::format("is {}; F32, F16, BF16 or F64 is what belongs here", to_string(tensor.dtype)));
  }
}

void SafetensorsReader::read_as_float(const TensorInfo& tensor, std::span<float> out) const {
  require_float(tensor);
  if (tensor.dtype == Dtype::f32) return read(tensor, out);
  if (tensor.count() != out.size()) {
    fail(tensor, fmt::format("holds {} values; {} are what belongs here", tensor.count(), out.size()));
  }
  if (tensor.dtype == Dtype::f64) {
    std::vector<double> wide(out.size());
    read_bytes(tensor, Dtype::f64, std::as_writable_bytes(std::span(wide)));
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<float>(wide[i]);
      if (std::isfinite(wide[i]) && !std::isfinite(out[i])) {
        fail(tensor, fmt::format("element {} is {}, beyond single precision", i, wide[i]));
      }
    }
    return;
  }
  std::vector<std::uint16_t> narrow(out.size());
  read_bytes(tensor, tensor.dtype, std::as_writable_bytes(std::span(narrow)));
  std::ranges::transform(narrow, out.begin(), tensor.dtype == Dtype::f16 ? float_of_half : float_of_bfloat);
}

void SafetensorsReader::fail(const TensorInfo& tensor, const std::string& what) const {
  file_.fail(fmt::format("tensor {} (byte {}): {}", in_quotes(tensor.name), data_begin_ + tensor.begin, what));
}

void SafetensorsReader::read_bytes(const TensorInfo& tensor, Dtype dtype, std::span<std::byte> out) const {
  require_dtype(tensor, dtype);
  if (out.size() != tensor.end - tensor.begin) {
    fail(tensor, fmt::format("holds {} values; {} are what belongs here", tensor.count(), out.size() / size_of(dtype)));
  }
  file_.read(data_begin_ + tensor.begin, out);
}

SafetensorsSummary describe_safetensors(const std::filesystem::path& path) {
  const SafetensorsReader file{InputFile(path)};
  SafetensorsSummary summary;
  summary.metadata = file.metadata();
  for (const TensorInfo& tensor : file.tensors()) {
    summary.tensors.push_back({tensor.name, std::string(to_string(tensor.dtype)), tensor.shape});
  }
  return summary;
}

void write_safetensors(const std::filesystem::path& path, std::vector<TensorData> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::ranges::sort(tensors, [](const TensorData& a, const TensorData& b) {
    return std::pair(size_of(b.dtype), std::string_view(a.name)) <
           std::pair(size_of(a.dtype), std::string_view(b.name));
  });
  const std::string header = make_safetensors_header(tensors, metadata);
  const std::uint64_t length = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const TensorData& tensor : tensors) file.write(tensor.bytes);
  file.commit();
}

}  // namespace ebm
