#include "host/cuda/nvrtc.hpp"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>

#include "ebmcuda/error.hpp"
#include "host/cuda/library_places.hpp"
#include "host/cuda/load_library.hpp"

namespace ebm::cuda {
namespace {

std::string first_line_with_error(const std::string& log) {
  const std::size_t at = log.find("error");
  if (at == std::string::npos) return log.substr(0, log.find('\n'));
  const std::size_t begin = log.rfind('\n', at) + 1;  // npos + 1 is 0
  return log.substr(begin, log.find('\n', at) - begin);
}

}  // namespace

std::optional<Nvrtc> Nvrtc::look() {
  constexpr int kVersion = CUDART_VERSION / 1000;
  return open_first<Nvrtc>(nvrtc_places(kVersion), [](void* library, Nvrtc& n) {
    int major = 0, minor = 0;
    const bool right =
        take(library, "nvrtcVersion", n.version) && take(library, "nvrtcGetNumSupportedArchs", n.architecture_count) &&
        take(library, "nvrtcGetSupportedArchs", n.architectures) &&
        take(library, "nvrtcCreateProgram", n.create_program) &&
        take(library, "nvrtcDestroyProgram", n.destroy_program) &&
        take(library, "nvrtcCompileProgram", n.compile_program) &&
        take(library, "nvrtcGetProgramLogSize", n.log_size) && take(library, "nvrtcGetProgramLog", n.log) &&
        take(library, "nvrtcGetCUBINSize", n.cubin_size) && take(library, "nvrtcGetCUBIN", n.cubin) &&
        take(library, "nvrtcGetPTXSize", n.ptx_size) && take(library, "nvrtcGetPTX", n.ptx) &&
        n.version(&major, &minor) == NVRTC_SUCCESS && major == kVersion;
    if (right) n.path = file_of(n.version);
    return right;
  });
}

const Nvrtc* Nvrtc::find() {
  // Read at every call, so that a program may change its mind; what was compiled before stays.
  const char* wanted = std::getenv("EBMCUDA_RUNTIME_COMPILER");
  if (wanted != nullptr && std::string_view(wanted) == "off") return nullptr;
  static const std::optional<Nvrtc> found = look();
  return found ? &*found : nullptr;
}

std::string architecture_for(const Nvrtc& nvrtc, int capability) {
  int count = 0;
  std::vector<int> known;
  if (nvrtc.architecture_count(&count) == NVRTC_SUCCESS && count > 0) {
    known.resize(static_cast<std::size_t>(count));
    if (nvrtc.architectures(known.data()) != NVRTC_SUCCESS) known.clear();
  }
  int newest = 0;
  for (const int k : known) newest = k <= capability ? std::max(newest, k) : newest;
  if (newest == 0) {
    throw DeviceError(0, false, fmt::format("run-time compilation: libnvrtc does not know sm_{} or older", capability));
  }
  return fmt::format("{}_{}", newest == capability ? "sm" : "compute", newest);
}

DeviceCode compile(const Nvrtc& nvrtc, const std::string& source, const std::string& architecture) {
  std::vector<const char*> texts, names;
  for (const KernelHeader& header : kernel_headers()) {
    texts.push_back(header.text);
    names.push_back(header.name);
  }
  nvrtcProgram program = nullptr;
  const auto check = [&](nvrtcResult code, const std::string& what) {
    if (code != NVRTC_SUCCESS) throw DeviceError(static_cast<int>(code), false, "run-time compilation: " + what);
  };
  check(nvrtc.create_program(&program, source.c_str(), "ebmcuda_kernel.cu", static_cast<int>(texts.size()),
                             texts.data(), names.data()),
        "no program could be made");
  const auto destroy = [&](nvrtcProgram* p) { nvrtc.destroy_program(p); };
  const std::unique_ptr<nvrtcProgram, decltype(destroy)> owner(&program, destroy);

  const std::string arch = "--gpu-architecture=" + architecture;
  // Lambdas and members that the compiler writes itself are the device's too. As ahead of time (CMakeLists.txt),
  // nothing is fused that fmaf() does not name.
  const char* options[] = {arch.c_str(), "--std=c++20", "--device-as-default-execution-space", "--fmad=false"};
  const nvrtcResult code = nvrtc.compile_program(program, 4, options);
  if (code != NVRTC_SUCCESS) {
    std::size_t size = 0;
    std::string log;
    if (nvrtc.log_size(program, &size) == NVRTC_SUCCESS && size > 1) {
      log.resize(size - 1);  // it ends in a zero, which the string has too
      nvrtc.log(program, log.data());
    }
    check(code, first_line_with_error(log));
  }
  DeviceCode result;
  std::size_t size = 0;
  if (architecture.starts_with("sm_")) {
    check(nvrtc.cubin_size(program, &size), "no machine code");
    result.cubin.resize(size);
    check(nvrtc.cubin(program, result.cubin.data()), "no machine code");
  }
  check(nvrtc.ptx_size(program, &size), "no PTX");
  result.ptx.resize(size - 1);
  check(nvrtc.ptx(program, result.ptx.data()), "no PTX");
  return result;
}

}  // namespace ebm::cuda
