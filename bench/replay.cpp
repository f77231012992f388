// Claim: the replay buffer costs next to nothing beside the chains that it feeds. `draw` chooses the slots of an
// iteration; `draw_and_write_back` is ReplayBuffer::run with no steps: draw, restarts, copies to the chains and back.
// `run` has 20 steps of the network that is trained by default. Names end in batch:N/capacity:M/threads:T.
#include <fmt/format.h>

#include "bench/support.hpp"
#include "ebmcuda/replay_buffer.hpp"

namespace ebm::bench {
namespace {

struct Case {
  int dim;
  std::int64_t batch, capacity;
};

ReplayBuffer buffer(const Mlp& model, const Case& c) {
  return ReplayBuffer(model, {.capacity = c.capacity, .reinit_prob = 0.05f}, 0);
}

void draw(benchmark::State& state, const Settings& settings, const Case& c) {
  const ReplayBuffer slots = buffer(network(c.dim, {128, 128}), c);
  std::int64_t iteration = 0;
  for (auto _ : state) benchmark::DoNotOptimize(slots.draw(iteration++, c.batch));
  report(state, settings, 1, "slots", static_cast<double>(state.iterations() * c.batch), 0);
}

void run_steps(benchmark::State& state, const Settings& settings, const Case& c, std::int64_t steps, int threads) {
  const Mlp model = network(c.dim, {128, 128});
  ReplayBuffer slots = buffer(model, c);
  std::int64_t iteration = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        slots.run(model, LangevinDynamics{}, iteration++, c.batch, steps, settings.device(threads)));
  }
  report(state, settings, threads, "slots", static_cast<double>(state.iterations() * c.batch), 0);
}

void register_benchmarks(const Settings& settings) {
  const int threads = settings.all_threads();
  for (const Case& c : {Case{2, 256, 10'000}, Case{64, 256, 10'000}, Case{64, 10'000, 1'000'000}}) {
    const std::string tail = fmt::format("dim:{}/batch:{}/capacity:{}", c.dim, c.batch, c.capacity);
    benchmark::RegisterBenchmark(fmt::format("draw/{}/threads:1", tail).c_str(),
                                 [=, &settings](benchmark::State& state) { draw(state, settings, c); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
    for (const std::int64_t steps : {0, 20}) {
      const std::string full =
          fmt::format("{}/{}/threads:{}", steps == 0 ? "draw_and_write_back" : "run", tail, threads);
      benchmark::RegisterBenchmark(
          full.c_str(), [=, &settings](benchmark::State& state) { run_steps(state, settings, c, steps, threads); })
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace
}  // namespace ebm::bench

int main(int argc, char** argv) { return ebm::bench::run(argc, argv, ebm::bench::register_benchmarks); }
