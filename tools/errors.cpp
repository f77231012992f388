#include "tools/errors.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <new>
#include <numeric>
#include <utility>

#include "ebmcuda/error.hpp"
#include "tools/command_line.hpp"
#include "tools/ranks.hpp"
#include "tools/streams.hpp"

namespace ebm::tools {
namespace {

// Fields of the API whose option has another name.
constexpr std::pair<std::string_view, std::string_view> kOptionNames[] = {
    {"iterations", "steps"},         {"n_steps", "langevin-steps"},
    {"n_chains", "chains"},          {"capacity", "buffer-size"},
    {"chains", "ais-chains"},        {"temperatures", "ais-temperatures"},
    {"points", "quadrature-points"}, {"first_layer_scale", "init-scale"},
    {"outputs", "classes"},          {"fixed", "fix"},
};

// The positional argument that a field of the API names.
constexpr std::pair<std::string_view, std::string_view> kPositionals[] = {{"x", "DATA"}, {"data", "DATA"}};

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, substituted}));
    }
  }
  return row.back();
}

// Of several ranks that say the same the first is heard; the others are told what ended this one.
int complain(const CLI::App* command, int status, const std::string& message, bool of_another_rank = false) {
  if (!of_another_rank && ranks().fail(message)) return status;
  const std::string who = ranks().size() > 1 && !of_another_rank ? fmt::format("rank {}: ", ranks().rank()) : "";
  say(fmt::format("ebm{}{}: {}{}\n", command == nullptr ? "" : " ", command == nullptr ? "" : command->get_name(), who,
                  message));
  return status;
}

std::string explain(const ConfigError& error, const CLI::App* command) {
  const std::string field = command == nullptr ? error.field() : option_for_field(*command, error.field());
  return fmt::format("{} = {}: {}", field, error.value(), error.allowed());
}

}  // namespace

int report(const std::exception& error, const CLI::App* command) {
  if (const auto* config = dynamic_cast<const ConfigError*>(&error)) {
    return complain(command, kExitWrongRequest, explain(*config, command));
  }
  if (dynamic_cast<const FormatError*>(&error) != nullptr || dynamic_cast<const WrongRequest*>(&error) != nullptr)
    return complain(command, kExitWrongRequest, error.what());
  if (dynamic_cast<const CLI::ParseError*>(&error) != nullptr) {
    // CLI11 says "--steps: At Most 1 required but received 2".
    std::string what = error.what();
    if (const std::size_t at = what.find(": At Most 1 required"); at != std::string::npos) {
      what = what.substr(0, at) + " is given more than once";
    }
    const std::string help = command == nullptr ? "ebm --help" : fmt::format("ebm {} --help", command->get_name());
    return complain(command, kExitWrongRequest, fmt::format("{} (see {})", what, help));
  }
  if (dynamic_cast<const RankError*>(&error) != nullptr) return complain(command, kExitFailed, error.what(), true);
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return complain(command, kExitFailed, "out of memory");
  return complain(command, kExitFailed, error.what());
}

std::string option_for_field(const CLI::App& command, std::string_view field) {
  const std::string_view base = field.substr(0, field.find_first_of("[."));
  std::vector<std::string> candidates{std::string(base)};
  for (const auto& [api, option] : kOptionNames) {
    if (api == base) candidates.emplace_back(option);
  }
  for (std::string& name : candidates) {
    std::ranges::replace(name, '_', '-');
    if (command.get_option_no_throw("--" + name) != nullptr) return "--" + name;
  }
  for (const auto& [api, positional] : kPositionals) {
    if (api != base) continue;
    const CLI::Option* option = command.get_option_no_throw(std::string(positional));
    if (option != nullptr && option->count() > 0) return fmt::format("{} ({})", positional, option->results().front());
  }
  return std::string(field);
}

std::string options_in(const CommandLine& line, const std::string& advice) {
  std::string text;
  for (std::size_t at = 0; at < advice.size();) {
    const std::size_t end = std::min(advice.find_first_of(" ,", at), advice.size());
    const std::string word = advice.substr(at, end - at);
    text += word.find('_') == std::string::npos ? word : option_for_field(line.app(), word);
    if (end < advice.size()) text += advice[end];
    at = end + 1;
  }
  return text;
}

void reject_leftovers(const CLI::App& command) {
  const std::vector<std::string> left = command.remaining();
  if (left.empty()) return;
  const auto option = std::ranges::find_if(left, [](const std::string& s) { return s.starts_with("-"); });
  if (option == left.end()) throw WrongRequest(fmt::format("{}: one argument too many", left.front()));
  const std::string name = option->substr(0, option->find('='));
  const std::string near =
      nearest(name.substr(std::min(name.find_first_not_of('-'), name.size())), option_names(command));
  throw WrongRequest(fmt::format("{}: unknown option; {}", name,
                                 near.empty() ? "see --help" : fmt::format("did you mean --{}?", near)));
}

std::string nearest(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  }
  return names;
}

}  // namespace ebm::tools
