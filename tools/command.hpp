// A command: its options, and what runs once they have been read.
#pragma once

#include <functional>
#include <memory>

#include "tools/command_line.hpp"

namespace ebm::tools {

struct Command {
  std::shared_ptr<CommandLine> line;
  std::function<void()> run;
  bool over_ranks = false;  // all ranks run it together; else the first alone
};

// Each adds its subcommand to `ebm`. cmd_NAME.cpp
Command add_data_command(CLI::App& ebm);
Command add_train_command(CLI::App& ebm);
Command add_sample_command(CLI::App& ebm);
Command add_energy_command(CLI::App& ebm);
Command add_evaluate_command(CLI::App& ebm);
Command add_score_command(CLI::App& ebm);
Command add_predict_command(CLI::App& ebm);
Command add_plot_command(CLI::App& ebm);
Command add_info_command(CLI::App& ebm);
Command add_export_command(CLI::App& ebm);

}  // namespace ebm::tools
