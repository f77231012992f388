// Claim: chains run near the machine's limit, whatever their number, and twice as fast on two cores. Whole steps:
// gradient, noise, update, and for mala the accept rule. Names are
// KIND/NETWORK/ACTIVATION/chains:N/steps:K/threads:T. `bytes_per_chain` is what the chains took from the allocator.
#include <fmt/format.h>
#include <malloc.h>

#include "bench/support.hpp"
#include "ebmcuda/chains.hpp"

namespace ebm::bench {
namespace {

struct Case {
  SamplerKind kind;
  MlpShape shape;
  std::int64_t chains, steps;
};

// Bytes that the program holds of the allocator.
std::size_t bytes_in_use() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

void run_case(benchmark::State& state, const Settings& settings, const Case& c, int threads) {
  const Energy energy(network(c.shape.dim, c.shape.hidden, c.shape.activation), settings.device(threads));
  const std::size_t before = bytes_in_use();
  Chains chains(energy, default_sampler(c.kind), {.n_chains = c.chains});
  const std::size_t bytes = bytes_in_use() - before;
  chains.run(1);  // first touch
  chains.clear_stats();
  for (auto _ : state) {
    chains.run(c.steps);
    chains.wait();
  }
  const ChainStats stats = chains.stats();
  if (stats.restarts > 0) state.SkipWithError("chains left the finite numbers");
  report(state, settings, threads, "chain_steps", static_cast<double>(stats.steps), flop_per_gradient(c.shape));
  state.counters["bytes_per_chain"] = static_cast<double>(bytes) / static_cast<double>(c.chains);
}

void add(const Settings& settings, const Case& c, int threads) {
  const std::string_view kind = to_string(c.kind);
  const std::string full =
      fmt::format("{}/{}/chains:{}/steps:{}/threads:{}", kind, name(c.shape), c.chains, c.steps, threads);
  auto* const benchmark = benchmark::RegisterBenchmark(
      full.c_str(), [=, &settings](benchmark::State& state) { run_case(state, settings, c, threads); });
  benchmark->UseRealTime()->Unit(benchmark::kMillisecond);
  if (c.chains >= 100'000) benchmark->Iterations(1);  // seconds each: nothing to be learnt about how many to take
}

void register_benchmarks(const Settings& settings) {
  using enum SamplerKind;
  const auto shape = [](int dim, std::vector<int> hidden, Activation activation = Activation::silu) {
    return MlpShape{.dim = dim, .hidden = std::move(hidden), .activation = activation};
  };
  // Widths, dimension, chains.
  const MlpShape small = shape(2, {64, 64}), plane = shape(2, {128, 128}), wide = shape(64, {128, 128}),
                 widest = shape(64, {256, 256});
  for (const int threads : settings.threads()) {
    for (const MlpShape& s : {small, plane, wide, widest}) {
      for (const std::int64_t chains : {64, 1000, 10'000}) add(settings, {langevin, s, chains, 60}, threads);
      add(settings, {mala, s, 1000, 60}, threads);
    }
  }
  const int threads = settings.all_threads();
  for (const MlpShape& s : {small, plane, wide}) add(settings, {langevin, s, 100'000, 60}, threads);
  add(settings, {langevin, plane, 1, 60}, threads);
  add(settings, {langevin, plane, 1'000'000, 60}, threads);
  for (const std::int64_t steps : {1, 10, 1000}) add(settings, {langevin, plane, 1000, steps}, threads);
  for (const std::vector<int>& hidden :
       {std::vector<int>{128}, std::vector<int>{128, 128, 128}, std::vector<int>{128, 128, 128, 128}}) {
    add(settings, {langevin, shape(2, hidden), 1000, 60}, threads);
  }
  for (const int dim : {8, 256, 784}) add(settings, {langevin, shape(dim, {128, 128}), 1000, 60}, threads);
  using enum Activation;
  for (const Activation a : {softplus, tanh, gelu, elu, relu}) {
    add(settings, {langevin, shape(2, {128, 128}, a), 1000, 60}, threads);
  }
}

}  // namespace
}  // namespace ebm::bench

int main(int argc, char** argv) { return ebm::bench::run(argc, argv, ebm::bench::register_benchmarks); }
