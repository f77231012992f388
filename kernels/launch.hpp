// How the library's kernels are launched.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <mutex>
#include <type_traits>
#include <vector>

namespace ebm {

// Launches `kernel` and returns the launch's own result. An error that the calling thread still holds from work of its
// own (what cudaGetLastError() would give) is neither taken for it nor cleared.
template <class... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, unsigned threads, std::size_t shared_bytes,
                   cudaStream_t stream, std::type_identity_t<Parameters>... arguments) {
  void* pointers[] = {&arguments...};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, dim3(threads), pointers, shared_bytes, stream);
}

// What the blocks of kernels may have of their device. One for each device context; any thread may call, with the
// device current.
class KernelLimits {
 public:
  // Opens a kernel, as cudaLaunchKernel takes it, to all the dynamic shared memory that a block can have. Once for a
  // kernel and to the limit, not to what a launch needs: another thread's launch of the same kernel may need more.
  cudaError_t open(const void* kernel) {
    const std::scoped_lock lock(mutex_);
    if (std::ranges::find(opened_, kernel) != opened_.end()) return cudaSuccess;
    int device = 0, most = 0;
    cudaFuncAttributes own{};
    cudaError_t code = cudaGetDevice(&device);
    if (code == cudaSuccess) code = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (code == cudaSuccess) code = cudaFuncGetAttributes(&own, kernel);
    if (code == cudaSuccess) {
      code = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  most - static_cast<int>(own.sharedSizeBytes));
    }
    if (code == cudaSuccess) opened_.push_back(kernel);
    return code;
  }

  // Blocks of an opened kernel that a multiprocessor holds at a time: registers, threads and shared memory all count.
  cudaError_t resident(const void* kernel, int threads, std::size_t shared_bytes, int* blocks) {
    const std::scoped_lock lock(mutex_);
    for (const Resident& known : resident_) {
      if (known.kernel != kernel || known.threads != threads || known.shared_bytes != shared_bytes) continue;
      *blocks = known.blocks;
      return cudaSuccess;
    }
    const cudaError_t code = cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, kernel, threads, shared_bytes);
    if (code == cudaSuccess) resident_.push_back({kernel, threads, shared_bytes, *blocks});
    return code;
  }

 private:
  struct Resident {
    const void* kernel;
    int threads;
    std::size_t shared_bytes;
    int blocks;
  };
  std::mutex mutex_;
  std::vector<const void*> opened_;
  std::vector<Resident> resident_;
};

}  // namespace ebm
