// Where the chains run.
#pragma once

#include <string>
#include <vector>

#include "ebmcuda/communicator.hpp"
#include "ebmcuda/export.hpp"

namespace ebm {

// Arithmetic of the energy's gradient. State, update and noise are fp32 in every mode.
enum class Precision {
  fp32,    // default; the only one of the CPU engine
  fp16,    // tensor cores, fp16 inputs and fp32 accumulation
  fp16x3,  // tensor cores, fp16 pairs: fp32 grade
};

// A small value that names an engine. Copying it is free; nothing is opened until it is used.
class EBMCUDA_API Device {
 public:
  enum class Kind { cpu, cuda };

  // `threads` = 0: every hardware thread the process may use. Throws ConfigError when threads < 0 or > 1024.
  static Device cpu(int threads = 0);

  // Throws ConfigError when there is no such device or the library was built without CUDA.
  static Device cuda(int ordinal = 0, Precision precision = Precision::fp32);

  // The first CUDA device that works, else the CPU.
  static Device automatic(int threads = 0);

  // For one of several ranks, which all make this call: the CUDA device with the number that the rank has among those
  // of its machine, or the only one that a launcher lets it see. over() is left to the caller.
  static Device local_cuda(const Communicator& ranks, Precision precision = Precision::fp32);

  // The same where each rank has a device of its own that works, else the CPU on all of them.
  static Device local_automatic(const Communicator& ranks, int threads = 0);

  // The same device with its work queued on the caller's stream (a cudaStream_t, kept opaque so that this header needs
  // no CUDA). The caller keeps ownership. Throws ConfigError on a CPU device.
  Device on_stream(void* stream) const;

  // The same device as one rank's part of a piece of work: what runs on it is shared out over these ranks, every one of
  // which makes the same calls, and all get the whole result, bit for bit that of one rank. Of CUDA devices each rank
  // needs one of its own, all of one model; what opens one is ConfigError otherwise. To train on them NCCL is needed
  // (docs/ranks.md). Device memory and streams of the caller's (DeviceMatrixView) are not shared out.
  Device over(Communicator ranks) const;

  Kind kind() const noexcept { return kind_; }
  int threads() const noexcept { return threads_; }
  int ordinal() const noexcept { return ordinal_; }
  Precision precision() const noexcept { return precision_; }
  void* stream() const noexcept { return stream_; }
  const Communicator& ranks() const noexcept { return ranks_; }

 private:
  Device() = default;
  Kind kind_ = Kind::cpu;
  int threads_ = 1;
  int ordinal_ = 0;
  Precision precision_ = Precision::fp32;
  void* stream_ = nullptr;
  Communicator ranks_;
};

struct EBMCUDA_API DeviceDescription {
  std::string name;    // "cpu" or "cuda:0"
  std::string detail;  // instruction set and threads, or the GPU's name, compute capability and memory
};

// Every device this build can use on this machine, the CPU first.
EBMCUDA_API std::vector<DeviceDescription> available_devices();

// Version and build options, one line each ("version 0.2.0", "cuda off", ...).
EBMCUDA_API std::vector<std::string> build_description();

}  // namespace ebm
