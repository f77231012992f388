#include "host/cuda/context.hpp"

#include <fmt/format.h>

namespace ebm::cuda {
namespace {

// Errors after which the CUDA context is unusable for the rest of the process (the runtime's documentation says so of
// each of them).
bool is_sticky(cudaError_t code) {
  switch (code) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorDevicesUnavailable:
      return true;
    default:
      return false;
  }
}

}  // namespace

Context::Context(int ordinal, void* stream) : ordinal_(ordinal), owned_(stream == nullptr) {
  const Scope scope(*this);
  check(cudaGetDeviceProperties(&properties_, ordinal), "reading the device's properties");
  if (owned_) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  } else {
    stream_ = static_cast<cudaStream_t>(stream);
  }
}

Context::~Context() {
  if (lost() != nullptr) return;  // a lost context frees everything by itself
  if (event_ != nullptr) cudaEventDestroy(event_);
  if (owned_) cudaStreamDestroy(stream_);
}

void Context::check(cudaError_t code, const char* what, std::size_t bytes) const {
  if (code == cudaSuccess) return;
  cudaGetLastError();
  if (code == cudaErrorMemoryAllocation) {
    throw OutOfMemory(bytes,
                      fmt::format("cuda:{}: out of device memory, {} bytes asked for ({})", ordinal_, bytes, what));
  }
  const bool sticky = is_sticky(code);
  const DeviceError error(
      static_cast<int>(code), sticky,
      fmt::format("cuda:{}: {}: {} ({})", ordinal_, what, cudaGetErrorString(code), cudaGetErrorName(code)));
  if (sticky) {
    const std::scoped_lock lock(mutex_);
    if (!first_error_) lost_.store(&first_error_.emplace(error), std::memory_order_release);
  }
  throw error;
}

void Context::order(cudaStream_t first, cudaStream_t later) const {
  if (first == later) return;
  // One event serves every call: a wait is for the event's last record, and the lock keeps that this one.
  const auto queue = [&] {
    const std::scoped_lock lock(mutex_);
    cudaError_t code = cudaSuccess;
    if (event_ == nullptr) code = cudaEventCreateWithFlags(&event_, cudaEventDisableTiming);
    if (code == cudaSuccess) code = cudaEventRecord(event_, first);
    if (code == cudaSuccess) code = cudaStreamWaitEvent(later, event_, 0);
    return code;
  };
  check(queue(), "ordering two streams");
}

void Context::synchronize() const { check(cudaStreamSynchronize(stream_), "waiting for the device"); }

Context::Scope::Scope(const Context& context) {
  if (const DeviceError* lost = context.lost()) throw *lost;
  context.check(cudaGetDevice(&previous_), "asking for the current device");
  context.check(cudaSetDevice(context.ordinal_), "choosing the device");
}

Context::Scope::~Scope() { cudaSetDevice(previous_); }

Event::Event(std::shared_ptr<const Context> context) : context_(std::move(context)) {
  context_->check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventBlockingSync),
                  "creating an event");
}

Event::~Event() {
  if (!context_->lost()) cudaEventDestroy(event_);
}

void Event::record() { context_->check(cudaEventRecord(event_, context_->stream()), "recording an event"); }
void Event::wait() const { context_->check(cudaEventSynchronize(event_), "waiting for an event"); }

}  // namespace ebm::cuda
