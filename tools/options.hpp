// Options, read strictly: every value arrives as text and is parsed here, so that all messages read alike
// ("--steps = 1.5: must be a whole number") and command line and --config take one path.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/sampler.hpp"

namespace ebm::tools {

// Each throws ConfigError that names `option`. Whole numbers may be written 1e5.
void parse(std::string_view option, const std::string& text, std::int64_t& value);
void parse(std::string_view option, const std::string& text, std::uint64_t& value);
void parse(std::string_view option, const std::string& text, int& value);
void parse(std::string_view option, const std::string& text, float& value);
void parse(std::string_view option, const std::string& text, double& value);
void parse(std::string_view option, const std::string& text, std::string& value);
void parse(std::string_view option, const std::string& text, std::filesystem::path& value);  // not empty
void parse(std::string_view option, const std::string& text, std::vector<int>& value);       // "128,128"
void parse(std::string_view option, const std::string& text, Box& value);                    // "LO,HI"
template <class Value>
void parse(std::string_view option, const std::string& text, std::optional<Value>& value) {
  parse(option, text, value.emplace());
}

// Adds an option or positional ("--steps", "DATA") whose text is parsed into `value`, which must outlive the app's use.
template <class Value>
CLI::Option* add_option(CLI::App& app, const std::string& name, Value& value, const std::string& type,
                        const std::string& help) {
  const auto read = [name, &value](const std::string& text) { parse(name, text, value); };
  return app.add_option_function<std::string>(name, read, help)->type_name(type);
}

// As above for an enumerator by its name; `parse_name(text, option)` throws ConfigError that lists the names.
template <class Value, class ParseName>
CLI::Option* add_choice(CLI::App& app, const std::string& name, Value& value, ParseName parse_name,
                        const std::string& type, const std::string& help) {
  const auto read = [name, &value, parse_name](const std::string& text) { value = parse_name(text, name); };
  return app.add_option_function<std::string>(name, read, help)->type_name(type);
}

// A flag with its opposite, "--baselines,!--no-baselines".
CLI::Option* add_switch(CLI::App& app, const std::string& names, std::optional<bool>& value, const std::string& help);

// A required option is checked after --config has been applied, so that a file may give it.
void require_given(const CLI::App& app, const std::string& option, std::string_view what);

// --seed, --device, --threads, --quiet: every command. --precision where chains run.
struct CommonOptions {
  std::optional<std::uint64_t> seed_given;
  std::string device = "auto";
  int threads = 0;
  std::optional<Precision> precision;
  bool quiet = false;

  void add(CLI::App& app, bool with_precision = false);
  std::uint64_t seed() const { return seed_given.value_or(0); }
  // The device asked for. Throws ConfigError that names --device, --threads or --precision.
  Device open() const;
};

}  // namespace ebm::tools
