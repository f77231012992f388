# cmake -DKIND=find_package|add_subdirectory -DSOURCE=... -DBUILD=... -DWORK=... -DSHARED=0|1 -DCOMPILER=...
#   [-DARCHITECTURE=90] -P run.cmake
# Installs (or not), then configures, builds and runs a consumer project from scratch. An installed package has the
# engines it was built with; a source tree is built with the CUDA engine when an architecture is given.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "failed: ${command}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
set(options -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=${COMPILER} -DBUILD_SHARED_LIBS=${SHARED})
if(KIND STREQUAL "find_package")
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
  if(EXISTS ${WORK}/prefix/bin/ebm)
    run(${WORK}/prefix/bin/ebm info)   # finds its libraries where they were installed
  endif()
  list(APPEND options -DCMAKE_PREFIX_PATH=${WORK}/prefix)
else()
  list(APPEND options -DEBMCUDA_SOURCE_DIR=${SOURCE})
  if(ARCHITECTURE)
    list(APPEND options -DEBMCUDA_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=${ARCHITECTURE})
  else()
    list(APPEND options -DEBMCUDA_CUDA=OFF)
  endif()
endif()
run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer/${KIND} -B ${WORK}/build -G Ninja ${options})
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/consumer)
