// One opened device: its stream, its properties, and the first error that lost it. Every object of the engine shares
// one Context and enters it by a Scope, so that work after a sticky error is refused at once, with that error.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>

#include "ebmcuda/error.hpp"
#include "host/cuda/current_device.hpp"
#include "kernels/launch.hpp"

namespace ebm::cuda {

class Context {
 public:
  // `stream` is the caller's (not owned, nullptr: an own non-blocking stream is made). Throws DeviceError.
  Context(int ordinal, void* stream);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Throws the typed exception for a failed call; `bytes` is what an allocation asked for. The runtime's own error slot
  // is cleared, so that the next call reports its own failure.
  void check(cudaError_t code, const char* what, std::size_t bytes = 0) const;
  void synchronize() const;

  cudaStream_t stream() const noexcept { return stream_; }
  int ordinal() const noexcept { return ordinal_; }
  // Device memory comes from a pool of the context's own, which keeps what is freed up to a limit: the next allocation
  // need not map memory again, and what the caller's own allocations do is left alone.
  cudaMemPool_t pool() const noexcept { return pool_.get(); }
  const cudaDeviceProp& properties() const noexcept { return properties_; }
  // The sticky error that ended this context; null: none did. Any thread may find it, and all may ask.
  const DeviceError* lost() const noexcept { return lost_.load(std::memory_order_acquire); }
  KernelLimits& kernel_limits() const noexcept { return kernel_limits_; }
  // Runs `free` with the device current, unless the context is lost, which frees everything by itself: for destructors,
  // which may run on any thread and outside a Scope.
  template <class Free>
  void release(Free&& free) const noexcept {
    if (lost() != nullptr) return;
    const CurrentDevice here(ordinal_);  // if that fails, what is freed still says whose it is
    free();
  }
  // Work that is queued on `later` from now on waits for what is queued on `first`; the host does not.
  void order(cudaStream_t first, cudaStream_t later) const;

  // Makes the context's device current and puts back afterwards what the caller had (CurrentDevice). Throws the first
  // sticky error when the context is lost.
  class Scope {
   public:
    explicit Scope(const Context& context);

   private:
    CurrentDevice current_;
  };

 private:
  // Throws the sticky error that ended this context, if one did.
  int usable_ordinal() const;

  struct DestroyPool {
    void operator()(cudaMemPool_t pool) const { cudaMemPoolDestroy(pool); }
  };

  int ordinal_;
  bool owned_;
  std::unique_ptr<std::remove_pointer_t<cudaMemPool_t>, DestroyPool> pool_;
  cudaStream_t stream_ = nullptr;
  cudaDeviceProp properties_{};
  mutable KernelLimits kernel_limits_;
  mutable std::mutex mutex_;  // of what follows
  mutable cudaEvent_t event_ = nullptr;
  mutable std::optional<DeviceError> first_error_;
  mutable std::atomic<const DeviceError*> lost_ = nullptr;  // first_error_, once it is there
};

// A CUDA event; the host waits on it without stopping the stream.
class Event {
 public:
  enum class Kind { untimed, timed };
  explicit Event(std::shared_ptr<const Context> context, Kind kind = Kind::untimed);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record();
  void wait() const;
  // Whether the device has come to the last record. Never waits.
  bool passed() const;
  // Between the last records of two timed events; none where the device has not come to this one.
  std::optional<double> seconds_since(const Event& earlier) const;

 private:
  std::shared_ptr<const Context> context_;
  cudaEvent_t event_ = nullptr;
};

}  // namespace ebm::cuda
