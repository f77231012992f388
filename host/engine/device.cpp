#include "ebmcuda/device.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "host/core/check.hpp"
#include "host/engine/build_options.hpp"
#include "host/engine/engine.hpp"
#include "host/engine/usable_threads.hpp"

#if EBMCUDA_WITH_CUDA
#include "host/cuda/devices.hpp"
#endif
#ifdef __linux__
#include <sched.h>
#endif

namespace ebm {

// Its affinity mask where the system has one (containers, taskset).
int usable_threads() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

Device Device::cpu(int threads) {
  require(threads >= 0 && threads <= 1024, "threads", threads, "must be in 0 .. 1024 (0: all)");
  Device device;
  device.threads_ = threads == 0 ? usable_threads() : threads;
  return device;
}

Device Device::cuda(int ordinal, Precision precision) {
#if EBMCUDA_WITH_CUDA
  std::string why;
  const int count = cuda::device_count(&why);
  if (count == 0) reject("device", "cuda", fmt::format("no CUDA device was found on this machine ({}); use cpu", why));
  require(ordinal >= 0 && ordinal < count, "device", fmt::format("cuda:{}", ordinal),
          fmt::format("ordinals on this machine are 0 .. {}", count - 1));
  Device device;
  device.kind_ = Kind::cuda;
  device.ordinal_ = ordinal;
  device.precision_ = precision;
  return device;
#else
  static_cast<void>(ordinal);
  static_cast<void>(precision);
  reject("device", "cuda", "this build has no CUDA engine (EBMCUDA_CUDA=OFF); use cpu");
#endif
}

Device Device::automatic(int threads) {
  Device cpu_device = cpu(threads);
#if EBMCUDA_WITH_CUDA
  const int count = cuda::device_count();
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    if (!cuda::device_works(ordinal)) continue;
    Device device;
    device.kind_ = Kind::cuda;
    device.ordinal_ = ordinal;
    return device;
  }
#endif
  return cpu_device;
}

Device Device::local_cuda(const Communicator& ranks, Precision precision) {
#if EBMCUDA_WITH_CUDA
  // A launcher may let each rank see its own device alone. Two on one device are found out when it is opened.
  return cuda(ranks.local_rank() % std::max(1, cuda::device_count()), precision);
#else
  static_cast<void>(ranks);
  return cuda(0, precision);
#endif
}

Device Device::local_automatic(const Communicator& ranks, int threads) {
  if (ranks.size() == 1) return automatic(threads);
#if EBMCUDA_WITH_CUDA
  std::string own;
  if (const int count = cuda::device_count(); count > 0) {
    const int ordinal = ranks.local_rank() % count;
    if (cuda::device_works(ordinal)) own = cuda::device_identity(ordinal);
  }
  std::vector<std::string> all = ranks.gather_text("devices that work", own);
  std::ranges::sort(all);
  if (!all.front().empty() && std::ranges::adjacent_find(all) == all.end()) return local_cuda(ranks);
#endif
  return cpu(threads == 0 ? ranks.threads() : threads);
}

Device Device::on_stream(void* stream) const {
  require(kind_ == Kind::cuda, "stream", "given", "only a CUDA device has streams");
  Device device = *this;
  device.stream_ = stream;
  return device;
}

Device Device::over(Communicator ranks) const {
  Device device = *this;
  device.ranks_ = std::move(ranks);
  return device;
}

std::vector<DeviceDescription> available_devices() {
  std::vector<DeviceDescription> devices{{"cpu", make_engine(Device::cpu())->description()}};
#if EBMCUDA_WITH_CUDA
  for (int i = 0; i < cuda::device_count(); ++i) devices.push_back({fmt::format("cuda:{}", i), cuda::device_detail(i)});
#endif
  return devices;
}

std::vector<std::string> build_options() {
  std::vector<std::string> lines{"version " EBMCUDA_VERSION, EBMCUDA_WITH_CUDA ? "cuda on" : "cuda off"};
#if EBMCUDA_WITH_CUDA
  lines.push_back(EBMCUDA_WITH_NCCL ? "nccl on" : "nccl off");
#endif
  lines.push_back(EBMCUDA_WITH_MPI ? "mpi on" : "mpi off");
  return lines;
}

std::vector<std::string> build_description() {
  std::vector<std::string> lines = build_options();
#if EBMCUDA_WITH_CUDA
  lines.push_back(cuda::compiler_detail());
  lines.push_back(cuda::products_detail());
#endif
  return lines;
}

}  // namespace ebm
