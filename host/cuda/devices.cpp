#include "host/cuda/devices.hpp"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include "host/cuda/current_device.hpp"
#include "kernels/energy/image.hpp"

namespace ebm::cuda {

int device_count(std::string* why) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess) {
    cudaGetLastError();  // "no driver" and "no device" are answers here and must not be found by a later call
    count = 0;
  }
  if (count == 0 && why != nullptr) *why = cudaGetErrorString(code == cudaSuccess ? cudaErrorNoDevice : code);
  return count;
}

bool device_works(int ordinal) noexcept {
  const CurrentDevice here(ordinal);
  if (here.code() == cudaSuccess && check_kernels_for_device() == cudaSuccess) return true;
  cudaGetLastError();  // the answer is no, which a later call must not find
  return false;
}

std::string device_detail(int ordinal) {
  cudaDeviceProp p{};
  const cudaError_t code = cudaGetDeviceProperties(&p, ordinal);
  if (code != cudaSuccess) {
    cudaGetLastError();
    return fmt::format("unusable: {}", cudaGetErrorString(code));
  }
  return fmt::format("{}, compute capability {}.{}, {} SMs, {:.1f} GiB", p.name, p.major, p.minor,
                     p.multiProcessorCount, static_cast<double>(p.totalGlobalMem) / (1u << 30));
}

std::string device_identity(int ordinal) {
  cudaDeviceProp p{};
  if (cudaGetDeviceProperties(&p, ordinal) != cudaSuccess) {
    cudaGetLastError();
    return {};
  }
  std::string text;
  for (const char byte : p.uuid.bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

}  // namespace ebm::cuda
