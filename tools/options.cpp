#include "tools/options.hpp"

#include <fmt/format.h>

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

Precision parse_precision(std::string_view text, std::string_view option) {
  if (text == "fp32") return Precision::fp32;
  if (text == "fp16") return Precision::fp16;
  if (text == "fp16x3") return Precision::fp16x3;
  throw ConfigError(std::string(option), std::string(text), "must be one of fp32 fp16 fp16x3");
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

void parse(std::string_view option, const std::string& text, Box& value) {
  const auto parts = split(text, ',');
  float lo = 0, hi = 0;
  if (parts.size() != 2 || !read_all(parts[0], lo) || !read_all(parts[1], hi)) {
    throw ConfigError(std::string(option), text, "must be LO,HI, such as -1,1");
  }
  value = Box{{lo}, {hi}};
}

CLI::Option* add_switch(CLI::App& app, const std::string& names, std::optional<bool>& value, const std::string& help) {
  const auto read = [names, &value](std::int64_t count) {
    if (count == 0)
      throw ConfigError(names.substr(0, names.find(',')), "both", "is given with its opposite; choose one");
    value = count > 0;
  };
  return app.add_flag_function(names, read, help);
}

void require_given(const CLI::App& app, const std::string& option, std::string_view what) {
  if (app.get_option(option)->count() == 0) throw ConfigError(option, "(not given)", std::string(what));
}

void CommonOptions::add(CLI::App& app, bool with_precision) {
  add_option(app, "--seed", seed_given, "S", "seed of all random numbers (default 0)");
  add_option(app, "--device", device, "DEVICE", "auto, cpu, cuda or cuda:N (default auto: a GPU that works, else cpu)");
  add_option(app, "--threads", threads, "N", "CPU threads; 0: all (default 0)");
  app.add_flag("--quiet,-q", quiet, "print nothing but results and errors");
  if (with_precision) {
    add_choice(app, "--precision", precision, parse_precision, "P",
               "fp32, fp16 or fp16x3: arithmetic of the energy's gradient on a GPU (default fp32)");
  }
  for (CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (name == "seed" || name == "device" || name == "threads" || name == "quiet" || name == "precision") {
        option->group("Common options");
      }
    }
  }
}

Device CommonOptions::open() const {
  const Precision wanted = precision.value_or(Precision::fp32);
  Device opened = Device::cpu(threads);  // checks --threads whatever the device
  if (device == "auto") {
    opened = Device::automatic(threads);
  } else if (device == "cuda") {
    opened = Device::cuda();
  } else if (device.starts_with("cuda:")) {
    int ordinal = 0;
    if (!read_all(std::string_view(device).substr(5), ordinal)) {
      throw ConfigError("--device", device, "must be auto, cpu, cuda or cuda:N");
    }
    opened = Device::cuda(ordinal);
  } else if (device != "cpu") {
    throw ConfigError("--device", device, "must be auto, cpu, cuda or cuda:N");
  }
  if (opened.kind() == Device::Kind::cuda) return Device::cuda(opened.ordinal(), wanted);
  if (wanted != Precision::fp32) {
    throw ConfigError("--precision", wanted == Precision::fp16 ? "fp16" : "fp16x3",
                      "the CPU engine computes in fp32; this precision needs --device cuda");
  }
  return opened;
}

}  // namespace ebm::tools
