// Claim: chains per second of the CUDA engine, by shape and precision. One JSON line.
//   gpu_chains --dim 64 --hidden 128,128 --precision fp16 --sampler langevin --chains 131072 --steps 200 --repeats 5
// The time is the host's, around Chains::run and wait: one launch and one wait. The best of `repeats` is reported.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>

#include "ebmcuda/ebmcuda.hpp"

namespace {

std::map<std::string, std::string> parse(int argc, char** argv) {
  std::map<std::string, std::string> options{{"dim", "64"},           {"hidden", "128,128"}, {"precision", "fp32"},
                                             {"sampler", "langevin"}, {"chains", "131072"},  {"steps", "200"},
                                             {"repeats", "5"},        {"device", "cuda"}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = std::string(argv[i]).substr(2);
    if (!options.contains(name)) throw ebm::ConfigError(name, argv[i + 1], "no such option");
    options[name] = argv[i + 1];
  }
  return options;
}

int run(int argc, char** argv) {
  auto options = parse(argc, argv);
  ebm::MlpShape shape;
  shape.dim = std::stoi(options["dim"]);
  shape.confinement = 0.1f;
  std::stringstream widths(options["hidden"]);
  for (std::string width; std::getline(widths, width, ',');) shape.hidden.push_back(std::stoi(width));
  const std::map<std::string, ebm::Precision> precisions{
      {"fp32", ebm::Precision::fp32}, {"fp16", ebm::Precision::fp16}, {"fp16x3", ebm::Precision::fp16x3}};
  const auto device =
      options["device"] == "cpu" ? ebm::Device::cpu() : ebm::Device::cuda(0, precisions.at(options["precision"]));
  const auto chains = std::stoull(options["chains"]);
  const auto steps = std::stoll(options["steps"]);

  const ebm::Energy energy(ebm::Mlp::random(shape, 1), device);
  ebm::Chains set(energy, ebm::default_sampler(ebm::parse_sampler_kind(options["sampler"])),
                  {.n_chains = static_cast<std::int64_t>(chains), .seed = 1});
  set.wait();
  double best = 1e30;
  for (int repeat = 0; repeat < std::stoi(options["repeats"]); ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    set.run(steps);
    set.wait();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  // Forward and gradient: 2 multiplications and 2 additions for each hidden weight.
  double weights = 0;
  for (int l = 0; l + 1 < shape.layers(); ++l) weights += static_cast<double>(shape.in(l)) * shape.out(l);
  const double rate = static_cast<double>(chains) * static_cast<double>(steps) / best;
  fmt::print(
      R"({{"engine": "{}", "path": "{}", "dim": {}, "hidden": "{}", "sampler": "{}", "chains": {}, "steps": {}, )"
      R"("seconds": {:.6g}, "chain_steps_per_second": {:.6g}, "teraflops": {:.4g}}})"
      "\n",
      energy.engine(), energy.path(), shape.dim, options["hidden"], options["sampler"], chains, steps, best, rate,
      4 * weights * rate * 1e-12);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const ebm::ConfigError& error) {
    fmt::print(stderr, "gpu_chains: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "gpu_chains: {}\n", error.what());
    return 1;
  }
}
