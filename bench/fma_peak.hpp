// What the machine can do: fused multiply-adds from registers, on the instruction set that the CPU engine uses.
#pragma once

namespace ebm::bench {

struct FmaPeak {
  double flop_per_second = 0;  // of all threads together; a multiply-add counts as two
  double clock_hz = 0;         // of one core, measured beside it by a chain of dependent additions
  double fma_per_cycle = 0;  // vector instructions per core and cycle: 2 on every x86 core since 2013 (Haswell, Zen 2)
  int lanes = 0;             // floats in a vector
  const char* instruction_set;  // Highway's name for it
};

// Best of 30 runs of 5 ms when first asked for this number of threads, then remembered.
FmaPeak fma_peak(int threads);

}  // namespace ebm::bench
