# Decides whether the CUDA engine is built, and how. Contract: shared CUDA runtime, PTX embedded beside the machine code, no
# relocatable device code.
#
# AUTO: on when a CUDA compiler is found that works and is new enough, with the headers of cuRAND, CUB and cuBLASLt.
# check_language tries it in a project of its own, so that one without a usable host compiler leaves a build for the CPU
# instead of an error.
set(EBMCUDA_WITH_CUDA OFF)
set(EBMCUDA_WITH_NCCL OFF)
if(NOT EBMCUDA_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(ebm_default_architectures OFF)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
      set(ebm_default_architectures ON)
      set(CMAKE_CUDA_ARCHITECTURES 80)   # for CMake's own test of the compiler
    endif()
    set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
    enable_language(CUDA)
    if(ebm_default_architectures)
      set(CMAKE_CUDA_ARCHITECTURES 80 86 89 90 100 120)
    endif()
    # The first whose runtime loads kernels that were compiled at run time (cudaLibraryLoadData).
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
      find_package(CUDAToolkit REQUIRED)
      # Toolkits come in parts. (From 13 on CUB is in a folder of its own.)
      find_path(EBMCUDA_CURAND_HEADERS curand_philox4x32_x.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
      find_path(EBMCUDA_NV_HEADERS nv/target HINTS ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES cccl)
      find_path(EBMCUDA_CUB_HEADERS cub/block/block_reduce.cuh HINTS ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES cccl)
      # For training over several GPUs (docs/ranks.md); the library itself is loaded at run time. Toolkits of NVIDIA's
      # HPC SDK have it, PyPI's nvidia-nccl-cu13, Debian's and NVIDIA's libnccl-dev.
      find_path(EBMCUDA_NCCL_HEADERS nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
      find_path(EBMCUDA_CUBLASLT_HEADERS cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
      mark_as_advanced(EBMCUDA_CURAND_HEADERS EBMCUDA_NV_HEADERS EBMCUDA_CUB_HEADERS EBMCUDA_NCCL_HEADERS
        EBMCUDA_CUBLASLT_HEADERS)
      if(EBMCUDA_CURAND_HEADERS AND EBMCUDA_NV_HEADERS AND EBMCUDA_CUB_HEADERS AND EBMCUDA_CUBLASLT_HEADERS)
        set(EBMCUDA_WITH_CUDA ON)
        if(EBMCUDA_NCCL_HEADERS)
          set(EBMCUDA_WITH_NCCL ON)
        endif()
      endif()
    endif()
  endif()
endif()
if(EBMCUDA_CUDA STREQUAL "ON" AND NOT EBMCUDA_WITH_CUDA)
  message(FATAL_ERROR "EBMCUDA_CUDA=ON, but no CUDA compiler from 12.8 on was found that works, with the headers of cuRAND, CUB and cuBLASLt; set CUDACXX or use EBMCUDA_CUDA=OFF")
endif()
message(STATUS "ebmcuda: CUDA engine ${EBMCUDA_WITH_CUDA}, ranks of GPUs ${EBMCUDA_WITH_NCCL}")
set(EBMCUDA_WITH_CUDA ${EBMCUDA_WITH_CUDA} CACHE INTERNAL "whether the CUDA engine is built")
