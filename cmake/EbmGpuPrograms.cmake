# What scripts/gpu.sh runs on a machine with a GPU: the program, the benchmark and two programs of all GPU tests, by the
# target `gpu_programs`. One program for many tests, since each holds all kernels and a bundle has to stay small.
#
# gpu_programs.json in the build tree says where they are, and which cases of each are a GPU's.
find_package(GTest REQUIRED)
function(ebm_add_suite name)
  add_executable(${name} EXCLUDE_FROM_ALL)
  foreach(test IN LISTS ARGN)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:${test}>)
  endforeach()
  target_link_libraries(${name} PRIVATE ebm_test_support ebm_faulty_runtime hwy::hwy GTest::gtest GTest::gtest_main fmt::fmt
    CUDA::cudart)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
endfunction()
get_property(ebm_gpu_tests GLOBAL PROPERTY ebm_gpu_tests)
get_property(ebm_engine_tests GLOBAL PROPERTY ebm_engine_tests)
list(REMOVE_ITEM ebm_gpu_tests test_cuda_current_device)   # takes the runtime's place in a way of its own
ebm_add_suite(gpu_suite ${ebm_gpu_tests})
ebm_add_suite(engines_suite ${ebm_engine_tests})

add_custom_target(gpu_programs DEPENDS ebm bench_regimes gpu_suite engines_suite test_cuda_current_device)
list(JOIN CMAKE_CUDA_ARCHITECTURES ";" ebm_architectures)
file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/gpu_programs.json CONTENT "{
  \"version\": \"${PROJECT_VERSION}\",
  \"architectures\": \"${ebm_architectures}\",
  \"compiler\": \"nvcc ${CMAKE_CUDA_COMPILER_VERSION}\",
  \"ebm\": \"$<TARGET_FILE:ebm>\",
  \"regimes\": \"$<TARGET_FILE:bench_regimes>\",
  \"suites\": [
    {\"program\": \"$<TARGET_FILE:gpu_suite>\", \"filter\": \"*\"},
    {\"program\": \"$<TARGET_FILE:engines_suite>\", \"filter\": \"*cuda*\"},
    {\"program\": \"$<TARGET_FILE:test_cuda_current_device>\", \"filter\": \"*\"}
  ]
}
")
