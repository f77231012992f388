// Claim: the engine is fast in the regimes that people use: a small batch of chains, as many as fit, a training
// iteration, annealing, wide networks. On a GPU everything goes through the public handles on one stream and is timed
// by CUDA events; the clock is read while the device works (scripts/gpu.sh runs it there). Takes the options of
// bench/support.hpp (--device=cpu, the default, or cuda), and
//
//   --samples=N       measurements per benchmark (default 24 on a GPU, 3 on a CPU); the median is reported
//   --toy             sizes and samples for a simulated device, whose times say nothing
//   --case=NAME       this benchmark in the place of all, of any size, as often as it is given: the name of chains
//   below
//   --only-once       without the launches that warm up: for a profiler
//
// Names are GROUP/SAMPLER/NETWORK/ACTIVATION/PRECISION/chains:N/steps:K for chains (groups small, large, wide; steps is
// K of one launch), training/.../batch:N/steps:K, annealed/.../chains:N/temperatures:T (the engine's part) and ais/...
// (all of ais_log_z, its pilot run included), energy/... and gradient/.../points:N. Counters: `median_us`, `min_us` and
// `max_us` of one launch (a call of run(), an iteration, an annealing), `queued_us` what the host needs to queue it, a
// rate by the median, and a GPU's `sm_mhz`, `memory_mhz`, `watts`, `celsius` and `clock_limits`
// (nvmlClocksEventReasons). The label is the engine's path.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "bench/device_timer.hpp"
#include "bench/support.hpp"
#include "ebmcuda/chains.hpp"
#include "ebmcuda/densities.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/log_z.hpp"
#include "ebmcuda/trainer.hpp"

namespace ebm::bench {
namespace {

struct Options {
  int samples = 0;  // 0: the device's default
  bool toy = false, once = false;
  std::vector<std::string> cases;
};
Options options;

std::string_view to_string(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::fp16:
      return "fp16";
    case Precision::fp16x3:
      return "fp16x3";
  }
  return {};
}

// What every benchmark does: warm up, then `samples` times the median of which is one launch's time.
class Measurement {
 public:
  Measurement(benchmark::State& state, const Settings& settings) : state_(state), timer_(settings.on_cpu()) {}
  DeviceTimer& timer() { return timer_; }

  // `work` queues `launches` launches on timer().stream(): one sample.
  void run(const std::function<void()>& work, int launches, bool held) {
    const auto sample = [&] {
      const DeviceTimer::Sample s = timer_.time(work, held);
      return DeviceTimer::Sample{s.seconds / launches, s.queued / launches};
    };
    // The first launches load kernels; launches after those are split by what was measured of them.
    for (int i = 0; i < (options.once ? 0 : 3); ++i) sample();
    std::vector<double> seconds, queued;
    for (auto _ : state_) {
      const DeviceTimer::Sample s = sample();
      seconds.push_back(s.seconds);
      queued.push_back(s.queued);
      state_.SetIterationTime(s.seconds * launches);
    }
    median_ = median(seconds);
    state_.counters["median_us"] = 1e6 * median_;
    state_.counters["min_us"] = 1e6 * std::ranges::min(seconds);
    state_.counters["max_us"] = 1e6 * std::ranges::max(seconds);
    state_.counters["queued_us"] = 1e6 * median(queued);
    state_.counters["samples"] = static_cast<double>(seconds.size());
    state_.counters["launches_per_sample"] = launches;
    if (const auto& gpu = timer_.state()) {
      state_.counters["sm_mhz"] = gpu->sm_mhz;
      state_.counters["memory_mhz"] = gpu->memory_mhz;
      state_.counters["watts"] = gpu->milliwatts / 1000.0;
      state_.counters["celsius"] = gpu->celsius;
      state_.counters["clock_limits"] = static_cast<double>(gpu->limits);
    }
  }
  // After run(): `count` of `unit` in one launch, at `flop` operations each.
  void rate(const char* unit, double count, double flop) {
    state_.counters[fmt::format("{}_per_second", unit)] = count / median_;
    if (flop > 0) state_.counters["GFLOP_per_second"] = count * flop / median_ / 1e9;
  }

 private:
  static double median(std::vector<double> values) {
    std::ranges::sort(values);
    const std::size_t n = values.size();
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
  }

  benchmark::State& state_;
  DeviceTimer timer_;
  double median_ = 0;
};

struct ChainCase {
  std::string group;
  SamplerKind kind = SamplerKind::langevin;
  MlpShape shape;
  Precision precision = Precision::fp32;
  std::int64_t chains = 0, steps = 0;
};

void run_chains(benchmark::State& state, const Settings& settings, const ChainCase& c) {
  Measurement measure(state, settings);
  const DeviceTimer& timer = measure.timer();
  const Energy energy(network(c.shape.dim, c.shape.hidden, c.shape.activation),
                      timer.device(settings.all_threads(), c.precision));
  state.SetLabel(energy.description());
  Chains chains(energy, default_sampler(c.kind), {.n_chains = c.chains});
  chains.wait();
  // Time a small batch's launches together: one is shorter than what two events can tell apart.
  const int launches = options.once || settings.on_cpu() || c.group != "small" ? 1 : options.toy ? 2 : 20;
  measure.run(
      [&] {
        if (settings.on_cpu()) {
          chains.run(c.steps);
          chains.wait();
          return;
        }
        for (int i = 0; i < launches; ++i) chains.run(c.steps, timer.stream());
      },
      launches, true);
  measure.rate("chain_steps", static_cast<double>(c.chains * c.steps), flop_per_gradient(c.shape));
  if (chains.stats().restarts > 0) state.SkipWithError("chains left the finite numbers");
}

struct TrainingCase {
  MlpShape shape;
  Precision precision;
  std::int64_t batch, steps;
};

void run_training(benchmark::State& state, const Settings& settings, const TrainingCase& c) {
  Measurement measure(state, settings);
  const Device device = measure.timer().device(settings.all_threads(), c.precision);
  const Mlp model = network(c.shape.dim, c.shape.hidden);
  const std::size_t points = options.toy ? 64 : 8192;
  const Matrix data = c.shape.dim == 2 ? draw(Density2d::two_moons, points, 0) : uniform_start(model, points, 0);
  TrainerOptions training = TrainerOptions::defaults(c.shape.dim);
  training.iterations = std::int64_t{1} << 40;  // never reached: the rate stays constant
  training.optimizer.learning_rate = 1e-4f;     // so that the network stays tame for any number of iterations
  training.batch_size = c.batch;
  training.objective.n_steps = c.steps;
  if (options.toy) training.objective.buffer.capacity = 64;
  state.SetLabel(Energy(model, device).description());
  Trainer trainer(model, data, training, device);
  // 64 iterations a call: the host reads their statistics behind them.
  const int together = options.toy ? 2 : settings.on_cpu() ? 1 : 64;
  measure.run([&] { trainer.fit({}, together); }, together, false);
  measure.rate("chain_steps", static_cast<double>(c.batch * c.steps), flop_per_gradient(c.shape));
}

GaussianEnergy standard_normal(int dim) {
  const auto d = static_cast<std::size_t>(dim);
  GaussianEnergy base{std::vector<float>(d), Matrix(d, d)};
  for (std::size_t i = 0; i < d; ++i) base.root(i, i) = 1;
  return base;
}

void run_annealed(benchmark::State& state, const Settings& settings, const MlpShape& shape, std::int64_t n,
                  std::int64_t temperatures) {
  Measurement measure(state, settings);
  ChainsOptions start{.n_chains = n};
  start.base = standard_normal(shape.dim);
  const Energy energy(network(shape.dim, shape.hidden),
                      measure.timer().device(settings.all_threads(), Precision::fp32));
  state.SetLabel(energy.description());
  Chains chains(energy, Mala{}, start);
  measure.run(
      [&] {
        for (std::int64_t k = 1; k <= temperatures; ++k) {
          chains.set_beta(static_cast<float>(k) / static_cast<float>(temperatures));
          chains.run(1);
        }
        if (settings.on_cpu()) chains.wait();
      },
      1, false);
  const double dim = shape.dim;
  measure.rate("chain_steps", static_cast<double>(n * temperatures), flop_per_gradient(shape) + 4 * dim * dim);
}

void run_ais(benchmark::State& state, const Settings& settings, const MlpShape& shape, std::int64_t n,
             std::int64_t temperatures) {
  Measurement measure(state, settings);
  const Mlp model = network(shape.dim, shape.hidden);
  const Device device = measure.timer().device(settings.all_threads(), Precision::fp32);
  AisOptions annealing;
  annealing.temperatures = temperatures;
  annealing.chains = n;
  annealing.reverse = false;
  measure.run([&] { benchmark::DoNotOptimize(ais_log_z(model, annealing, {}, device).log_z_forward); }, 1, false);
  measure.rate("chain_steps", static_cast<double>(n * temperatures), 0);
}

// E, or E and its gradient, at the positions of chains: points that are on the device already.
void run_energy(benchmark::State& state, const Settings& settings, const MlpShape& shape, std::int64_t points,
                bool gradient) {
  Measurement measure(state, settings);
  const Energy energy(network(shape.dim, shape.hidden),
                      measure.timer().device(settings.all_threads(), Precision::fp32));
  state.SetLabel(energy.description());
  const auto n = static_cast<std::size_t>(points);
  const Chains chains(energy, LangevinDynamics{}, {.n_chains = points});
  // Device memory to write to: the positions of other chains.
  Chains room(energy, LangevinDynamics{}, {.n_chains = gradient ? points : points / shape.dim + 1});
  const Matrix x = settings.on_cpu() ? chains.positions() : Matrix();
  std::vector<float> e(n), g(gradient ? n * static_cast<std::size_t>(shape.dim) : 0);
  void* const stream = measure.timer().stream();
  float* const out = settings.on_cpu() ? nullptr : room.write_positions(stream);
  const DeviceMatrixView view = settings.on_cpu() ? DeviceMatrixView{} : chains.device_positions(stream);
  measure.run(
      [&] {
        if (settings.on_cpu()) {
          gradient ? energy.gradient(x, g, e) : energy.values(x, e);
        } else {
          gradient ? energy.gradient(view, out, nullptr, stream) : energy.values(view, out, stream);
        }
      },
      1, true);
  measure.rate("points", static_cast<double>(points), flop_per_gradient(shape) / (gradient ? 1 : 2));
}

int samples(const Settings& settings) {
  if (options.samples > 0) return options.samples;
  if (options.toy) return 2;
  return settings.on_cpu() ? 3 : 24;
}

template <class Run>
void add(const Settings& settings, const std::string& name, const Run& run) {
  benchmark::RegisterBenchmark(name.c_str(), [=, &settings](benchmark::State& state) { run(state, settings); })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond)
      ->Iterations(samples(settings));
}

void add(const Settings& settings, const ChainCase& c) {
  add(settings,
      fmt::format("{}/{}/{}/{}/chains:{}/steps:{}", c.group, ebm::to_string(c.kind), name(c.shape),
                  to_string(c.precision), c.chains, c.steps),
      [c](benchmark::State& state, const Settings& s) { run_chains(state, s, c); });
}

[[noreturn]] void refuse(const std::string& text) {
  throw ConfigError("--case", text, "must be GROUP/SAMPLER/NETWORK/ACTIVATION/PRECISION/chains:N/steps:K");
}

std::int64_t number(std::string_view word, std::string_view key, const std::string& text) {
  std::int64_t value = 0;
  if (!word.starts_with(key)) refuse(text);
  word.remove_prefix(key.size());
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value < 1) refuse(text);
  return value;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (c == separator) {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

ChainCase parse_case(const std::string& text) {
  const std::vector<std::string> words = split(text, '/');
  if (words.size() != 7) refuse(text);
  ChainCase c;
  c.group = words[0];
  c.kind = parse_sampler_kind(words[1], "--case");
  std::vector<std::int64_t> sizes;
  for (const std::string& size : split(words[2], '-')) sizes.push_back(number(size, "", text));
  if (sizes.size() < 3 || sizes.back() != 1) refuse(text);
  c.shape.dim = static_cast<int>(sizes.front());
  for (std::size_t i = 1; i + 1 < sizes.size(); ++i) c.shape.hidden.push_back(static_cast<int>(sizes[i]));
  c.shape.activation = parse_activation(words[3], "--case");
  bool known = false;
  for (const Precision p : {Precision::fp32, Precision::fp16, Precision::fp16x3}) {
    if (to_string(p) != words[4]) continue;
    c.precision = p;
    known = true;
  }
  if (!known) refuse(text);
  c.chains = number(words[5], "chains:", text);
  c.steps = number(words[6], "steps:", text);
  return c;
}

void register_benchmarks(const Settings& settings) {
  using enum SamplerKind;
  for (const std::string& text : options.cases) add(settings, parse_case(text));
  if (!options.cases.empty()) return;

  const bool toy = options.toy;
  const auto shape = [](int dim, std::vector<int> hidden) { return MlpShape{.dim = dim, .hidden = std::move(hidden)}; };
  const MlpShape plane = shape(2, {128, 128}), wide = shape(64, {128, 128});
  std::vector<Precision> precisions{Precision::fp32};
  if (!settings.on_cpu()) precisions.insert(precisions.end(), {Precision::fp16x3, Precision::fp16});
  for (const Precision precision : precisions) {
    for (const MlpShape& s : {plane, wide}) {
      for (const SamplerKind kind : {langevin, mala}) {
        for (const std::int64_t steps : {1, 20}) {
          if (!toy || steps == 1) add(settings, {"small", kind, s, precision, toy ? 8 : 256, steps});
        }
        const std::int64_t many = toy ? 40 : settings.on_cpu() ? 10'000 : 1'000'000;
        add(settings, {"large", kind, s, precision, many, toy ? 1 : 20});
      }
      const TrainingCase training{s, precision, toy ? 8 : 256, toy ? 1 : s.dim == 2 ? 20 : 10};
      add(settings,
          fmt::format("training/mala/{}/{}/batch:{}/steps:{}", name(s), to_string(precision), training.batch,
                      training.steps),
          [training](benchmark::State& state, const Settings& of) { run_training(state, of, training); });
    }
    for (const MlpShape& s : {shape(784, {512, 512}), shape(3072, {1024, 1024})}) {
      if (toy && s.dim > 784) continue;
      const std::int64_t many = toy ? 8 : settings.on_cpu() ? 256 : s.dim > 784 ? 8192 : 32'768;
      add(settings, {"wide", langevin, s, precision, many, toy || settings.on_cpu() ? 1 : 4});
    }
  }
  const std::int64_t chains = toy ? 8 : 1000, temperatures = toy ? 3 : settings.on_cpu() ? 50 : 1000;
  const std::int64_t points = toy ? 40 : settings.on_cpu() ? 10'000 : 1'000'000;
  for (const MlpShape& s : {plane, wide}) {
    const std::string tail = fmt::format("{}/fp32/chains:{}/temperatures:{}", name(s), chains, temperatures);
    add(settings, "annealed/mala/" + tail,
        [=](benchmark::State& state, const Settings& of) { run_annealed(state, of, s, chains, temperatures); });
    if (!toy)  // its pilot run has no toy size
      add(settings, "ais/mala/" + tail,
          [=](benchmark::State& state, const Settings& of) { run_ais(state, of, s, chains, temperatures); });
    for (const bool gradient : {false, true}) {
      add(settings, fmt::format("{}/{}/fp32/points:{}", gradient ? "gradient" : "energy", name(s), points),
          [=](benchmark::State& state, const Settings& of) { run_energy(state, of, s, points, gradient); });
    }
  }
}

// Takes this program's own options out of the command line.
void take_options(int* argc, char** argv) {
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    const std::string argument = argv[i];
    constexpr std::string_view kSamples = "--samples=", kCase = "--case=";
    if (argument == "--toy") {
      options.toy = true;
    } else if (argument == "--only-once") {
      options.once = true;
      options.samples = 1;
    } else if (argument.starts_with(kCase)) {
      options.cases.push_back(argument.substr(kCase.size()));
    } else if (argument.starts_with(kSamples)) {
      options.samples = std::atoi(argument.c_str() + kSamples.size());
      if (options.samples < 1) {
        fmt::print(stderr, "--samples: must be a number >= 1, not {}\n", argument.substr(kSamples.size()));
        std::exit(2);
      }
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  argv[kept] = nullptr;
}

}  // namespace
}  // namespace ebm::bench

int main(int argc, char** argv) {
  ebm::bench::take_options(&argc, argv);
  return ebm::bench::run(argc, argv, ebm::bench::register_benchmarks);
}
