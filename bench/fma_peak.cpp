#include "bench/fma_peak.hpp"

#include <time.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <cstdint>
#include <map>
#include <thread>
#include <utility>
#include <vector>

// The targets of host/cpu/kernels.cpp, so that the share is of what the engine's own instructions can do.
#define HWY_DISABLED_TARGETS (HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/fma_peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ebm::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 12 accumulators as in the engine's tile: more than latency (4 cycles) x units (2) asks for, and they fit 16
// registers.
float FmaLoop(std::int64_t rounds) {
  constexpr int kAccumulators = 12;
  const hn::ScalableTag<float> d;
  // x <- a x + b tends to 1: no overflow, no denormal, nothing for the compiler to know in advance.
  volatile float opaque = 0.5f;
  const auto a = hn::Set(d, opaque);
  const auto b = hn::Set(d, opaque);
  hn::Vec<decltype(d)> x[kAccumulators];
  for (int i = 0; i < kAccumulators; ++i) x[i] = hn::Set(d, opaque + static_cast<float>(i));
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kAccumulators; ++i) x[i] = hn::MulAdd(a, x[i], b);
  }
  auto sum = x[0];
  for (int i = 1; i < kAccumulators; ++i) sum = hn::Add(sum, x[i]);
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

std::int64_t FlopPerRound() { return 12 * 2 * static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>())); }
int Lanes() { return static_cast<int>(hn::Lanes(hn::ScalableTag<float>())); }
const char* InstructionSet() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace ebm::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ebm::bench {
namespace {

HWY_EXPORT(FmaLoop);
HWY_EXPORT(FlopPerRound);
HWY_EXPORT(Lanes);
HWY_EXPORT(InstructionSet);

constexpr int kRuns = 30;

double now(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// One addition of two registers is one cycle on every x86 and Arm core; the empty asm keeps them apart.
double clock_hz() {
  constexpr std::int64_t kAdditions = 3'200'000;  // about a millisecond
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::uint64_t sum = 0, one = 1;
    const double begin = now(CLOCK_THREAD_CPUTIME_ID);
    for (std::int64_t i = 0; i < kAdditions / 16; ++i) {
#pragma GCC unroll 16
      for (int k = 0; k < 16; ++k) {
        sum += one;
        asm volatile("" : "+r"(sum), "+r"(one));
      }
    }
    best = std::max(best, static_cast<double>(kAdditions) / (now(CLOCK_THREAD_CPUTIME_ID) - begin));
  }
  return best;
}

// Floating-point operations per second of all threads in one run.
double one_run(int threads, std::int64_t rounds, PeakClock clock) {
  std::vector<std::thread> workers;
  std::vector<double> results(static_cast<std::size_t>(threads));
  double opened = 0;  // on the wall: when the last thread arrives, so that one that is late counts
  std::barrier start(threads, [&opened]() noexcept { opened = now(CLOCK_MONOTONIC); });
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      start.arrive_and_wait();
      const clockid_t id = clock == PeakClock::wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
      const double begin = clock == PeakClock::wall ? opened : now(id);
      volatile float keep = HWY_DYNAMIC_DISPATCH(FmaLoop)(rounds);
      static_cast<void>(keep);
      results[static_cast<std::size_t>(t)] = now(id) - begin;
    });
  }
  for (std::thread& worker : workers) worker.join();
  const double longest = *std::max_element(results.begin(), results.end());
  return static_cast<double>(threads) * static_cast<double>(rounds * HWY_DYNAMIC_DISPATCH(FlopPerRound)()) / longest;
}

// 6 cycles a round at two a cycle: about 5 ms, short enough to fall between two interruptions of a shared machine.
std::int64_t rounds_of_a_run(double hertz) { return static_cast<std::int64_t>(hertz * 0.005 / 6); }

FmaPeak measure(int threads, PeakClock clock) {
  FmaPeak peak{};
  peak.lanes = HWY_DYNAMIC_DISPATCH(Lanes)();
  peak.instruction_set = HWY_DYNAMIC_DISPATCH(InstructionSet)();
  peak.clock_hz = clock_hz();
  const std::int64_t rounds = rounds_of_a_run(peak.clock_hz);
  for (int run = 0; run < kRuns; ++run)
    peak.flop_per_second = std::max(peak.flop_per_second, one_run(threads, rounds, clock));
  peak.fma_per_cycle = peak.flop_per_second / (threads * 2.0 * peak.lanes * peak.clock_hz);
  return peak;
}

}  // namespace

bool use_instruction_set(std::string_view name) {
  for (std::int64_t set = 1; set != 0 && set <= HWY_TARGETS; set <<= 1) {
    if ((HWY_TARGETS & hwy::SupportedTargets() & set) == 0 || name != hwy::TargetName(set)) continue;
    hwy::DisableTargets(set - 1);  // better sets have lower bits
    return true;
  }
  return false;
}

FmaPeak fma_peak(int threads, PeakClock clock) {
  static std::map<std::pair<int, PeakClock>, FmaPeak> known;
  const auto found = known.find({threads, clock});
  if (found != known.end()) return found->second;
  return known.emplace(std::pair{threads, clock}, measure(threads, clock)).first->second;
}

double fma_rate_now(int threads, PeakClock clock) {
  const std::int64_t rounds = rounds_of_a_run(fma_peak(threads, clock).clock_hz);
  std::array<double, 7> rates;
  for (double& rate : rates) rate = one_run(threads, rounds, clock);
  std::ranges::nth_element(rates, rates.begin() + rates.size() / 2);
  return rates[rates.size() / 2];
}

}  // namespace ebm::bench
#endif
