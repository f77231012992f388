// The CUDA runtime with faults to order. The calls that the engine makes are defined again in the test program, where
// the linker finds them first; each counts, then fails or goes on to the real one. That these are all the calls of the
// library, tests/cuda/covered_calls.py checks. Those that free are counted apart: they can only fail unheard.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <optional>
#include <set>
#include <vector>

namespace faulty {

struct Launch {
  const void* kernel = nullptr;
  int blocks = 0, threads = 0;
  std::size_t shared_bytes = 0;
};

struct State {
  long calls = 0;    // of those that can fail
  long fail_at = 0;  // the call that fails, from 1; 0: none
  cudaError_t code = cudaSuccess;
  bool sticky = false;                     // every later call fails alike
  const char* failed = nullptr;            // the call that did
  long calls_after = 0;                    // calls that were made after the failure
  long releases = 0, release_fail_at = 0;  // as calls and fail_at, of those that free
  long copies = 0, waits = 0;              // between host and device; of the host
  long live = 0;                           // allocations, streams, events and graphs that exist
  std::set<cudaStream_t> streams;          // that copies, graphs and waits went to
  long launches = 0, device_changes = 0;   // of kernels; calls of cudaSetDevice()
  Launch last_launch;
  std::map<const void*, std::vector<int>> allowed;  // bytes of shared memory that cudaFuncSetAttribute() was asked for
  std::optional<float> elapsed;                     // milliseconds that cudaEventElapsedTime() is to give
};
State& state();
void reset(long fail_at = 0, cudaError_t code = cudaSuccess, bool sticky = false);

}  // namespace faulty
