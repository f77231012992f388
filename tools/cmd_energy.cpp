// ebm energy M DATA: the energy of every point, and its gradient.
#include <memory>
#include <optional>

#include "ebmcuda/files.hpp"
#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/inputs.hpp"
#include "tools/model_options.hpp"
#include "tools/options.hpp"
#include "tools/outputs.hpp"
#include "tools/streams.hpp"

namespace ebm::tools {
namespace {

struct EnergyOptions {
  CommonOptions common;
  ModelOptions model;
  DataOptions data;
  std::optional<std::filesystem::path> out, gradient;
};

void run(const EnergyOptions& options) {
  const Console console(options.common.quiet);
  const Device device = options.common.open();
  Outputs outputs;
  outputs.protect(options.model.path);
  outputs.protect(options.data.path);
  if (options.data.labels) outputs.protect(*options.data.labels);
  if (options.out) outputs.claim("--out", *options.out, {".npy", ".csv"});
  if (options.gradient) outputs.claim("--gradient", *options.gradient, {".npy", ".csv"});
  const Mlp model = options.model.load(console);
  const Data data = options.data.read(console, &model);
  if (options.out) outputs.reserve_values("--out", *options.out, data.x.rows());
  if (options.gradient) outputs.reserve_values("--gradient", *options.gradient, data.x.values().size());

  std::vector<float> energies;
  if (options.gradient) {
    const Matrix gradient = energy_gradient(model, data.x, device, &energies);
    if (!data.labels.empty()) energies = joint_energy(model, data.x, data.labels, device);
    write_matrix(*options.gradient, gradient);
    console.info("wrote {}: {}", options.gradient->string(), shape_text(gradient));
  } else {
    energies = data.labels.empty() ? energy(model, data.x, device) : joint_energy(model, data.x, data.labels, device);
  }
  if (options.out) {
    write_vector(*options.out, energies);
    console.info("wrote {}: {} energies", options.out->string(), energies.size());
  } else {
    print_rows({energies.data(), energies.size(), 1});
  }
}

}  // namespace

Command add_energy_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "energy", "The energy of every point, and its gradient",

      "Examples:\n"
      "  ebm energy moons.safetensors moons.npy --out energies.npy\n"
      "  ebm energy moons.safetensors moons.npy --gradient gradients.npy --out energies.npy\n"
      "  ebm energy digits.safetensors digits.csv --columns 0:64            one energy a line\n"
      "  ebm energy jem.safetensors digits.csv --label-column 64            E(x, y) of each row with its label\n"
      "\n"
      "Computes E(x), log p(x) = -E(x) - log Z, for every row of DATA (data units).\n");
  const auto options = std::make_shared<EnergyOptions>();
  options->model.add(*line);
  options->data.add(*line, DataOptions::Labels::classes);
  line->add("--out", options->out, "FILE", "energies, one axis, .npy or .csv (default: one a line on stdout)");
  line->add("--gradient", options->gradient, "FILE", "dE/dx in data units, [N, D]; of E(x) with labels too");
  options->model.add_hints(*line);
  options->common.add(*line);
  return {line, [options] { run(*options); }};
}

}  // namespace ebm::tools
