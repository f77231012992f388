# ebmcuda_private: what tests and benchmarks of private code link. It is the library itself where that is static. A shared
# one hides what they call, so there it is a static library of the very same objects, built only when something needs it.
if(ebmcuda_type STREQUAL "STATIC_LIBRARY")
  add_library(ebmcuda_private ALIAS ebmcuda)
  return()
endif()
add_library(ebmcuda_private STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:ebmcuda>)
set_target_properties(ebmcuda_private PROPERTIES LINKER_LANGUAGE CXX)
target_compile_features(ebmcuda_private PUBLIC cxx_std_20)
target_include_directories(ebmcuda_private PUBLIC ${PROJECT_SOURCE_DIR}/include)
get_target_property(ebmcuda_libraries ebmcuda LINK_LIBRARIES)
target_link_libraries(ebmcuda_private PUBLIC ${ebmcuda_libraries})
