// Device and pinned memory with an owner. Allocation and release are ordered in the context's stream.
#pragma once

#include <cuda_runtime.h>

#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "host/cuda/context.hpp"

namespace ebm::cuda {

// `size` values of T in device memory, *uninitialized*. Copies between host and device wait for the stream, so the
// host's memory may go at once.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  // Throws OutOfMemory with the bytes asked for.
  DeviceArray(std::shared_ptr<const Context> context, std::size_t size) : context_(std::move(context)), size_(size) {
    if (size == 0) return;
    if (size > std::numeric_limits<std::size_t>::max() / sizeof(T)) {
      throw OutOfMemory(std::numeric_limits<std::uint64_t>::max(),
                        "more device memory asked for than can be addressed");
    }
    void* p = nullptr;
    context_->check(cudaMallocFromPoolAsync(&p, size * sizeof(T), context_->pool(), context_->stream()), "allocating",
                    size * sizeof(T));
    data_ = static_cast<T*>(p);
  }
  DeviceArray(std::shared_ptr<const Context> context, std::span<const T> values)
      : DeviceArray(std::move(context), values.size()) {
    upload(values);
  }
  DeviceArray(DeviceArray&& other) noexcept { swap(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    DeviceArray moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~DeviceArray() {
    if (data_ != nullptr) context_->release([&] { cudaFreeAsync(data_, context_->stream()); });
  }

  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  void upload(std::span<const T> values) {
    if (values.empty()) return;
    context_->check(
        cudaMemcpyAsync(data_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice, context_->stream()),
        "copying to the device");
    context_->synchronize();
  }
  void download(std::span<T> values) const {
    if (values.empty()) return;
    context_->check(
        cudaMemcpyAsync(values.data(), data_, values.size_bytes(), cudaMemcpyDeviceToHost, context_->stream()),
        "copying to the host");
    context_->synchronize();
  }
  std::vector<T> to_host() const {
    std::vector<T> values(size_);
    download(values);
    return values;
  }
  void fill_zero() {
    if (size_ > 0) context_->check(cudaMemsetAsync(data_, 0, size_ * sizeof(T), context_->stream()), "clearing memory");
  }

 private:
  void swap(DeviceArray& other) noexcept {
    std::swap(context_, other.context_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  std::shared_ptr<const Context> context_;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

// `size` values of T in page-locked host memory: asynchronous copies really are.
template <class T>
class PinnedArray {
 public:
  PinnedArray(std::shared_ptr<const Context> context, std::size_t size) : context_(std::move(context)), size_(size) {
    void* p = nullptr;
    context_->check(cudaMallocHost(&p, size * sizeof(T)), "allocating page-locked memory", size * sizeof(T));
    data_ = static_cast<T*>(p);
  }
  PinnedArray(const PinnedArray&) = delete;
  PinnedArray& operator=(const PinnedArray&) = delete;
  ~PinnedArray() {
    context_->release([&] { cudaFreeHost(data_); });
  }
  T* data() noexcept { return data_; }
  T& operator[](std::size_t i) noexcept { return data_[i]; }
  std::size_t size() const noexcept { return size_; }

 private:
  std::shared_ptr<const Context> context_;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace ebm::cuda
