// The CUDA runtime with faults to order. The calls that the engine makes are defined again in the test program, where
// the linker finds them first; each counts, then fails or goes on to the real one.
#pragma once

#include <cuda_runtime_api.h>

#include <set>

namespace faulty {

struct State {
  long calls = 0;    // of those that can fail
  long fail_at = 0;  // the call that fails, from 1; 0: none
  cudaError_t code = cudaSuccess;
  bool sticky = false;  // every later call fails alike
  bool failed = false;
  long calls_after = 0;            // calls that were made after the failure
  long copies = 0, waits = 0;      // between host and device; of the host
  long live = 0;                   // allocations, streams, events and graphs that exist
  std::set<cudaStream_t> streams;  // that copies, graphs and waits went to
};
State& state();
void reset(long fail_at = 0, cudaError_t code = cudaSuccess, bool sticky = false);

}  // namespace faulty
