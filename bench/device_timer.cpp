#include "bench/device_timer.hpp"

#include <fmt/format.h>

#include <chrono>

#include "ebmcuda/error.hpp"

#if EBMCUDA_WITH_CUDA
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <array>
#include <condition_variable>
#include <mutex>
#endif

namespace ebm::bench {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

#if EBMCUDA_WITH_CUDA
void check(cudaError_t code, const char* what) {
  if (code != cudaSuccess) throw Error(fmt::format("{}: {}", what, cudaGetErrorString(code)));
}

// The few functions of NVML that are needed, from the driver's library: its header comes with a toolkit's part that a
// build need not have.
class Nvml {
 public:
  explicit Nvml(int ordinal) {
    library_ = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) return;
    std::array<char, 32> bus{};
    const auto init = function<int()>("nvmlInit_v2");
    const auto find = function<int(const char*, void**)>("nvmlDeviceGetHandleByPciBusId_v2");
    clock_ = function<int(void*, int, unsigned*)>("nvmlDeviceGetClockInfo");
    temperature_ = function<int(void*, int, unsigned*)>("nvmlDeviceGetTemperature");
    power_ = function<int(void*, unsigned*)>("nvmlDeviceGetPowerUsage");
    limits_ = function<int(void*, unsigned long long*)>("nvmlDeviceGetCurrentClocksEventReasons");
    if (limits_ == nullptr)  // its name before 12.2
      limits_ = function<int(void*, unsigned long long*)>("nvmlDeviceGetCurrentClocksThrottleReasons");
    if (init == nullptr || find == nullptr || clock_ == nullptr || init() != 0) return;
    shutdown_ = function<int()>("nvmlShutdown");
    if (cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), ordinal) != cudaSuccess) return;
    if (find(bus.data(), &device_) != 0) device_ = nullptr;
  }
  ~Nvml() {
    if (library_ == nullptr) return;
    if (shutdown_ != nullptr) shutdown_();
    dlclose(library_);
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  std::optional<GpuState> state() const {
    GpuState s;
    if (device_ == nullptr || clock_(device_, 1, &s.sm_mhz) != 0) return {};
    clock_(device_, 2, &s.memory_mhz);
    if (temperature_ != nullptr) temperature_(device_, 0, &s.celsius);
    if (power_ != nullptr) power_(device_, &s.milliwatts);
    if (limits_ != nullptr) limits_(device_, &s.limits);
    return s;
  }

 private:
  template <class Signature>
  Signature* function(const char* name) const {
    return reinterpret_cast<Signature*>(dlsym(library_, name));
  }
  void* library_ = nullptr;
  void* device_ = nullptr;
  int (*shutdown_)() = nullptr;
  int (*clock_)(void*, int, unsigned*) = nullptr;
  int (*temperature_)(void*, int, unsigned*) = nullptr;
  int (*power_)(void*, unsigned*) = nullptr;
  int (*limits_)(void*, unsigned long long*) = nullptr;
};

// Holds a stream until it is opened. The bound is for a device that runs its work only when it is asked to, on the
// thread that asks: nobody would open it.
class Gate {
 public:
  void close() { open_ = false; }
  void open() {
    const std::scoped_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  static void CUDART_CB wait(void* gate) { static_cast<Gate*>(gate)->wait(); }

 private:
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(200), [&] { return open_; });
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};
#endif

}  // namespace

#if EBMCUDA_WITH_CUDA
struct DeviceTimer::Gpu {
  Gpu() : nvml(0) {
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
    check(cudaEventCreate(&begin), "creating an event");
    check(cudaEventCreate(&end), "creating an event");
  }
  ~Gpu() {
    cudaStreamSynchronize(stream);
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    cudaStreamDestroy(stream);
  }
  Nvml nvml;
  Gate gate;
  cudaStream_t stream = nullptr;
  cudaEvent_t begin = nullptr, end = nullptr;
  std::optional<GpuState> state;
};
#else
struct DeviceTimer::Gpu {
  void* stream = nullptr;
  std::optional<GpuState> state;
};
#endif

DeviceTimer::DeviceTimer(bool on_cpu) {
  if (!on_cpu) {
    static_cast<void>(Device::cuda());  // says what is wrong where there is none
    gpu_ = std::make_unique<Gpu>();
  }
}
DeviceTimer::~DeviceTimer() = default;

Device DeviceTimer::device(int threads, Precision precision) const {
  return gpu_ ? Device::cuda(0, precision).on_stream(stream()) : Device::cpu(threads);
}

void* DeviceTimer::stream() const noexcept { return gpu_ ? gpu_->stream : nullptr; }

const std::optional<GpuState>& DeviceTimer::state() const noexcept {
  static const std::optional<GpuState> none;
  return gpu_ ? gpu_->state : none;
}

DeviceTimer::Sample DeviceTimer::time(const std::function<void()>& work, [[maybe_unused]] bool held) {
  if (!gpu_) {
    const double begin = now();
    work();
    const double seconds = now() - begin;
    return {seconds, seconds};
  }
#if EBMCUDA_WITH_CUDA
  if (held) {
    gpu_->gate.close();
    check(cudaLaunchHostFunc(gpu_->stream, Gate::wait, &gpu_->gate), "holding the stream");
  }
  check(cudaEventRecord(gpu_->begin, gpu_->stream), "recording an event");
  const double begin = now();
  try {
    work();
  } catch (...) {
    gpu_->gate.open();
    throw;
  }
  const double queued = now() - begin;
  check(cudaEventRecord(gpu_->end, gpu_->stream), "recording an event");
  gpu_->gate.open();
  gpu_->state = gpu_->nvml.state();
  check(cudaEventSynchronize(gpu_->end), "waiting for an event");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, gpu_->begin, gpu_->end), "reading the time between events");
  return {static_cast<double>(milliseconds) * 1e-3, queued};
#else
  return {};
#endif
}

}  // namespace ebm::bench
