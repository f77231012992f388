#include "tools/command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <limits>

#include "ebmcuda/error.hpp"

namespace ebm::tools {
namespace {

template <class Value>
bool read_all(std::string_view text, Value& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// A whole number written plainly or like 1e5, within [lo, hi].
template <class Value>
Value whole_number(std::string_view option, const std::string& text) {
  constexpr Value kLow = std::numeric_limits<Value>::min(), kHigh = std::numeric_limits<Value>::max();
  Value value{};
  if (read_all(text, value)) return value;
  double real = 0;
  if (read_all(text, real) && std::nearbyint(real) == real && std::fabs(real) <= 0x1p53 &&
      real >= static_cast<double>(kLow) && real <= static_cast<double>(kHigh)) {
    return static_cast<Value>(real);
  }
  throw ConfigError(std::string(option), text, fmt::format("must be a whole number in {} .. {}", kLow, kHigh));
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts{""};
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else if (c != ' ') {
      parts.back() += c;
    }
  }
  return parts;
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
  if (!read_all(text, value)) throw ConfigError(std::string(option), text, "must be a number");
}
void parse(std::string_view option, const std::string& text, float& value) {
  double wide = 0;
  parse(option, text, wide);
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

void parse(std::string_view option, const std::string& text, std::vector<float>& value) {
  value.clear();
  for (const std::string& part : split(text, ',')) {
    if (!read_all(part, value.emplace_back())) {
      throw ConfigError(std::string(option), text, "must be numbers separated by commas, such as 1,0.5,0.2");
    }
  }
}

void parse(std::string_view option, const std::string& text, Box& value) {
  const auto parts = split(text, ',');
  float lo = 0, hi = 0;
  if (parts.size() != 2 || !read_all(parts[0], lo) || !read_all(parts[1], hi)) {
    throw ConfigError(std::string(option), text, "must be LO,HI, such as -1,1");
  }
  value = Box{{lo}, {hi}};
}

CommandLine::CommandLine(CLI::App& ebm, const std::string& name, const std::string& summary, const std::string& help)
    : app_(ebm.add_subcommand(name, summary)) {
  app_->footer(help);
  app_->allow_extras();  // reject_leftovers says it better
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

bool CommandLine::given(const std::string& name) const { return app_->get_option(name)->count() > 0; }

std::string CommandLine::text_of(const std::string& name) const { return app_->get_option(name)->results().front(); }

void CommandLine::require_given(const std::string& name, std::string_view what) const {
  if (!given(name)) throw WrongRequest(fmt::format("{} is required: {}", name, what));
}

}  // namespace ebm::tools
