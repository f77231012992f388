// One opened device: its stream, its properties, and the first error that lost it. Every object of the engine shares
// one Context and enters it by a Scope, so that work after a sticky error is refused at once, with that error.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>

#include "ebmcuda/error.hpp"

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
  const cudaDeviceProp& properties() const noexcept { return properties_; }
  // The sticky error that ended this context; null: none did. Any thread may find it, and all may ask.
  const DeviceError* lost() const noexcept { return lost_.load(std::memory_order_acquire); }
  // Work that is queued on `later` from now on waits for what is queued on `first`; the host does not.
  void order(cudaStream_t first, cudaStream_t later) const;

  // Makes the context's device current and puts the caller's back afterwards. Throws the first sticky error when the
  // context is lost.
  class Scope {
   public:
    explicit Scope(const Context& context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    int previous_ = 0;
  };

 private:
  int ordinal_;
  bool owned_;
  cudaStream_t stream_ = nullptr;
  cudaDeviceProp properties_{};
  mutable std::mutex mutex_;  // of what follows
  mutable cudaEvent_t event_ = nullptr;
  mutable std::optional<DeviceError> first_error_;
  mutable std::atomic<const DeviceError*> lost_ = nullptr;  // first_error_, once it is there
};

// A CUDA event without timing; the host waits on it without stopping the stream.
class Event {
 public:
  explicit Event(std::shared_ptr<const Context> context);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record();
  void wait() const;

 private:
  std::shared_ptr<const Context> context_;
  cudaEvent_t event_ = nullptr;
};

}  // namespace ebm::cuda
