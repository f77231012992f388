// The `ebm` program: a thin client of the public API. One file per command, cmd_NAME.cpp.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "ebmcuda/device.hpp"
#include "tools/command.hpp"
#include "tools/config.hpp"
#include "tools/errors.hpp"
#include "tools/ranks.hpp"
#include "tools/streams.hpp"

namespace {

// CLI11's help, except that what a command's footer says, examples and a sentence, comes first.
class ExamplesFirst : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    return app->get_footer() + '\n' + make_usage(app, std::move(name)) + make_positionals(app) +
           make_groups(app, mode) + make_subcommands(app, mode);
  }
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    std::string name = Formatter::make_option_name(option, is_positional);
    const std::string value = "{false}";  // what a negative flag sets: no news to a reader
    if (const std::size_t at = name.find(value); at != std::string::npos) name.erase(at, value.size());
    return name;
  }
};

// As CLI11 takes them. "--log=" is an empty value: CLI11 would take the next word for it.
std::vector<std::string> reversed_arguments(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool empty = argument.starts_with("--") && argument.size() > 3 && argument.find('=') == argument.size() - 1;
    arguments.push_back(empty ? argument.substr(0, argument.size() - 1) : argument);
    if (empty) arguments.emplace_back();
  }
  std::ranges::reverse(arguments);
  return arguments;
}

int run(int argc, char** argv) {
  using namespace ebm::tools;
  CLI::App app{"", "ebm"};
  app.formatter(std::make_shared<ExamplesFirst>());  // before the commands, which inherit it
  app.footer(
      "Examples:\n"
      "  ebm data two_moons --n 8192 --out moons.npy\n"
      "  ebm train moons.npy --out moons.safetensors\n"
      "  ebm evaluate moons.safetensors moons.npy --density two_moons\n"
      "  ebm sample moons.safetensors --chains 1000 --out samples.npy\n"
      "  ebm plot moons.safetensors --density two_moons --out moons.png\n"
      "\n"
      "Trains, samples, judges and draws energy-based models p(x) = exp(-E(x)) / Z.\n");
  app.set_version_flag("--version", [] { return ebm::build_description().front(); });
  app.require_subcommand(0, 1);
  app.allow_extras();
  const std::array commands{add_data_command(app),    add_train_command(app),    add_sample_command(app),
                            add_energy_command(app),  add_evaluate_command(app), add_score_command(app),
                            add_predict_command(app), add_plot_command(app),     add_info_command(app),
                            add_export_command(app)};

  const auto chosen = [&]() -> const Command* {
    for (const Command& command : commands) {
      if (command.line->app().parsed()) return &command;
    }
    return nullptr;
  };
  try {
    app.parse(reversed_arguments(argc, argv));
    if (const auto left = app.remaining(); chosen() == nullptr || !left.empty()) {
      throw WrongRequest(left.empty() ? std::string("a command is required (see ebm --help)")
                                      : left.front() + ": no command of ebm (see ebm --help)");
    }
    const Command& command = *chosen();
    if (!command.over_ranks && !leads()) return 0;
    command.line->finish_words();
    if (const CLI::Option* config = command.line->app().get_option_no_throw("--config");
        config && config->count() > 0) {
      apply_config(command.line->app(), config->as<std::string>());
    }
    command.run();
    return 0;
  } catch (const CLI::Success& success) {  // --help, --version
    std::ostringstream out, err;
    const int status = app.exit(success, out, err);
    print(out.str());
    return status;
  } catch (const std::exception& error) {
    const Command* command = chosen();
    return report(error, command == nullptr ? nullptr : &command->line->app());
  }
}

}  // namespace

int main(int argc, char** argv) {
  ebm::tools::prepare_streams();
  int status = 0;
  try {
    ebm::tools::join_ranks();
    status = run(argc, argv);
  } catch (const std::exception& error) {  // what fails before the options are known
    status = ebm::tools::report(error, nullptr);
  }
  ebm::tools::leave_ranks();
  return status;
}
