#include "host/cuda/current_device.hpp"

#include <map>
#include <mutex>
#include <optional>

namespace ebm::cuda {
namespace {

// What is used of the driver API, which the runtime finds: the library does not link it.
struct Driver {
  decltype(&cuInit) init;
  decltype(&cuDeviceGet) device_get;
  decltype(&cuDevicePrimaryCtxRetain) retain_primary;
  decltype(&cuDevicePrimaryCtxGetState) primary_state;
  decltype(&cuCtxGetCurrent) get_current;
  decltype(&cuCtxSetCurrent) set_current;
};

template <class Function>
bool take(const char* name, Function& function) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const cudaError_t code = cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result);
  if (code != cudaSuccess || result != cudaDriverEntryPointSuccess || found == nullptr) return false;
  function = reinterpret_cast<Function>(found);
  return true;
}

// None where the runtime has no driver below it (a simulated one).
const std::optional<Driver>& driver() {
  static const std::optional<Driver> found = [] {
    Driver d{};
    const bool complete = take("cuInit", d.init) && take("cuDeviceGet", d.device_get) &&
                          take("cuDevicePrimaryCtxRetain", d.retain_primary) &&
                          take("cuDevicePrimaryCtxGetState", d.primary_state) &&
                          take("cuCtxGetCurrent", d.get_current) && take("cuCtxSetCurrent", d.set_current);
    return complete && d.init(0) == CUDA_SUCCESS ? std::optional(d) : std::nullopt;
  }();
  return found;
}

// The device's primary context, which is the runtime's. Retained once and for the life of the process, as the runtime
// does; again after somebody has reset the device.
CUresult primary_context(const Driver& d, int ordinal, CUcontext* context) {
  static std::mutex mutex;
  static std::map<int, CUcontext> retained;
  const std::scoped_lock lock(mutex);
  CUdevice device = 0;
  if (const CUresult code = d.device_get(&device, ordinal); code != CUDA_SUCCESS) return code;
  if (const auto known = retained.find(ordinal); known != retained.end()) {
    unsigned flags = 0;
    int active = 0;
    if (d.primary_state(device, &flags, &active) == CUDA_SUCCESS && active != 0) {
      *context = known->second;
      return CUDA_SUCCESS;
    }
  }
  const CUresult code = d.retain_primary(context, device);
  if (code == CUDA_SUCCESS) retained[ordinal] = *context;
  return code;
}

// The numbers of the two APIs' errors are the same from CUDA 11 on.
cudaError_t as_runtime_error(CUresult code) { return static_cast<cudaError_t>(code); }

}  // namespace

CurrentDevice::CurrentDevice(int ordinal) noexcept {
  if (const auto& d = driver()) {
    CUcontext wanted = nullptr;
    CUresult code = d->get_current(&previous_);
    if (code == CUDA_SUCCESS) code = primary_context(*d, ordinal, &wanted);
    if (code == CUDA_SUCCESS && wanted != previous_) {
      code = d->set_current(wanted);
      changed_ = code == CUDA_SUCCESS;
    }
    code_ = as_runtime_error(code);
    return;
  }
  code_ = cudaGetDevice(&previous_device_);
  if (code_ != cudaSuccess || previous_device_ == ordinal) return;
  code_ = cudaSetDevice(ordinal);
  changed_ = code_ == cudaSuccess;
}

CurrentDevice::~CurrentDevice() {
  if (!changed_) return;
  if (const auto& d = driver()) {
    d->set_current(previous_);
  } else {
    cudaSetDevice(previous_device_);
  }
}

}  // namespace ebm::cuda
