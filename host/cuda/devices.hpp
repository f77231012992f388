// What CUDA devices there are. Plain C++, so that host/engine/device.cpp needs no CUDA header. None of these throws for
// a machine without a driver or a device: such a machine has no devices.
#pragma once

#include <string>

namespace ebm::cuda {

// `why`, where there is none: the runtime's word for it.
int device_count(std::string* why = nullptr);
// Whether the device can run this build's kernels: an old one may not.
bool device_works(int ordinal) noexcept;
// "NVIDIA H100 80GB HBM3, compute capability 9.0, 132 SMs, 79.1 GiB"
std::string device_detail(int ordinal);
// Tells a device from every other one, of other machines too; empty for one that is unusable.
std::string device_identity(int ordinal);
// Which run-time compiler was found: "run-time compiler NVRTC 13.0, /usr/local/cuda/lib64/libnvrtc.so.13".
std::string compiler_detail();
// Which library for the products of the layered path: "matrix products cuBLASLt 13.0.2, /usr/local/cuda/...".
std::string products_detail();

}  // namespace ebm::cuda
