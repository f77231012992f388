// What the machine can do: fused multiply-adds from registers, on the instruction set that the CPU engine uses.
#pragma once

#include <string_view>

namespace ebm::bench {

struct FmaPeak {
  double flop_per_second = 0;  // of all threads together; a multiply-add counts as two
  double clock_hz = 0;         // of one core, measured beside it by a chain of dependent additions
  double fma_per_cycle = 0;  // vector instructions per core and cycle: 2 on every x86 core since 2013 (Haswell, Zen 2)
  int lanes = 0;             // floats in a vector
  const char* instruction_set;  // Highway's name for it
};

// What a run's time is taken from: the wall, or the processor time of the slowest thread, which other programs on the
// machine do not lengthen.
enum class PeakClock { wall, cpu };

// Best of 30 runs of 5 ms when first asked for this number of threads, then remembered.
FmaPeak fma_peak(int threads, PeakClock clock);

// FLOP/s of the same loop at this moment: the median of 7 runs of 5 ms. Where other guests of the host slow the machine
// down for seconds at a time, a benchmark's share is of this, taken next to it; else a slow moment would pass for the
// benchmark's own.
double fma_rate_now(int threads, PeakClock clock);

// Narrows this program, the engine included, to instruction sets no better than `name` ("SSSE3", "AVX2", ...), as an
// older machine would. False if this machine or this build does not have it.
bool use_instruction_set(std::string_view name);

}  // namespace ebm::bench
