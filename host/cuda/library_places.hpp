// Where libraries that are loaded at run time may be.
#pragma once

#include <string>
#include <vector>

namespace ebm::cuda {

// Names for dlopen(), in the order that they are tried, of libnvrtc `version` (13: libnvrtc.so.13):
//   what $EBMCUDA_NVRTC names, a file or a folder, and then nothing else;
//   the toolkit of $CUDA_HOME or $CUDA_PATH;
//   the toolkit that this library was built with;
//   PyPI's wheels (nvidia-cuda-nvrtc) in the virtual or conda environment, beside the `python3` of $PATH, and of the
//   user; the bare name, which the dynamic linker looks up.
// Of folders only those are named that hold the file.
std::vector<std::string> nvrtc_places(int version);

// The same of NCCL, libnccl.so.2: what $EBMCUDA_NCCL names; else the bare name, which is the one that the process has
// loaded already or the dynamic linker's, then the places above (nvidia-nccl-cu13).
std::vector<std::string> nccl_places();
// And of cuBLASLt, libcublasLt.so.<version>: $EBMCUDA_CUBLASLT; the bare name; the places above (nvidia-cublas).
std::vector<std::string> cublaslt_places(int version);

}  // namespace ebm::cuda
