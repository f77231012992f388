#include "host/cuda/context.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ebm::cuda {
namespace {

// Of freed device memory that a context keeps: more than any call's own needs, which are at most two arrays of 256 MiB.
constexpr std::uint64_t kMostKept = std::uint64_t{1} << 30;

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
  cudaMemPoolProps pool{};
  pool.allocType = cudaMemAllocationTypePinned;
  pool.location = {cudaMemLocationTypeDevice, ordinal};
  cudaMemPool_t made = nullptr;
  check(cudaMemPoolCreate(&made, &pool), "creating a memory pool");
  pool_.reset(made);
  std::uint64_t kept = std::min<std::uint64_t>(properties_.totalGlobalMem / 8, kMostKept);
  check(cudaMemPoolSetAttribute(made, cudaMemPoolAttrReleaseThreshold, &kept), "setting up the memory pool");
  if (owned_) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  } else {
    stream_ = static_cast<cudaStream_t>(stream);
  }
}

Context::~Context() {
  release([&] {
    if (event_ != nullptr) cudaEventDestroy(event_);
    if (owned_) cudaStreamDestroy(stream_);
    pool_.reset();
  });
  static_cast<void>(pool_.release());  // a lost context frees it by itself
}

int Context::usable_ordinal() const {
  if (const DeviceError* error = lost()) throw *error;
  return ordinal_;
}

void Context::check(cudaError_t code, const char* what, std::size_t bytes) const {
  if (code == cudaSuccess) return;
  cudaGetLastError();
  if (code == cudaErrorMemoryAllocation) {
    const std::string asked = bytes > 0 ? fmt::format(", {} bytes asked for", bytes) : "";  // else by the runtime
    throw OutOfMemory(bytes, fmt::format("cuda:{}: out of device memory{} ({})", ordinal_, asked, what));
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

Context::Scope::Scope(const Context& context) : current_(context.usable_ordinal()) {
  context.check(current_.code(), "choosing the device");
}

Event::Event(std::shared_ptr<const Context> context, Kind kind) : context_(std::move(context)) {
  const unsigned timing = kind == Kind::timed ? cudaEventDefault : cudaEventDisableTiming;
  context_->check(cudaEventCreateWithFlags(&event_, timing | cudaEventBlockingSync), "creating an event");
}

Event::~Event() {
  context_->release([&] { cudaEventDestroy(event_); });
}

void Event::record() { context_->check(cudaEventRecord(event_, context_->stream()), "recording an event"); }
bool Event::passed() const {
  const cudaError_t state = cudaEventQuery(event_);  // "not ready" leaves no error behind
  if (state == cudaErrorNotReady) return false;
  context_->check(state, "asking for an event");
  return true;
}
std::optional<double> Event::seconds_since(const Event& earlier) const {
  if (!passed()) return {};
  float milliseconds = 0.0f;
  context_->check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "measuring a launch");
  return static_cast<double>(milliseconds) * 1e-3;
}
void Event::wait() const { context_->check(cudaEventSynchronize(event_), "waiting for an event"); }

}  // namespace ebm::cuda
