# Debian's minizip comes without a CMake package: the target ebmcuda::minizip. Also included by the installed package.
find_package(ZLIB QUIET)
find_path(EBMCUDA_MINIZIP_INCLUDE_DIR minizip/unzip.h DOC "Directory that holds minizip/unzip.h")
find_library(EBMCUDA_MINIZIP_LIBRARY minizip DOC "The minizip library")
mark_as_advanced(EBMCUDA_MINIZIP_INCLUDE_DIR EBMCUDA_MINIZIP_LIBRARY)
if(NOT EBMCUDA_MINIZIP_INCLUDE_DIR OR NOT EBMCUDA_MINIZIP_LIBRARY OR NOT ZLIB_FOUND)
  message(FATAL_ERROR "minizip is missing (Debian: libminizip-dev)")
endif()
if(NOT TARGET ebmcuda::minizip)
  add_library(ebmcuda::minizip UNKNOWN IMPORTED)
  set_target_properties(ebmcuda::minizip PROPERTIES IMPORTED_LOCATION "${EBMCUDA_MINIZIP_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${EBMCUDA_MINIZIP_INCLUDE_DIR}" INTERFACE_LINK_LIBRARIES ZLIB::ZLIB)
endif()
