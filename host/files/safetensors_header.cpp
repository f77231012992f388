#include "host/files/safetensors_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>

#include "host/core/names.hpp"
#include "host/files/text.hpp"

namespace ebm {
namespace {

constexpr Name<Dtype> kDtypes[] = {{Dtype::boolean, "BOOL"},    {Dtype::u8, "U8"},           {Dtype::i8, "I8"},
                                   {Dtype::f8_e4m3, "F8_E4M3"}, {Dtype::f8_e5m2, "F8_E5M2"}, {Dtype::i16, "I16"},
                                   {Dtype::u16, "U16"},         {Dtype::f16, "F16"},         {Dtype::bf16, "BF16"},
                                   {Dtype::i32, "I32"},         {Dtype::u32, "U32"},         {Dtype::f32, "F32"},
                                   {Dtype::i64, "I64"},         {Dtype::u64, "U64"},         {Dtype::f64, "F64"}};

// The header's bytes one by one from a small buffer. Counts them, for messages, and keeps what the JSON parser would
// hold in memory small: tokens have a limit, and of a run of whitespace only the first byte is shown. A zero byte is
// refused, because the parser would take it for the end.
class HeaderBytes {
 public:
  HeaderBytes(const InputFile& file, std::uint64_t begin, std::uint64_t end) : file_(file), next_(begin), end_(end) {
    fill();
  }

  bool at_end() const noexcept { return used_ == filled_; }
  char current() const noexcept { return buffer_[used_]; }
  std::uint64_t position() const noexcept { return next_ - (filled_ - used_); }

  void advance() {
    const char c = current();
    const bool was_space = !in_string_ && is_space(c);
    const bool ends_token = in_string_ ? c == '"' && !escaped_ : was_space || is_one_of("{}[],:\"", c);
    escaped_ = in_string_ && c == '\\' && !escaped_;
    if (c == '"' && ends_token) in_string_ = !in_string_;
    token_ = ends_token ? 0 : token_ + 1;
    if (token_ > kMaxToken) fail(fmt::format("a name or value is longer than {} bytes", kMaxToken));
    do {
      step();
    } while (was_space && !at_end() && is_space(current()));
    if (!at_end() && current() == '\0') fail("a zero byte");
  }

 private:
  static bool is_one_of(std::string_view set, char c) { return set.find(c) != std::string_view::npos; }
  static bool is_space(char c) { return is_one_of(" \t\r\n", c); }
  [[noreturn]] void fail(const std::string& what) const { file_.fail(fmt::format("byte {}: {}", position(), what)); }

  void step() {
    if (++used_ == filled_) fill();
  }
  void fill() {
    used_ = 0;
    filled_ = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), end_ - next_));
    file_.read(next_, std::as_writable_bytes(std::span(buffer_).first(filled_)));
    next_ += filled_;
  }

  const InputFile& file_;
  std::uint64_t next_, end_;
  std::array<char, 4096> buffer_{};
  std::size_t used_ = 0, filled_ = 0;
  std::size_t token_ = 0;
  bool in_string_ = false, escaped_ = false;
};

// What nlohmann's parser reads from; the default-constructed one is the end.
class HeaderIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  HeaderIterator() = default;
  explicit HeaderIterator(HeaderBytes* bytes) : bytes_(bytes) {}
  char operator*() const { return bytes_->current(); }
  HeaderIterator& operator++() {
    bytes_->advance();
    return *this;
  }
  void operator++(int) { bytes_->advance(); }
  bool operator==(const HeaderIterator& other) const { return at_end() == other.at_end(); }
  bool operator!=(const HeaderIterator& other) const { return !(*this == other); }

 private:
  bool at_end() const { return bytes_ == nullptr || bytes_->at_end(); }
  HeaderBytes* bytes_ = nullptr;
};

// Accepts exactly {"__metadata__": {string: string}, NAME: {"dtype": string, "shape": [u64...], "data_offsets": [u64,
// u64]}}, every key once. The format's own rules; anything else is refused where it stands.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderHandler(const InputFile& file, const HeaderBytes& bytes) : file_(file), bytes_(bytes) {}

  SafetensorsHeader take() && { return std::move(header_); }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("true or false"); }
  bool number_integer(std::int64_t value) override { unexpected(fmt::format("the negative number {}", value)); }
  bool number_float(double, const std::string& text) override {
    unexpected(fmt::format("the number {}", in_quotes(text)));
  }
  bool binary(nlohmann::json::binary_t&) override { unexpected("binary data"); }

  bool number_unsigned(std::uint64_t value) override {
    if (at_ == At::shape) {
      if (tensor_.shape.size() == kMaxRank) fail(fmt::format("shape has more than {} axes", kMaxRank));
      tensor_.shape.push_back(value);
    } else if (at_ == At::offsets) {
      if (offsets_ == 2) fail("data_offsets has more than 2 numbers");
      (offsets_++ == 0 ? tensor_.begin : tensor_.end) = value;
    } else {
      unexpected(fmt::format("the number {}", value));
    }
    return true;
  }

  bool string(std::string& value) override {
    if (at_ == At::metadata) {
      header_.metadata[key_] = value;  // a copy: what the parser hands over has room to spare
      return true;
    }
    if (at_ != At::tensor || field_ != Field::dtype) unexpected("a string");
    const auto* known = std::ranges::find(kDtypes, std::string_view(value), &Name<Dtype>::name);
    if (known == std::end(kDtypes)) fail(fmt::format("unknown dtype {}", in_quotes(value)));
    tensor_.dtype = known->value;
    return true;
  }

  bool key(std::string& key) override {
    if (at_ == At::root) {
      const bool is_metadata = key == "__metadata__";
      if (header_.tensors.contains(key) || (is_metadata && has_metadata_))
        fail_at(fmt::format("{} stands twice", in_quotes(key)));
      if (header_.tensors.size() == kMaxTensors && !is_metadata)
        fail_at(fmt::format("more than {} tensors", kMaxTensors));
      has_metadata_ = has_metadata_ || is_metadata;
      tensor_ = {};
      tensor_.name = key;
    } else if (at_ == At::metadata) {
      if (header_.metadata.contains(key)) fail_at(fmt::format("__metadata__: {} stands twice", in_quotes(key)));
      if (header_.metadata.size() == kMaxMetadata)
        fail_at(fmt::format("__metadata__ has more than {} entries", kMaxMetadata));
      key_ = key;
    } else {
      field_ = field_named(key);
      const unsigned bit = 1u << static_cast<unsigned>(field_);
      if ((fields_ & bit) != 0) fail(fmt::format("{} stands twice", key));
      fields_ |= bit;
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (at_ == At::start) {
      at_ = At::root;
    } else if (at_ == At::root && tensor_.name == "__metadata__") {
      at_ = At::metadata;
    } else if (at_ == At::root) {
      at_ = At::tensor;
      fields_ = 0;
      offsets_ = 0;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (at_ == At::tensor) {
      if (fields_ != 7) fail("must have dtype, shape and data_offsets");
      header_.tensors.insert(std::move(tensor_));
    }
    at_ = at_ == At::root ? At::done : At::root;
    return true;
  }

  bool start_array(std::size_t) override {
    if (at_ != At::tensor || field_ == Field::dtype) unexpected("a list");
    at_ = field_ == Field::shape ? At::shape : At::offsets;
    return true;
  }

  bool end_array() override {
    if (at_ == At::offsets && offsets_ != 2) fail("data_offsets must have 2 numbers");
    at_ = At::tensor;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    // The parser's own words end with what it expected; what it read comes first and may be long.
    const std::string_view what = error.what();
    const auto reason = what.rfind("; ");
    fail_at(fmt::format("the header is not valid JSON: {}",
                        in_quotes(reason == std::string_view::npos ? what : what.substr(reason + 2))));
  }

 private:
  enum class At { start, root, metadata, tensor, shape, offsets, done };
  enum class Field { dtype, shape, offsets };

  Field field_named(std::string_view key) {
    if (key == "dtype") return Field::dtype;
    if (key == "shape") return Field::shape;
    if (key == "data_offsets") return Field::offsets;
    fail(fmt::format("unknown field {}", in_quotes(key)));
  }

  [[noreturn]] void fail_at(const std::string& what) const {
    file_.fail(fmt::format("byte {}: {}", bytes_.position(), what));
  }
  [[noreturn]] void fail(const std::string& what) const {
    fail_at(fmt::format("tensor {}: {}", in_quotes(tensor_.name), what));
  }
  [[noreturn]] void unexpected(const std::string& what) const {
    if (at_ == At::start) fail_at(fmt::format("the header must be an object, not {}", what));
    if (at_ == At::metadata) fail_at(fmt::format("__metadata__: {} must be a string, not {}", in_quotes(key_), what));
    if (at_ == At::root) fail_at(fmt::format("{} must be an object, not {}", in_quotes(tensor_.name), what));
    fail(fmt::format("{} has no place in {}", what,
                     field_ == Field::dtype   ? "dtype"
                     : field_ == Field::shape ? "shape"
                                              : "data_offsets"));
  }

  const InputFile& file_;
  const HeaderBytes& bytes_;
  SafetensorsHeader header_;
  At at_ = At::start;
  bool has_metadata_ = false;
  TensorInfo tensor_;
  std::string key_;
  Field field_ = Field::dtype;
  unsigned fields_ = 0;  // bit set of Field
  int offsets_ = 0;
};

void check_metadata(const std::map<std::string, std::string>& metadata) {
  require(metadata.size() <= kMaxMetadata, "metadata", fmt::format("{} entries", metadata.size()),
          fmt::format("must have at most {}", kMaxMetadata));
  for (const auto& [key, value] : metadata) {
    for (const std::string& text : {std::cref(key), std::cref(value)}) {
      std::string as_json;
      try {
        as_json = nlohmann::json(text).dump();
      } catch (const nlohmann::json::type_error&) {
        reject("metadata", in_quotes(key), "name and value must be UTF-8");
      }
      require(as_json.size() <= kMaxToken, "metadata", in_quotes(key),
              fmt::format("name and value must each take at most {} bytes in JSON", kMaxToken));
    }
  }
}

}  // namespace

std::string_view to_string(Dtype dtype) { return name_of<Dtype>(kDtypes, dtype); }

SafetensorsHeader read_safetensors_header(const InputFile& file, std::uint64_t begin, std::uint64_t end) {
  HeaderBytes bytes(file, begin, end);
  // The format asks for this: leading whitespace, which JSON allows, would let a file be of two formats at once.
  if (bytes.at_end() || bytes.current() != '{')
    file.fail(fmt::format("byte {}: the header must start with '{{'", begin));
  HeaderHandler handler(file, bytes);
  nlohmann::json::sax_parse(HeaderIterator(&bytes), HeaderIterator(), &handler);
  return std::move(handler).take();
}

std::string make_safetensors_header(std::span<const TensorData> tensors,
                                    const std::map<std::string, std::string>& metadata) {
  check_metadata(metadata);
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const TensorData& tensor : tensors) {
    const std::uint64_t end = offset + tensor.bytes.size();
    header[tensor.name] = {
        {"dtype", to_string(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace ebm
