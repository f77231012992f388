#include "bench/support.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <thread>

#include "ebmcuda/error.hpp"

namespace ebm::bench {
namespace {

std::vector<int> parse_threads(std::string_view list) {
  std::vector<int> threads;
  for (std::string_view rest = list; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find(','));
    int value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || value < 1) {
      throw ConfigError("--threads", std::string(list), "must be thread counts >= 1, separated by commas");
    }
    threads.push_back(value);
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
  }
  if (threads.empty()) throw ConfigError("--threads", std::string(list), "must hold at least one thread count");
  std::ranges::sort(threads);
  threads.erase(std::unique(threads.begin(), threads.end()), threads.end());
  return threads;
}

}  // namespace

Settings::Settings(int* argc, char** argv) {
  const int all = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  threads_ = all > 1 ? std::vector<int>{1, all} : std::vector<int>{1};
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = argv[i];
    constexpr std::string_view kDevice = "--device=", kThreads = "--threads=", kClock = "--clock=",
                               kInstructionSet = "--instruction-set=";
    if (argument.starts_with(kDevice)) {
      const std::string_view device = argument.substr(kDevice.size());
      if (device != "cpu" && device != "cuda")
        throw ConfigError("--device", std::string(device), "must be cpu or cuda");
      on_cpu_ = device == "cpu";
    } else if (argument.starts_with(kThreads)) {
      threads_ = parse_threads(argument.substr(kThreads.size()));
    } else if (argument.starts_with(kClock)) {
      const std::string_view clock = argument.substr(kClock.size());
      if (clock != "wall" && clock != "cpu") throw ConfigError("--clock", std::string(clock), "must be wall or cpu");
      clock_ = clock == "cpu" ? PeakClock::cpu : PeakClock::wall;
    } else if (argument.starts_with(kInstructionSet)) {
      const std::string_view set = argument.substr(kInstructionSet.size());
      if (!use_instruction_set(set)) {
        throw ConfigError("--instruction-set", std::string(set), "this machine or this build does not have it");
      }
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  argv[kept] = nullptr;
  if (!on_cpu_) threads_ = {1};
}

int run(int argc, char** argv, void (*register_benchmarks)(const Settings& settings)) {
  try {
    const Settings settings(&argc, argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    for (const int threads : settings.threads()) {
      if (!settings.on_cpu()) break;
      const FmaPeak peak = settings.peak(threads);
      benchmark::AddCustomContext(
          fmt::format("fma_peak_{}_threads", threads),
          fmt::format("{:.1f} GFLOP/s: {} lanes, {:.2f} FMA per cycle at {:.2f} GHz", peak.flop_per_second / 1e9,
                      peak.lanes, peak.fma_per_cycle, peak.clock_hz / 1e9));
    }
    if (settings.on_cpu()) benchmark::AddCustomContext("instruction_set", settings.peak(1).instruction_set);
    for (const DeviceDescription& device : available_devices()) {
      benchmark::AddCustomContext(device.name, device.detail);
    }
    register_benchmarks(settings);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
  } catch (const ConfigError& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}

Mlp network(int dim, std::vector<int> hidden, Activation activation) {
  return Mlp::random({.dim = dim, .hidden = std::move(hidden), .activation = activation, .confinement = 1.0f}, 0);
}

std::string name(const MlpShape& shape) {
  std::string text = fmt::format("{}", shape.dim);
  for (const int width : shape.hidden) text += fmt::format("-{}", width);
  return fmt::format("{}-{}/{}", text, shape.outputs, to_string(shape.activation));
}

double flop_per_gradient(const MlpShape& shape) {
  double elements = 0;
  for (int layer = 0; layer + 1 < shape.layers(); ++layer) {
    elements += static_cast<double>(shape.in(layer)) * static_cast<double>(shape.out(layer));
  }
  return 4 * elements;
}

void report(benchmark::State& state, const Settings& settings, int threads, const char* unit, double count,
            double flop) {
  using benchmark::Counter;
  state.counters[fmt::format("{}_per_second", unit)] = Counter(count, Counter::kIsRate);
  if (flop == 0) return;
  state.counters["GFLOP_per_second"] = Counter(count * flop / 1e9, Counter::kIsRate);
  if (settings.on_cpu()) {
    state.counters["share_of_peak"] = Counter(count * flop / settings.fma_rate_now(threads), Counter::kIsRate);
  }
}

}  // namespace ebm::bench
