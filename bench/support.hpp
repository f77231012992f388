// What the benchmark programs share: the device and thread counts of the command line, networks, and how a speed is
// reported. Each program takes Google Benchmark's options and
//
//   --device=cpu|cuda      where the chains run (default cpu)
//   --threads=1,2          CPU thread counts to sweep (default 1 and all)
//   --instruction-set=X    no better one than X: SSSE3, AVX2, ... (default the best that the machine has)
//   --clock=wall|cpu       what the FMA peak is timed with (default wall; scripts/performance.py has the rest)
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bench/fma_peak.hpp"
#include "ebmcuda/device.hpp"
#include "ebmcuda/mlp.hpp"

namespace ebm::bench {

class Settings {
 public:
  // Takes its own options out of the command line. Throws ConfigError.
  Settings(int* argc, char** argv);
  // Thread counts to sweep; just one element on a GPU.
  const std::vector<int>& threads() const noexcept { return threads_; }
  int all_threads() const { return threads_.back(); }
  bool on_cpu() const noexcept { return on_cpu_; }
  FmaPeak peak(int threads) const { return fma_peak(threads, clock_); }
  double fma_rate_now(int threads) const { return bench::fma_rate_now(threads, clock_); }
  Device device(int threads) const { return on_cpu_ ? Device::cpu(threads) : Device::cuda(); }

 private:
  bool on_cpu_ = true;
  PeakClock clock_ = PeakClock::wall;
  std::vector<int> threads_;
};

// main(): registers the benchmarks and runs those that the command line selects. Returns the exit status.
int run(int argc, char** argv, void (*register_benchmarks)(const Settings& settings));

// A network with confinement 1, so that chains stay near the origin for any number of steps.
Mlp network(int dim, std::vector<int> hidden, Activation activation = Activation::silu);
// "2-128-128-1/silu"
std::string name(const MlpShape& shape);
// Operations of E and dE/dx in the hidden matrices, forward and backward: 4 x their number of elements. Activations,
// noise and the head are not counted, so shares of the peak are of useful matrix work only.
double flop_per_gradient(const MlpShape& shape);
// Sets the counters: `count` of `unit` per second over all iterations of the benchmark, GFLOP/s at `flop` operations
// each, and on the CPU their share of the FMA peak of that many threads, measured right after them.
void report(benchmark::State& state, const Settings& settings, int threads, const char* unit, double count,
            double flop);

}  // namespace ebm::bench
