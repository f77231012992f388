# Writes kernel_headers.cpp: the headers that a run-time compiled kernel includes, as strings (host/cuda/nvrtc.hpp).
# cmake -DHEADERS=<name that it is included by>,... -DFILES=<path>,... -DOUTPUT=<file> -P EmbedKernels.cmake
string(REPLACE "," ";" headers "${HEADERS}")
string(REPLACE "," ";" files "${FILES}")
set(text "#include \"host/cuda/nvrtc.hpp\"\n\nnamespace ebm::cuda {\n\n")
string(APPEND text "const std::vector<KernelHeader>& kernel_headers() {\n  static const std::vector<KernelHeader> all = {\n")
foreach(header file IN ZIP_LISTS headers files)
  file(READ "${file}" content)
  string(APPEND text "{\"${header}\", R\"__ebm__(${content})__ebm__\"},\n")
endforeach()
string(APPEND text "  };\n  return all;\n}\n\n}  // namespace ebm::cuda\n")
file(WRITE "${OUTPUT}" "${text}")
