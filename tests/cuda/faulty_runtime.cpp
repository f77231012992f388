#include "faulty_runtime.hpp"

#include <dlfcn.h>

#include <mutex>

namespace faulty {
namespace {

std::mutex mutex;  // of the counts: several threads may call

// True when this call is to fail.
bool strike(const char* name) {
  const std::scoped_lock lock(mutex);
  State& s = state();
  ++s.calls;
  if (s.failed != nullptr) ++s.calls_after;
  if (s.failed != nullptr && s.sticky) return true;
  if (s.calls != s.fail_at) return false;
  s.failed = name;
  return true;
}

bool strike_release(const char* name) {
  const std::scoped_lock lock(mutex);
  State& s = state();
  if (++s.releases != s.release_fail_at) return false;
  s.failed = name;
  return true;
}

void counted(int delta) {
  const std::scoped_lock lock(mutex);
  state().live += delta;
}

cudaStream_t seen(cudaStream_t s) {
  const std::scoped_lock lock(mutex);
  state().streams.insert(s);
  return s;
}

cudaMemcpyKind copied(cudaMemcpyKind kind) {
  const std::scoped_lock lock(mutex);
  if (kind != cudaMemcpyDeviceToDevice) ++state().copies;
  return kind;
}

int allowed(const void* kernel, int bytes) {
  const std::scoped_lock lock(mutex);
  state().allowed[kernel].push_back(bytes);
  return bytes;
}

std::size_t launched(const void* kernel, dim3 grid, dim3 block, std::size_t bytes) {
  const std::scoped_lock lock(mutex);
  ++state().launches;
  state().last_launch = {kernel, static_cast<int>(grid.x), static_cast<int>(block.x), bytes};
  return bytes;
}

template <class Awaited>
Awaited waited(Awaited what) {
  const std::scoped_lock lock(mutex);
  ++state().waits;
  return what;
}

template <class Function>
Function real(Function, const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

State& state() {
  static State s;
  return s;
}

// The capture under way. An engine that believes its device lost leaves it open, which would spoil the tests after it.
cudaStream_t capturing = nullptr;

void reset(long fail_at, cudaError_t code, bool sticky) {
  if (capturing != nullptr) {
    cudaGraph_t graph = nullptr;
    const auto end = real(&cudaStreamEndCapture, "cudaStreamEndCapture");
    if (end(capturing, &graph) == cudaSuccess && graph != nullptr) real(&cudaGraphDestroy, "cudaGraphDestroy")(graph);
    capturing = nullptr;
  }
  const long live = state().live;
  state() = {};
  state().live = live;
  state().fail_at = fail_at;
  state().code = code;
  state().sticky = sticky;
}

}  // namespace faulty

// name(parameters) called with (arguments); `delta` more live objects on success.
#define EBM_FAULTY(name, parameters, arguments, delta)      \
  extern "C" cudaError_t name parameters {                  \
    if (faulty::strike(#name)) return faulty::state().code; \
    static const auto next = faulty::real(&name, #name);    \
    const cudaError_t code = next arguments;                \
    if (code == cudaSuccess) faulty::counted(delta);        \
    return code;                                            \
  }
#define EBM_RELEASE(name, parameters, arguments)                    \
  extern "C" cudaError_t name parameters {                          \
    if (faulty::strike_release(#name)) return faulty::state().code; \
    static const auto next = faulty::real(&name, #name);            \
    const cudaError_t code = next arguments;                        \
    if (code == cudaSuccess) faulty::counted(-1);                   \
    return code;                                                    \
  }

EBM_FAULTY(cudaMallocFromPoolAsync, (void** p, size_t n, cudaMemPool_t pool, cudaStream_t s),
           (p, n, pool, faulty::seen(s)), 1)
EBM_FAULTY(cudaMemPoolCreate, (cudaMemPool_t * pool, const cudaMemPoolProps* props), (pool, props), 1)
EBM_FAULTY(cudaMemPoolSetAttribute, (cudaMemPool_t pool, cudaMemPoolAttr a, void* v), (pool, a, v), 0)
EBM_FAULTY(cudaMallocHost, (void** p, size_t n), (p, n), 1)
EBM_FAULTY(cudaMemcpyAsync, (void* to, const void* from, size_t n, cudaMemcpyKind kind, cudaStream_t s),
           (to, from, n, faulty::copied(kind), faulty::seen(s)), 0)
EBM_FAULTY(cudaMemsetAsync, (void* p, int v, size_t n, cudaStream_t s), (p, v, n, faulty::seen(s)), 0)
EBM_FAULTY(cudaStreamCreateWithFlags, (cudaStream_t * s, unsigned flags), (s, flags), 1)
EBM_FAULTY(cudaStreamSynchronize, (cudaStream_t s), (faulty::waited(faulty::seen(s))), 0)
EBM_FAULTY(cudaGraphInstantiate, (cudaGraphExec_t * e, cudaGraph_t g, unsigned long long flags), (e, g, flags), 1)
EBM_FAULTY(cudaGraphLaunch, (cudaGraphExec_t e, cudaStream_t s), (e, faulty::seen(s)), 0)
EBM_FAULTY(cudaEventCreateWithFlags, (cudaEvent_t * e, unsigned flags), (e, flags), 1)
EBM_FAULTY(cudaEventRecord, (cudaEvent_t e, cudaStream_t s), (e, faulty::seen(s)), 0)
EBM_FAULTY(cudaEventSynchronize, (cudaEvent_t e), (faulty::waited(e)), 0)
EBM_FAULTY(cudaStreamWaitEvent, (cudaStream_t s, cudaEvent_t e, unsigned flags), (s, e, flags), 0)
EBM_FAULTY(cudaGetDeviceProperties, (cudaDeviceProp * p, int ordinal), (p, ordinal), 0)
EBM_FAULTY(cudaOccupancyMaxActiveBlocksPerMultiprocessor, (int* blocks, const void* f, int threads, size_t bytes),
           (blocks, f, threads, bytes), 0)
EBM_FAULTY(cudaDeviceGetAttribute, (int* v, cudaDeviceAttr a, int ordinal), (v, a, ordinal), 0)
EBM_FAULTY(cudaFuncSetAttribute, (const void* f, cudaFuncAttribute a, int v), (f, a, faulty::allowed(f, v)), 0)
EBM_FAULTY(cudaLaunchKernel, (const void* f, dim3 grid, dim3 block, void** arguments, size_t bytes, cudaStream_t s),
           (f, grid, block, arguments, faulty::launched(f, grid, block, bytes), s), 0)
EBM_FAULTY(cudaFuncGetAttributes, (cudaFuncAttributes * a, const void* f), (a, f), 0)

EBM_FAULTY(cudaEventQuery, (cudaEvent_t e), (e), 0)
EBM_FAULTY(cudaStreamIsCapturing, (cudaStream_t s, cudaStreamCaptureStatus* status), (s, status), 0)
EBM_FAULTY(cudaGetDevice, (int* ordinal), (ordinal), 0)
EBM_FAULTY(cudaGetDeviceCount, (int* count), (count), 0)
EBM_FAULTY(cudaLibraryLoadData,
           (cudaLibrary_t * library, const void* data, cudaJitOption* jit, void** jit_values, unsigned jits,
            cudaLibraryOption* options, void** values, unsigned n),
           (library, data, jit, jit_values, jits, options, values, n), 1)
EBM_FAULTY(cudaLibraryGetKernel, (cudaKernel_t * kernel, cudaLibrary_t library, const char* name),
           (kernel, library, name), 0)

EBM_RELEASE(cudaFreeAsync, (void* p, cudaStream_t s), (p, s))
EBM_RELEASE(cudaMemPoolDestroy, (cudaMemPool_t pool), (pool))
EBM_RELEASE(cudaFreeHost, (void* p), (p))
EBM_RELEASE(cudaStreamDestroy, (cudaStream_t s), (s))
EBM_RELEASE(cudaGraphExecDestroy, (cudaGraphExec_t e), (e))
EBM_RELEASE(cudaEventDestroy, (cudaEvent_t e), (e))
EBM_RELEASE(cudaLibraryUnload, (cudaLibrary_t library), (library))

// A graph is not counted among what lives: cudaStreamEndCapture() makes it.
extern "C" cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (faulty::strike_release("cudaGraphDestroy")) return faulty::state().code;
  static const auto next = faulty::real(&cudaGraphDestroy, "cudaGraphDestroy");
  return next(graph);
}

extern "C" cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode) {
  if (faulty::strike("cudaStreamBeginCapture")) return faulty::state().code;
  static const auto next = faulty::real(&cudaStreamBeginCapture, "cudaStreamBeginCapture");
  const cudaError_t code = next(s, mode);
  if (code == cudaSuccess) faulty::capturing = s;
  return code;
}

// The end of a capture makes a graph even when it reports a failure to us; a real failure makes none.
extern "C" cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* graph) {
  static const auto next = faulty::real(&cudaStreamEndCapture, "cudaStreamEndCapture");
  const bool strikes = faulty::strike("cudaStreamEndCapture");
  faulty::capturing = nullptr;
  if (strikes) {
    static const auto destroy = faulty::real(&cudaGraphDestroy, "cudaGraphDestroy");
    if (next(s, graph) == cudaSuccess && *graph != nullptr) destroy(*graph);
    *graph = nullptr;
    return faulty::state().code;
  }
  return next(s, graph);
}

extern "C" cudaError_t cudaSetDevice(int ordinal) {
  static const auto next = faulty::real(&cudaSetDevice, "cudaSetDevice");
  ++faulty::state().device_changes;
  if (faulty::strike("cudaSetDevice")) return faulty::state().code;
  return next(ordinal);
}
// Whether there is a driver below the runtime must not change what is counted.
extern "C" cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long,
                                                        cudaDriverEntryPointQueryResult* result) {
  *function = nullptr;
  *result = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
// Of the launches that the engine measures.
extern "C" cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (faulty::strike("cudaEventElapsedTime")) return faulty::state().code;
  static const auto next = faulty::real(&cudaEventElapsedTime, "cudaEventElapsedTime");
  const cudaError_t code = next(milliseconds, begin, end);
  if (faulty::state().elapsed) *milliseconds = *faulty::state().elapsed;
  return code;
}
