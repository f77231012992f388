// From exceptions to what a person reads and a script tests: exit 2, the request is wrong and nothing was written;
// exit 1, it failed while running.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace ebm::tools {

class CommandLine;

inline constexpr int kExitFailed = 1;
inline constexpr int kExitWrongRequest = 2;

// A command's own failure while running (a refusal, an interrupt): exit 1 with this message.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Says what was wrong on stderr ("ebm train: --step-size = -1: must be finite and > 0") and returns the exit status.
// `command` is null when the failure came before any command was recognised.
int report(const std::exception& error, const CLI::App* command);

// The option of `command` that an API field belongs to ("step_size" -> "--step-size"), else the field itself.
std::string option_for_field(const CLI::App& command, std::string_view field);

// The library's advice with its fields as the options they are: "a smaller learning_rate" -> "a smaller
// --learning-rate".
std::string options_in(const CommandLine& line, const std::string& advice);

// Throws WrongRequest when arguments are left over: an unknown option, with the nearest known one, or a surplus value.
void reject_leftovers(const CLI::App& command);

// The nearest of `known` by edit distance when it is near enough to be a slip, else empty.
std::string nearest(std::string_view name, const std::vector<std::string>& known);

// Long names of the options of `command`, without dashes.
std::vector<std::string> option_names(const CLI::App& command);

}  // namespace ebm::tools
