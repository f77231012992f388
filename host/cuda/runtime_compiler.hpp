// Kernels compiled when they are first asked for, by NVRTC. The library carries its kernels' sources, so a machine
// needs libnvrtc (a wheel, or a part of the toolkit) and no header; NVRTC is opened at run time and not linked.
//
// What was compiled is kept on disk, in $EBMCUDA_CACHE_DIR, else $XDG_CACHE_HOME/ebmcuda, else ~/.cache/ebmcuda; an
// empty EBMCUDA_CACHE_DIR keeps nothing. A file that does not hold exactly what is wanted is compiled anew; a folder
// that cannot be written is no error.
#pragma once

#include <string>

#include "host/cuda/context.hpp"

namespace ebm::cuda {

// Whether libnvrtc of this library's CUDA version was found and EBMCUDA_RUNTIME_COMPILER is not "off".
bool runtime_compiler_available();

struct RuntimeKernel {
  const void*
      function;    // as cudaLaunchKernel takes it, on every device of the architecture; lives as long as the process
  double seconds;  // it took to get; 0 when this process had it already
  bool cached;     // from disk or from this process
};

// The kernel `name` (extern "C") of `source`, which may include this library's kernel headers, for the context's
// device. Once per process and architecture. Throws DeviceError with the compiler's first complaint. Not while a stream
// is being captured.
RuntimeKernel runtime_kernel(const Context& context, const std::string& source, const std::string& name);

}  // namespace ebm::cuda
