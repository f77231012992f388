// ebm export MODEL: the model of a checkpoint or of a PyTorch state dict, as a model file.
#include <memory>

#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/model_options.hpp"
#include "tools/options.hpp"
#include "tools/outputs.hpp"

namespace ebm::tools {
namespace {

struct ExportOptions {
  CommonOptions common;
  ModelOptions model;
  std::filesystem::path out;
  bool overwrite = false;
};

void run(const CommandLine& line, const ExportOptions& options) {
  const Console console(options.common.quiet);
  line.require_given("--out", "where the model goes (.safetensors)");
  static_cast<void>(options.common.open());
  Outputs outputs;
  outputs.protect(options.model.path);
  outputs.claim("--out", options.out);
  if (!options.overwrite) require_replaceable_model("--out", options.out);
  const Mlp model = options.model.load(console);
  outputs.reserve("--out", options.out, model.parameters().size_bytes());
  model.save(options.out);
  console.info("wrote {}", options.out.string());
}

}  // namespace

Command add_export_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "export", "Take the model out of a checkpoint or a PyTorch state dict",

      "Examples:\n"
      "  ebm export run.safetensors --out model.safetensors                     of a run that was stopped\n"
      "  ebm export net.safetensors --activation silu --out model.safetensors   of an nn.Sequential\n"
      "\n"
      "Writes MODEL as a model file. Every other command reads all three as well.\n");
  const auto options = std::make_shared<ExportOptions>();
  options->model.add(*line);
  line->add("--out", options->out, "FILE", "where the model goes (.safetensors)");
  line->add_flag("--overwrite", options->overwrite, "replace a file that is no model");
  options->model.add_hints(*line);
  options->common.add(*line);
  return {line, [line, options] { run(*line, *options); }};
}

}  // namespace ebm::tools
