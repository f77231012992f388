// NVRTC behind dlopen: the functions that are used, found once.
#pragma once

#include <nvrtc.h>

#include <optional>
#include <string>
#include <vector>

namespace ebm::cuda {

struct Nvrtc {
  decltype(&nvrtcVersion) version;
  decltype(&nvrtcGetNumSupportedArchs) architecture_count;
  decltype(&nvrtcGetSupportedArchs) architectures;
  decltype(&nvrtcCreateProgram) create_program;
  decltype(&nvrtcDestroyProgram) destroy_program;
  decltype(&nvrtcCompileProgram) compile_program;
  decltype(&nvrtcGetProgramLogSize) log_size;
  decltype(&nvrtcGetProgramLog) log;
  decltype(&nvrtcGetCUBINSize) cubin_size;
  decltype(&nvrtcGetCUBIN) cubin;
  decltype(&nvrtcGetPTXSize) ptx_size;
  decltype(&nvrtcGetPTX) ptx;

  std::string path;  // of the library's file

  // Null when no libnvrtc of this CUDA version is in any of nvrtc_places() (library_places.hpp), or the environment
  // says EBMCUDA_RUNTIME_COMPILER=off. Looks once in the life of the process.
  static const Nvrtc* find();
  // Looks now.
  static std::optional<Nvrtc> look();
};

// A header of the library's own kernels, as they are included: {"kernels/math/philox.hpp", "..."}. Written by the
// build.
struct KernelHeader {
  const char* name;
  const char* text;
};
const std::vector<KernelHeader>& kernel_headers();

// What to compile for on a device of compute capability `capability` (90 for 9.0): "sm_90", or PTX of the newest
// architecture before it, "compute_90", for a device that is newer than the compiler. Throws DeviceError for one that
// is too old.
std::string architecture_for(const Nvrtc& nvrtc, int capability);

struct DeviceCode {
  std::string cubin, ptx;  // cubin: empty for compute_<n>
};
// Throws DeviceError with the log's first complaint.
DeviceCode compile(const Nvrtc& nvrtc, const std::string& source, const std::string& architecture);

}  // namespace ebm::cuda
