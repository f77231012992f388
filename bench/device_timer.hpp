// How long work takes: between two CUDA events on a stream of the program's own, or by the wall clock on a CPU.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "ebmcuda/device.hpp"

namespace ebm::bench {

// What a GPU's driver says while it works; nothing where there is no NVML (libnvidia-ml.so.1).
struct GpuState {
  unsigned sm_mhz = 0, memory_mhz = 0, celsius = 0, milliwatts = 0;
  unsigned long long limits = 0;  // bits of nvmlClocksEventReasons: why the clock is not higher
};

class DeviceTimer {
 public:
  // On a GPU the first device that this build can use. Throws Error where CUDA fails.
  explicit DeviceTimer(bool on_cpu);
  ~DeviceTimer();
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;

  // The device whose engine queues its work on stream(); the precision is a GPU's.
  Device device(int threads, Precision precision) const;
  void* stream() const noexcept;  // a cudaStream_t; null on a CPU

  struct Sample {
    double seconds;  // between the events
    double queued;   // of the host, until all was queued
  };
  // `work` queues on stream(). With `held` the stream stands still until all of it is queued, so that a GPU runs
  // launches back to back and the time is its own; `work` must then not wait for the device. Without, the time is that
  // of the host and the device together. On a CPU both are the wall clock's, and `work` has to wait by itself.
  Sample time(const std::function<void()>& work, bool held);

  // As the last time() left the device: asked for while it was still at work.
  const std::optional<GpuState>& state() const noexcept;

 private:
  struct Gpu;
  std::unique_ptr<Gpu> gpu_;
};

}  // namespace ebm::bench
