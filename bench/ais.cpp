// Claim: annealing costs little more than the chains it runs. `annealed_steps` is the engine's part, Mala steps on
// beta E + (1 - beta) E0 with a full-covariance Gaussian E0; `ais` is all of ais_log_z, its pilot run included.
// Operations are those of both energies: 4 D^2 more a step than E alone. Names end in
// NETWORK/ACTIVATION/chains:N/threads:T.
#include <fmt/format.h>

#include "bench/support.hpp"
#include "ebmcuda/chains.hpp"
#include "ebmcuda/log_z.hpp"

namespace ebm::bench {
namespace {

constexpr std::int64_t kChains = 1000;
constexpr std::int64_t kSteps = 50;

GaussianEnergy standard_normal(int dim) {
  const auto d = static_cast<std::size_t>(dim);
  GaussianEnergy base{std::vector<float>(d), Matrix(d, d)};
  for (std::size_t i = 0; i < d; ++i) base.root(i, i) = 1;
  return base;
}

void annealed_steps(benchmark::State& state, const Settings& settings, const Mlp& model, int threads) {
  ChainsOptions options{.n_chains = kChains};
  options.base = standard_normal(model.dim());
  Chains chains(Energy(model, settings.device(threads)), Mala{}, options);
  for (auto _ : state) {
    // One step at each temperature: the energies of the new density are at hand from the step before.
    for (std::int64_t k = 1; k <= kSteps; ++k) {
      chains.set_beta(static_cast<float>(k) / static_cast<float>(kSteps));
      chains.run(1);
    }
    chains.wait();
  }
  const double dim = model.dim();
  report(state, settings, threads, "chain_steps", static_cast<double>(state.iterations() * kChains * kSteps),
         flop_per_gradient(model.shape()) + 4 * dim * dim);
}

void whole(benchmark::State& state, const Settings& settings, const Mlp& model, int threads) {
  AisOptions options;
  options.temperatures = kSteps;
  options.chains = kChains;
  options.reverse = false;
  for (auto _ : state) benchmark::DoNotOptimize(ais_log_z(model, options, {}, settings.device(threads)).log_z_forward);
  report(state, settings, threads, "chain_steps", static_cast<double>(state.iterations() * kChains * kSteps), 0);
}

void register_benchmarks(const Settings& settings) {
  for (const Mlp& model : {network(2, {128, 128}), network(64, {128, 128}), network(64, {256, 256})}) {
    for (const int threads : settings.threads()) {
      const std::string tail = fmt::format("{}/chains:{}/threads:{}", name(model.shape()), kChains, threads);
      benchmark::RegisterBenchmark(
          ("annealed_steps/" + tail).c_str(),
          [=, &settings](benchmark::State& state) { annealed_steps(state, settings, model, threads); })
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
      benchmark::RegisterBenchmark(("ais/" + tail).c_str(),
                                   [=, &settings](benchmark::State& state) { whole(state, settings, model, threads); })
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
}

}  // namespace
}  // namespace ebm::bench

int main(int argc, char** argv) { return ebm::bench::run(argc, argv, ebm::bench::register_benchmarks); }
