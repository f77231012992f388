// Sample with a loop of your own: find a step size, run until the diagnostics are good, keep what you need and no more.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ebmcuda/ebmcuda.hpp>

int main() {
  // Any network will do; a trained one comes from ebm::Mlp::load("moons.safetensors").
  const ebm::Mlp model = ebm::Mlp::random({.dim = 8, .hidden = {64, 64}, .confinement = 1.0f}, /*seed=*/1);
  ebm::Chains chains(ebm::Energy(model, ebm::Device::cpu()), ebm::Mala{.step_size = 0.01f},
                     {.n_chains = 64, .seed = 7});
  std::printf("%s\n", chains.energy().description().c_str());

  // Burn in, and move the step size towards an acceptance of 0.6 on the way.
  float step_size = 0.01f;
  for (int k = 0; k < 60; ++k) {
    chains.clear_stats();
    chains.run(20);
    step_size *= static_cast<float>(std::exp(0.5 * (chains.stats().acceptance() - 0.6)));
    chains.set_step_size(step_size);
  }
  chains.clear_stats();
  std::printf("step size %.3f\n", static_cast<double>(step_size));

  // Every fifth state, until each dimension has 2,000 effective samples. The mean is kept over all of them; whoever
  // needs only that need not keep the trajectory.
  std::vector<ebm::Matrix> trajectory;
  std::vector<double> sum(8);
  double ess = 0, rhat = 0;
  for (int round = 0; round < 20 && (ess < 2000 || rhat > 1.01); ++round) {
    chains.run(500, 5, [&](const ebm::ChainsProgress& now) {
      ebm::Matrix kept(now.positions.rows, now.positions.cols);
      std::ranges::copy(now.positions.values(), kept.values().begin());
      for (std::size_t i = 0; i < kept.rows(); ++i) {
        for (std::size_t d = 0; d < kept.cols(); ++d) sum[d] += static_cast<double>(kept(i, d));
      }
      trajectory.push_back(std::move(kept));
      return true;
    });
    ess = std::ranges::min(ebm::effective_sample_size(trajectory));
    rhat = std::ranges::max(ebm::split_rhat(trajectory));
    std::printf("%zu states kept: ESS %.0f, R-hat %.4f, acceptance %.2f\n", trajectory.size(), ess, rhat,
                chains.stats().acceptance());
  }
  const double count = static_cast<double>(trajectory.size() * chains.size());
  std::printf("mean of the first dimension %.3f\n", sum[0] / count);
  return ess >= 2000 && rhat <= 1.01 && chains.stats().restarts == 0 ? 0 : 1;
}
