// Claim: E and dE/dx alone run near the FMA peak. Points come from and go to the caller's row-major arrays, as
// Energy::gradient() has them. Names are gradient/NETWORK/ACTIVATION/points:N/threads:T.
#include <fmt/format.h>

#include "bench/support.hpp"
#include "ebmcuda/energy.hpp"
#include "ebmcuda/sampler.hpp"

namespace ebm::bench {
namespace {

void run_case(benchmark::State& state, const Settings& settings, const Mlp& model, std::int64_t points, int threads) {
  const Energy loaded(model, settings.device(threads));
  const Matrix x = uniform_start(model, points, 0);
  Matrix gradient(x.rows(), x.cols());
  std::vector<float> energy(x.rows());
  loaded.gradient(x, gradient.values(), energy);  // first touch
  for (auto _ : state) {
    loaded.gradient(x, gradient.values(), energy);
    benchmark::DoNotOptimize(gradient.data());
  }
  report(state, settings, threads, "gradients", static_cast<double>(state.iterations() * points),
         flop_per_gradient(model.shape()));
}

void register_benchmarks(const Settings& settings) {
  struct Shape {
    int dim;
    std::vector<int> hidden;
  };
  for (const Shape& shape : {Shape{2, {64, 64}}, Shape{2, {128, 128}}, Shape{64, {128, 128}}, Shape{64, {256, 256}}}) {
    const Mlp model = network(shape.dim, shape.hidden);
    for (const int threads : settings.threads()) {
      for (const std::int64_t points : {64, 1000, 10'000}) {
        const std::string full = fmt::format("gradient/{}/points:{}/threads:{}", name(model.shape()), points, threads);
        benchmark::RegisterBenchmark(
            full.c_str(),
            [=, &settings](benchmark::State& state) { run_case(state, settings, model, points, threads); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
}

}  // namespace
}  // namespace ebm::bench

int main(int argc, char** argv) { return ebm::bench::run(argc, argv, ebm::bench::register_benchmarks); }
