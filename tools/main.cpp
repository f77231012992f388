// The `ebm` program: a thin client of the public API. One file per command, cmd_NAME.cpp.
#include <CLI/CLI.hpp>
#include <array>
#include <exception>

#include "ebmcuda/device.hpp"
#include "tools/command.hpp"
#include "tools/config.hpp"
#include "tools/errors.hpp"

namespace {

int run(int argc, char** argv) {
  using namespace ebm::tools;
  CLI::App app{
      "Examples:\n"
      "  ebm data two_moons --n 8192 --out moons.npy\n"
      "  ebm train moons.npy --out moons.safetensors\n"
      "  ebm evaluate moons.safetensors moons.npy\n"
      "  ebm sample moons.safetensors --chains 1000 --out samples.npy\n"
      "  ebm plot moons.safetensors --density two_moons --out moons.png\n"
      "\n"
      "Trains, samples, judges and draws energy-based models p(x) = exp(-E(x)) / Z.\n",
      "ebm"};
  app.set_version_flag("--version", ebm::build_description().front());
  app.require_subcommand(1);
  const std::array commands{add_data_command(app),   add_train_command(app),    add_sample_command(app),
                            add_energy_command(app), add_evaluate_command(app), add_plot_command(app),
                            add_info_command(app)};
  for (const Command& command : commands) command.app->allow_extras();  // reject_leftovers says it better

  const auto chosen = [&]() -> const Command* {
    for (const Command& command : commands) {
      if (command.app->parsed()) return &command;
    }
    return nullptr;
  };
  try {
    app.parse(argc, argv);
    const Command& command = *chosen();
    reject_leftovers(*command.app);
    if (const CLI::Option* config = command.app->get_option_no_throw("--config"); config && config->count() > 0) {
      apply_config(*command.app, config->as<std::string>());
    }
    command.run();
    return 0;
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const std::exception& error) {
    const Command* command = chosen();
    return report(error, command == nullptr ? nullptr : command->app);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {  // what fails before the options are known
    return ebm::tools::report(error, nullptr);
  }
}
