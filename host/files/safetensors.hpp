// safetensors: an 8-byte little-endian header length, a JSON header, the tensors' bytes.
// https://github.com/huggingface/safetensors
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "host/files/input_file.hpp"

namespace ebm {

enum class Dtype { boolean, u8, i8, f8_e4m3, f8_e5m2, i16, u16, f16, bf16, i32, u32, f32, i64, u64, f64 };
std::string_view to_string(Dtype dtype);  // as in the header: "F32"
std::size_t size_of(Dtype dtype);         // bytes of one element

template <class T>
constexpr Dtype dtype_of() {
  if constexpr (std::is_same_v<T, float>) {
    return Dtype::f32;
  } else if constexpr (std::is_same_v<T, double>) {
    return Dtype::f64;
  } else {
    static_assert(std::is_same_v<T, std::uint64_t>, "add the type here");
    return Dtype::u64;
  }
}

struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0, end = 0;  // bytes in the data part

  std::uint64_t count() const { return (end - begin) / size_of(dtype); }
};

struct TensorByName {
  using is_transparent = void;
  bool operator()(const TensorInfo& a, const TensorInfo& b) const { return a.name < b.name; }
  bool operator()(const TensorInfo& a, std::string_view b) const { return a.name < b; }
  bool operator()(std::string_view a, const TensorInfo& b) const { return a < b.name; }
};
using TensorSet = std::set<TensorInfo, TensorByName>;

// Limits beside those of the format, which keep what a hostile header can make us allocate below its own size + 1 MiB.
constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;  // the format's
constexpr std::size_t kMaxTensors = 1024;
constexpr std::size_t kMaxMetadata = 1024;
constexpr std::size_t kMaxRank = 8;
constexpr std::size_t kMaxToken = 64 * 1024;  // bytes of one JSON string, escapes as written

// Checks the whole header before it returns: known fields only, each once; shapes whose product neither overflows nor
// differs from the data's length; tensors that cover the data part without gap or overlap. Tensor data is read on
// demand, straight to where it is wanted. Every FormatError names the tensor or key and the byte.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(InputFile file);

  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
  const TensorSet& tensors() const noexcept { return tensors_; }
  const TensorInfo* find(std::string_view name) const;  // nullptr when there is none

  // Fills `out`, which must have the tensor's count; another dtype than T's is a FormatError.
  template <class T>
  void read(const TensorInfo& tensor, std::span<T> out) const {
    read_bytes(tensor, dtype_of<T>(), std::as_writable_bytes(out));
  }
  template <class T>
  std::vector<T> read(const TensorInfo& tensor) const {
    require_dtype(tensor, dtype_of<T>());
    std::vector<T> values(tensor.count());
    read(tensor, std::span(values));
    return values;
  }

  // F32, F16, BF16 or F64, rounded to single precision; another dtype, or an F64 beyond its range, is a FormatError.
  void read_as_float(const TensorInfo& tensor, std::span<float> out) const;
  void require_float(const TensorInfo& tensor) const;

  void require_dtype(const TensorInfo& tensor, Dtype dtype) const;
  [[noreturn]] void fail(const std::string& what) const { file_.fail(what); }
  [[noreturn]] void fail(const TensorInfo& tensor, const std::string& what) const;  // names the tensor and its byte

 private:
  void read_bytes(const TensorInfo& tensor, Dtype dtype, std::span<std::byte> out) const;

  InputFile file_;
  std::uint64_t data_begin_ = 0;  // byte of the file
  std::map<std::string, std::string> metadata_;
  TensorSet tensors_;
};

// A tensor to write; the bytes are the caller's.
struct TensorData {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::uint64_t> shape;
  std::span<const std::byte> bytes;

  template <class T>
  static TensorData of(std::string name, std::vector<std::uint64_t> shape, std::span<const T> values) {
    return {std::move(name), dtype_of<T>(), std::move(shape), std::as_bytes(values)};
  }
};

// The same tensors and metadata give the same bytes: widest elements first, then by name, so that every tensor is
// aligned to its element; the header is padded with spaces to a multiple of 8. Atomic (atomic_file.hpp). Throws
// WriteError, and ConfigError for metadata that a reader would refuse (not UTF-8, too long, too many).
void write_safetensors(const std::filesystem::path& path, std::vector<TensorData> tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace ebm
