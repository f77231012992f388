# Decides whether the CUDA engine is built, and how. Contract: shared CUDA runtime, PTX embedded beside the machine code, no
# relocatable device code.
#
# AUTO: on when a CUDA compiler is found that works and is new enough. check_language tries it in a project of its own, so
# that one without a usable host compiler leaves a build for the CPU instead of an error.
set(EBMCUDA_WITH_CUDA OFF)
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
      set(EBMCUDA_WITH_CUDA ON)
      find_package(CUDAToolkit REQUIRED)
    endif()
  endif()
endif()
if(EBMCUDA_CUDA STREQUAL "ON" AND NOT EBMCUDA_WITH_CUDA)
  message(FATAL_ERROR "EBMCUDA_CUDA=ON, but no CUDA compiler from 12.8 on was found that works; set CUDACXX or use EBMCUDA_CUDA=OFF")
endif()
message(STATUS "ebmcuda: CUDA engine ${EBMCUDA_WITH_CUDA}")
set(EBMCUDA_WITH_CUDA ${EBMCUDA_WITH_CUDA} CACHE INTERNAL "whether the CUDA engine is built")
