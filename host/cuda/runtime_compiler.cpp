#include "host/cuda/runtime_compiler.hpp"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <mutex>

#include "host/cuda/devices.hpp"
#include "host/cuda/kernel_cache.hpp"
#include "host/cuda/nvrtc.hpp"

namespace ebm::cuda {
namespace {

// All that the code depends on.
std::string cache_key(const Nvrtc& nvrtc, const std::string& source, const std::string& architecture) {
  int major = 0, minor = 0;
  nvrtc.version(&major, &minor);
  std::uint64_t headers = 0;
  for (const KernelHeader& header : kernel_headers()) headers = headers * 31 + fingerprint(header.text);
  return fmt::format("NVRTC {}.{}, {}, kernel headers {:016x}\n{}", major, minor, architecture, headers, source);
}

// Whether the device or its driver says no to the code, and not that something else failed.
bool is_refusal(cudaError_t code) {
  switch (code) {
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorInvalidKernelImage:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidPtx:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorJitCompilationDisabled:
    case cudaErrorInvalidSource:
    case cudaErrorSymbolNotFound:
    case cudaErrorNotSupported:
      return true;
    default:
      return false;
  }
}

// Null when this device does not take the code, which the runtime may notice only when it is asked for the kernel.
const void* function_of(const Context& context, const std::string& code, const std::string& name) {
  cudaLibrary_t library = nullptr;
  cudaKernel_t kernel = nullptr;
  cudaFuncAttributes attributes{};
  cudaError_t result = cudaLibraryLoadData(&library, code.c_str(), nullptr, nullptr, 0, nullptr, nullptr, 0);
  if (result == cudaSuccess) {
    result = cudaLibraryGetKernel(&kernel, library, name.c_str());
    if (result == cudaSuccess) result = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel));
    if (result == cudaSuccess) return reinterpret_cast<const void*>(kernel);
    cudaLibraryUnload(library);
  }
  if (!is_refusal(result)) context.check(result, "loading a kernel that was compiled at run time");
  cudaGetLastError();
  return nullptr;
}

}  // namespace

std::string compiler_detail() {
  const Nvrtc* const nvrtc = Nvrtc::find();
  if (nvrtc == nullptr) return "run-time compiler none";
  int major = 0, minor = 0;
  nvrtc->version(&major, &minor);
  return fmt::format("run-time compiler NVRTC {}.{}, {}", major, minor, nvrtc->path);
}

bool runtime_compiler_available() { return Nvrtc::find() != nullptr; }

RuntimeKernel runtime_kernel(const Context& context, const std::string& source, const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, const void*> known;
  const Nvrtc* const nvrtc = Nvrtc::find();
  if (nvrtc == nullptr) throw DeviceError(0, false, "run-time compilation: libnvrtc was not found");
  const cudaDeviceProp& p = context.properties();
  const std::string architecture = architecture_for(*nvrtc, 10 * p.major + p.minor);
  const std::string key = cache_key(*nvrtc, source, architecture);

  const std::scoped_lock lock(mutex);
  if (const auto found = known.find(key); found != known.end()) return {found->second, 0.0, true};
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  if (const auto code = find_cached_kernel(key)) {
    if (const void* function = function_of(context, *code, name)) {
      known.emplace(key, function);
      return {function, seconds(), true};
    }
  }
  const DeviceCode code = compile(*nvrtc, source, architecture);
  // Machine code works with drivers that are older than the compiler; PTX is for devices that want it translated.
  for (const std::string* form : {&code.cubin, &code.ptx}) {
    if (form->empty()) continue;
    if (const void* function = function_of(context, *form, name)) {
      store_cached_kernel(key, *form);
      known.emplace(key, function);
      return {function, seconds(), false};
    }
  }
  throw DeviceError(0, false, "run-time compilation: the device took neither machine code nor PTX for " + architecture);
}

}  // namespace ebm::cuda
