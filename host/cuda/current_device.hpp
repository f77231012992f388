// Which device the calling thread works on, for as long as one of these lives.
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

namespace ebm::cuda {

// Makes a device's primary context current and puts back what the caller had: another device, a context of the driver
// API's, or none. Through the driver, because the runtime's cudaSetDevice() makes a context on its device, even on one
// that nobody has asked for when it is only to be put back. Where all is as it should be, nothing is called but the
// question.
class CurrentDevice {
 public:
  explicit CurrentDevice(int ordinal) noexcept;
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  // Whether the device is current.
  cudaError_t code() const noexcept { return code_; }

 private:
  cudaError_t code_;
  bool changed_ = false;
  CUcontext previous_ = nullptr;
  int previous_device_ = 0;  // where there is no driver API
};

}  // namespace ebm::cuda
