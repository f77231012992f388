#include "tools/command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>

#include "ebmcuda/error.hpp"
#include "tools/errors.hpp"

namespace ebm::tools {
namespace {

template <class Value>
bool read_all(std::string_view text, Value& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// "12", "1e5", "2.5e3": whole and exact, or nothing. `text` has no sign.
std::optional<std::uint64_t> exact_whole(std::string_view text) {
  const std::size_t e = std::min(text.find_first_of("eE"), text.size());
  std::string digits;
  std::int64_t exponent = 0;
  bool point = false;
  for (const char c : text.substr(0, e)) {
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      digits += c;
      exponent -= point ? 1 : 0;
    } else {
      return std::nullopt;
    }
  }
  if (e < text.size()) {
    std::string_view power = text.substr(e + 1);
    if (power.starts_with('+')) power.remove_prefix(1);
    std::int64_t value = 0;
    if (power.starts_with("+") || !read_all(power, value) || value > 99 || value < -99) return std::nullopt;
    exponent += value;
  }
  if (digits.empty()) return std::nullopt;
  for (; exponent < 0 && digits.size() > 1 && digits.back() == '0'; ++exponent) digits.pop_back();
  std::uint64_t whole = 0;
  if (!read_all(std::string_view(digits), whole)) return std::nullopt;
  if (whole == 0) return 0;
  if (exponent < 0) return std::nullopt;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(whole, std::uint64_t{10}, &whole)) return std::nullopt;
  }
  return whole;
}

// A whole number written plainly or like 1e5, within the type's range.
template <class Value>
Value whole_number(std::string_view option, const std::string& text) {
  constexpr Value kHigh = std::numeric_limits<Value>::max();
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  if (const auto whole = exact_whole(digits)) {
    const auto magnitude = static_cast<std::uint64_t>(kHigh);
    if (!negative && *whole <= magnitude) return static_cast<Value>(*whole);
    if (negative && *whole == 0) return 0;
    if (negative && std::is_signed_v<Value> && *whole <= magnitude)
      return static_cast<Value>(-static_cast<Value>(*whole));
  }
  double real = 0;
  const bool number = read_all(digits, real);
  throw ConfigError(std::string(option), text,
                    std::is_unsigned_v<Value> ? fmt::format("must be a whole number in 0 .. {}", kHigh)
                    : number && std::fabs(real) >= static_cast<double>(kHigh)
                        ? fmt::format("must be a whole number of at most {}", kHigh)
                        : std::string("must be a whole number"));
}

// Parts between commas, as they stand: a space is no part of a number.
std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts{""};
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

bool read_number(std::string_view text, double& value) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  return read_all(text, value);
}

// A finite number that no float can stand for is a mistake, not an infinity or a 0.
std::optional<std::string_view> no_float(double wide) {
  if (!std::isfinite(wide) || wide == 0) return std::nullopt;
  if (std::isinf(static_cast<float>(wide))) return "must not exceed float32's 3.4e38";
  if (static_cast<float>(wide) == 0) return "is too small for float32, whose least positive number is 1.4e-45";
  return std::nullopt;
}

}  // namespace

void parse(std::string_view option, const std::string& text, std::int64_t& value) {
  value = whole_number<std::int64_t>(option, text);
}
void parse(std::string_view option, const std::string& text, std::uint64_t& value) {
  value = whole_number<std::uint64_t>(option, text);
}
void parse(std::string_view option, const std::string& text, int& value) { value = whole_number<int>(option, text); }

void parse(std::string_view option, const std::string& text, double& value) {
  if (!read_number(text, value)) throw ConfigError(std::string(option), text, "must be a number");
}
void parse(std::string_view option, const std::string& text, float& value) {
  double wide = 0;
  parse(option, text, wide);
  if (const auto why = no_float(wide)) throw ConfigError(std::string(option), text, std::string(*why));
  value = static_cast<float>(wide);
}
void parse(std::string_view option, const std::string& text, std::string& value) {
  if (text.empty()) throw ConfigError(std::string(option), "\"\"", "must not be empty");
  value = text;
}
void parse(std::string_view option, const std::string& text, std::filesystem::path& value) {
  if (text.empty()) throw ConfigError(std::string(option), "\"\"", "must name a file");
  value = text;
}

void parse(std::string_view option, const std::string& text, std::vector<int>& value) {
  value.clear();
  for (const std::string& part : split(text, ',')) {
    int number = 0;
    if (!read_all(part, number)) {
      throw ConfigError(std::string(option), text, "must be whole numbers separated by commas, such as 128,128");
    }
    value.push_back(number);
  }
}

void parse(std::string_view option, const std::string& text, std::vector<double>& value) {
  value.clear();
  for (const std::string& part : split(text, ',')) {
    double number = 0;
    if (!read_number(part, number)) {
      throw ConfigError(std::string(option), text, "must be numbers separated by commas, such as 1.5,-2e3");
    }
    value.push_back(number);
  }
}

void parse(std::string_view option, const std::string& text, std::vector<float>& value) {
  value.clear();
  for (const std::string& part : split(text, ',')) {
    double number = 0;
    if (!read_number(part, number)) {
      throw ConfigError(std::string(option), text, "must be numbers separated by commas, such as 1,0.5,0.2");
    }
    if (const auto why = no_float(number)) throw ConfigError(std::string(option), text, std::string(*why));
    value.push_back(static_cast<float>(number));
  }
}

void parse(std::string_view option, const std::string& text, Box& value) {
  const auto parts = split(text, ',');
  double lo = 0, hi = 0;
  if (parts.size() != 2 || !read_number(parts[0], lo) || !read_number(parts[1], hi)) {
    throw ConfigError(std::string(option), text, "must be LO,HI, such as -1,1");
  }
  for (const double end : {lo, hi}) {
    if (const auto why = no_float(end)) throw ConfigError(std::string(option), text, std::string(*why));
  }
  value = Box{{static_cast<float>(lo)}, {static_cast<float>(hi)}};
}

void parse_choice(std::string_view option, const std::string& text, std::span<const std::string_view> names,
                  const std::function<void(std::size_t)>& use) {
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) {
    throw ConfigError(std::string(option), text, fmt::format("must be one of {}", fmt::join(names, " ")));
  }
  use(static_cast<std::size_t>(found - names.begin()));
}

CommandLine::CommandLine(CLI::App& ebm, const std::string& name, const std::string& summary, const std::string& help)
    : app_(ebm.add_subcommand(name, summary)) {
  app_->footer(help);
  app_->allow_extras();  // reject_leftovers says it better
}

void CommandLine::refuse_range(const std::string& name, const std::string& text, std::int64_t lo, std::int64_t hi) {
  throw ConfigError(name, text, fmt::format("must be a whole number in {} .. {}", lo, hi));
}
void CommandLine::refuse_range(const std::string& name, const std::string& text, double lo, double hi) {
  throw ConfigError(name, text, fmt::format("must be a number in {} .. {}", lo, hi));
}

void CommandLine::add_text(const std::string& name, std::function<void(const std::string&)> read,
                           const std::string& type, const std::string& help) {
  last_ = app_->add_option_function<std::string>(name, read, help)->type_name(type);
  if (name.starts_with("-")) last_->group(group_);
}

void CommandLine::add_flag(const std::string& names, bool& value, const std::string& help) {
  last_ = app_->add_flag(names, value, help)->group(group_);
}

void CommandLine::add_switch(const std::string& names, std::optional<bool>& value, const std::string& help) {
  const auto read = [names, &value](std::int64_t count) {
    if (count == 0) {
      throw ConfigError(names.substr(0, names.find(',')), "both", "is given with its opposite; choose one");
    }
    value = count > 0;
  };
  last_ = app_->add_flag_function(names, read, help)->group(group_);
}

void CommandLine::required() { last_->required(); }

void CommandLine::finish_words() const {
  const std::vector<std::string> left = app_->remaining();
  const auto word = [](const std::string& text) { return !text.starts_with('-') || text == "-"; };
  if (!extras_ || left.empty() || !std::ranges::all_of(left, word)) return reject_leftovers(*app_);
  extras_(left);
}

bool CommandLine::given(const std::string& name) const { return app_->get_option(name)->count() > 0; }

std::string CommandLine::text_of(const std::string& name) const { return app_->get_option(name)->results().front(); }

void CommandLine::require_given(const std::string& name, std::string_view what) const {
  if (!given(name)) throw WrongRequest(fmt::format("{} is required: {}", name, what));
}

}  // namespace ebm::tools
