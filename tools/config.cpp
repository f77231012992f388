#include "tools/config.hpp"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>
#include <vector>

#include "ebmcuda/error.hpp"
#include "tools/errors.hpp"

namespace ebm::tools {
namespace {

std::string place(const std::string& name, const toml::node& node) {
  return fmt::format("{}:{}", name, node.source().begin.line);
}

// The text that would stand on the command line; empty when the value is of no such kind.
std::optional<std::string> scalar_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* whole = node.as_integer()) return fmt::format("{}", whole->get());
  if (const auto* real = node.as_floating_point()) return fmt::format("{}", real->get());
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  return std::nullopt;
}

std::optional<std::string> value_text(const toml::node& node) {
  const auto* list = node.as_array();
  if (list == nullptr) return scalar_text(node);
  std::string text;
  for (const toml::node& element : *list) {
    const auto part = scalar_text(element);
    if (!part || element.is_boolean()) return std::nullopt;
    text += (text.empty() ? "" : ",") + *part;
  }
  return text;
}

}  // namespace

void apply_config(CLI::App& command, const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) throw FormatError(path.string(), "no such file");
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) throw FormatError(path.string(), "cannot be read");
  apply_config(command, text, path.string());
}

void apply_config(CLI::App& command, std::string_view toml, const std::string& name) {
  toml::table table;
  try {
    table = toml::parse(toml, name);
  } catch (const toml::parse_error& error) {
    std::ostringstream where;
    where << "line " << error.source().begin.line << ": " << error.description();
    throw FormatError(name, where.str());
  }

  std::vector<std::pair<CLI::Option*, std::string>> settings;
  for (const auto& [key, node] : table) {
    std::string option_name(key.str());
    std::ranges::replace(option_name, '_', '-');
    CLI::Option* option =
        option_name == "help" || option_name == "config" ? nullptr : command.get_option_no_throw("--" + option_name);
    if (option == nullptr) {
      const std::string near = nearest(option_name, option_names(command));
      throw ConfigError(fmt::format("{}: key", place(name, node)), std::string(key.str()),
                        near.empty() ? fmt::format("unknown; the keys are the options of ebm {}", command.get_name())
                                     : "unknown; did you mean " + near + "?");
    }
    const auto text = value_text(node);
    const bool flag = option->get_items_expected_max() == 0;
    if (!text || flag != node.is_boolean()) {
      throw ConfigError(fmt::format("{}: {}", place(name, node), key.str()), "(wrong type)",
                        flag ? "must be true or false" : "must be a number, text, or a list of numbers");
    }
    if (std::ranges::any_of(settings, [&](const auto& setting) { return setting.first == option; })) {
      throw ConfigError(fmt::format("{}: key", place(name, node)), std::string(key.str()), "given twice");
    }
    settings.emplace_back(option, *text);
  }
  for (const auto& [option, text] : settings) {
    if (option->count() > 0) continue;  // the command line wins
    option->add_result(text);
    option->run_callback();
  }
}

}  // namespace ebm::tools
