// Text from and for files: numbers read whole, and untrusted strings made fit for a message.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace ebm {

// The number that `text` is, all of it; nothing when it is anything else or does not fit Number.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// `text` in quotation marks: control bytes as \xNN, cut after 60 bytes. Names from a file go through this, so that a
// hostile file can't write to the terminal or fill it.
inline std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string result = "'";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  result += text.size() > kLongest ? "...'" : "'";
  return result;
}

}  // namespace ebm
