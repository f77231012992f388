// A command is a CLI11 subcommand and what runs once its options are known to be good.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace ebm::tools {

struct Command {
  CLI::App* app;
  std::function<void()> run;
};

// Each adds its subcommand with options and help. cmd_NAME.cpp
Command add_data_command(CLI::App& ebm);
Command add_train_command(CLI::App& ebm);
Command add_sample_command(CLI::App& ebm);
Command add_energy_command(CLI::App& ebm);
Command add_evaluate_command(CLI::App& ebm);
Command add_plot_command(CLI::App& ebm);
Command add_info_command(CLI::App& ebm);

}  // namespace ebm::tools
