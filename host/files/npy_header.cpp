#include "host/files/npy_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "host/files/npy.hpp"
#include "host/files/text.hpp"

namespace ebm {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
// Version 1.0 can't hold more, and longer ones describe structured types, which are not read.
constexpr std::size_t kLongestHeader = 65535;
constexpr std::size_t kMostAxes = 32;  // NumPy's own limit

class Parser {
 public:
  Parser(const ByteStream& bytes, std::string_view text, std::uint64_t offset)
      : bytes_(bytes), text_(text), offset_(offset) {}

  NpyDescription parse() {
    NpyDescription result;
    bool has_descr = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr") {
        once(key, &has_descr);
        if (peek() == '[') fail("structured types are not read");
        result.descr = string();
      } else if (key == "fortran_order") {
        once(key, &has_order);
        result.fortran_order = truth();
      } else if (key == "shape") {
        once(key, &has_shape);
        result.shape = tuple();
      } else {
        fail(fmt::format("unknown key {}", in_quotes(key)));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (peek() != '\0' || at_ != text_.size()) fail("there is more after the closing brace");
    if (!has_descr) fail("the key 'descr' is missing");
    if (!has_order) fail("the key 'fortran_order' is missing");
    if (!has_shape) fail("the key 'shape' is missing");
    return result;
  }

 private:
  // The next byte that is no space, or 0 at the end. (A 0 byte in the text is refused wherever it stands.)
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(fmt::format("'{}' is expected here", c));
  }
  std::string_view string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail("a string in quotation marks is expected here");
    const std::size_t begin = at_ + 1;
    const std::size_t end = text_.find(quote, begin);
    if (end == std::string_view::npos) fail("a string without an end");
    at_ = end + 1;
    return text_.substr(begin, end - begin);
  }
  bool truth() {
    peek();
    for (const bool value : {false, true}) {
      const std::string_view name = value ? "True" : "False";
      if (!text_.substr(at_).starts_with(name)) continue;
      at_ += name.size();
      return value;
    }
    fail("True or False is expected here");
  }
  std::vector<std::uint64_t> tuple() {
    std::vector<std::uint64_t> values;
    expect('(');
    while (!accept(')')) {
      if (values.size() == kMostAxes) fail(fmt::format("shape has more than {} axes", kMostAxes));
      peek();
      const std::size_t end = std::min(text_.find_first_not_of("0123456789", at_), text_.size());
      const auto value = parse_number<std::uint64_t>(text_.substr(at_, end - at_));
      if (!value) fail("shape: a whole number below 2^64 is expected here");
      values.push_back(*value);
      at_ = end;
      if (!accept(',')) {
        // (3) is a number in Python, not a tuple.
        if (values.size() == 1) fail("shape: ',' is expected here");
        expect(')');
        break;
      }
    }
    return values;
  }
  void once(std::string_view key, bool* seen) {
    if (*seen) fail(fmt::format("the key {} stands twice", in_quotes(key)));
    *seen = true;
  }
  [[noreturn]] void fail(const std::string& what) const {
    bytes_.fail(fmt::format("byte {}: .npy header: {}", offset_ + at_, what));
  }

  const ByteStream& bytes_;
  std::string_view text_;
  std::uint64_t offset_;
  std::size_t at_ = 0;
};

constexpr std::string_view kTypes = "b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8";

// "<f4": byte order, kind, bytes. Order is | for one byte, where < and > mean nothing; = and none are this machine's.
void read_type(const ByteStream& bytes, std::string_view descr, NpyHeader* header) {
  const bool ordered = !descr.empty() && std::string_view("<>|=").find(descr.front()) != std::string_view::npos;
  const std::string_view name = ordered ? descr.substr(1) : descr;
  const std::size_t at = name.size() == 2 ? kTypes.find(name) : std::string_view::npos;
  const bool one_byte = name.ends_with('1');
  if (at == std::string_view::npos || at % 3 != 0 || (!one_byte && descr.front() == '|')) {
    bytes.fail(fmt::format("dtype {} is not read; {} are (save array.astype('<f4'))", in_quotes(descr), kTypes));
  }
  header->type = static_cast<NpyType>(at / 3);
  header->big_endian = !one_byte && descr.front() == '>';
}

std::size_t size_of(NpyType type) {
  const auto digit = kTypes[static_cast<std::size_t>(type) * 3 + 1];
  return static_cast<std::size_t>(digit - '0');
}

}  // namespace

NpyDescription parse_npy_description(const ByteStream& bytes, std::string_view text, std::uint64_t offset) {
  return Parser(bytes, text, offset).parse();
}

NpyHeader read_npy_header(ByteStream& bytes) {
  std::array<char, 8> start{};
  if (bytes.size() < 10) bytes.fail(fmt::format("is {} bytes long; a .npy file has 10 or more", bytes.size()));
  bytes.read(std::as_writable_bytes(std::span(start)));
  if (!std::string_view(start.data(), start.size()).starts_with(kMagic)) bytes.fail("byte 0: not a .npy file");
  const int major = start[6], minor = start[7];
  if (major < 1 || major > 3 || minor != 0) {
    bytes.fail(fmt::format("byte 6: .npy version {}.{} is unknown; 1.0, 2.0 and 3.0 are read", major, minor));
  }
  std::uint32_t length = 0;
  const std::size_t length_size = major == 1 ? 2 : 4;
  bytes.read(std::as_writable_bytes(std::span(&length, 1)).first(length_size));
  const std::uint64_t text_begin = 8 + length_size;
  if (length > kLongestHeader) {
    bytes.fail(fmt::format("byte 8: a header of {} bytes; {} are the most", length, kLongestHeader));
  }
  if (length > bytes.size() - text_begin) {
    bytes.fail(fmt::format("byte 8: a header of {} bytes, but only {} follow", length, bytes.size() - text_begin));
  }
  std::string text(length, '\0');
  bytes.read(std::as_writable_bytes(std::span(text)));
  NpyDescription description = parse_npy_description(bytes, text, text_begin);

  NpyHeader header;
  read_type(bytes, description.descr, &header);
  header.fortran_order = description.fortran_order;
  header.shape = std::move(description.shape);
  header.data_begin = text_begin + length;
  const auto shown = [&] { return fmt::format("shape ({})", fmt::join(header.shape, ", ")); };
  if (header.shape.empty()) bytes.fail("holds a single number; an array of one axis or more is read");
  if (std::ranges::find(header.shape, 0u) != header.shape.end()) bytes.fail(shown() + " holds no numbers");
  const std::uint64_t data_size = bytes.size() - header.data_begin;
  std::uint64_t size = size_of(header.type);
  for (const std::uint64_t axis : header.shape) {
    if (__builtin_mul_overflow(size, axis, &size)) bytes.fail(shown() + ": its product overflows");
  }
  if (size != data_size) {
    bytes.fail(fmt::format("byte {}: {} takes {} bytes, but {} follow", header.data_begin, shown(), size, data_size));
  }
  header.count = size / size_of(header.type);
  return header;
}

std::string make_npy_header(std::string_view descr, std::span<const std::uint64_t> shape) {
  const std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", descr,
                                       fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  const std::size_t total = (10 + text.size() + 1 + 63) / 64 * 64;
  const std::size_t length = total - 10;
  std::string header(kMagic);
  header += '\x01';
  header += '\x00';
  header += static_cast<char>(length & 0xFF);
  header += static_cast<char>(length >> 8);
  header += text;
  header.resize(total - 1, ' ');
  return header + '\n';
}

}  // namespace ebm
