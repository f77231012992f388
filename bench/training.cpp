// Claim: a training iteration is chains and parameter gradient, and little else. After every iteration the two parts
// are run and timed alone, on the same network, number of chains and steps; `parts_of_iteration` is the sum of their
// times over the iteration's. The gradient alone also prepares its memory, which training does once, so the figure is
// slightly too high; scripts/performance.py also samples where a training run spends its time.
// Names are training/NETWORK/ACTIVATION/batch:N/steps:K/SAMPLER/threads:T.
#include <fmt/format.h>

#include <chrono>

#include "bench/support.hpp"
#include "ebmcuda/chains.hpp"
#include "ebmcuda/densities.hpp"
#include "ebmcuda/trainer.hpp"

namespace ebm::bench {
namespace {

struct Case {
  int dim;
  std::vector<int> hidden;
  std::int64_t batch, steps;
  bool adjusted;
};

// Seconds that `work` takes.
template <class Work>
double timed(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void run_case(benchmark::State& state, const Settings& settings, const Case& c, int threads) {
  const Device device = settings.device(threads);
  const Mlp model = network(c.dim, c.hidden);
  const Matrix data = c.dim == 2 ? draw(Density2d::two_moons, 8192, 0) : uniform_start(model, 8192, 0);
  TrainerOptions options = TrainerOptions::defaults(c.dim);
  options.iterations = std::int64_t{1} << 40;  // never reached: the rate stays constant
  options.optimizer.learning_rate = 1e-4f;     // so that the network stays tame for any number of iterations
  options.batch_size = c.batch;
  options.objective.n_steps = c.steps;
  if (!c.adjusted) {
    options.objective.sampler = LangevinDynamics{};
    options.objective.difference_prob = 0;
  }
  Trainer trainer(model, data, options, device);

  const Energy energy(model, device);
  Chains chains(energy, options.objective.sampler, {.n_chains = c.batch});
  const Matrix points = uniform_start(model, 2 * c.batch, 0);
  const std::vector<float> weights(points.rows(), 1.0f / static_cast<float>(c.batch));
  std::vector<float> gradient(model.parameters().size());

  double iteration = 0, parts = 0;
  for (auto _ : state) {
    const double seconds = timed([&] { trainer.fit({}, 1); });
    state.SetIterationTime(seconds);
    iteration += seconds;
    parts += timed([&] {
      chains.run(c.steps);
      chains.wait();
    });
    parts += timed([&] { energy.parameter_gradient(points, weights, gradient); });
  }
  const auto chain_steps = static_cast<double>(state.iterations() * c.batch * c.steps);
  report(state, settings, threads, "chain_steps", chain_steps, 0);
  state.counters["parts_of_iteration"] = parts / iteration;
}

void register_benchmarks(const Settings& settings) {
  for (const Case& c : {Case{2, {128, 128}, 256, 20, true}, Case{2, {128, 128}, 256, 60, false},
                        Case{64, {128, 128}, 256, 20, true}, Case{64, {256, 256}, 256, 20, true}}) {
    for (const int threads : settings.threads()) {
      const std::string full =
          fmt::format("training/{}/batch:{}/steps:{}/{}/threads:{}", name(network(c.dim, c.hidden).shape()), c.batch,
                      c.steps, c.adjusted ? "mala" : "langevin", threads);
      benchmark::RegisterBenchmark(full.c_str(),
                                   [=, &settings](benchmark::State& state) { run_case(state, settings, c, threads); })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
}

}  // namespace
}  // namespace ebm::bench

int main(int argc, char** argv) { return ebm::bench::run(argc, argv, ebm::bench::register_benchmarks); }
