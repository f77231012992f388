# Writes kernel_headers.cpp: the headers that a run-time compiled kernel includes, as strings (host/cuda/nvrtc.hpp).
# A header is named as it is included, which is its path in the source tree or in the tree's include/.
# cmake -DROOT=<source> -DHEADERS=a,b -DOUTPUT=<file> -P EmbedKernels.cmake
string(REPLACE "," ";" headers "${HEADERS}")
set(text "#include \"host/cuda/nvrtc.hpp\"\n\nnamespace ebm::cuda {\n\n")
string(APPEND text "const std::vector<KernelHeader>& kernel_headers() {\n  static const std::vector<KernelHeader> all = {\n")
foreach(header IN LISTS headers)
  set(file "${ROOT}/${header}")
  if(NOT EXISTS "${file}")
    set(file "${ROOT}/include/${header}")
  endif()
  file(READ "${file}" content)
  string(APPEND text "{\"${header}\", R\"__ebm__(${content})__ebm__\"},\n")
endforeach()
string(APPEND text "  };\n  return all;\n}\n\n}  // namespace ebm::cuda\n")
file(WRITE "${OUTPUT}" "${text}")
