# Flags that every target of the project shares. Nothing here leaks into a consumer.
function(ebm_target_defaults target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -ffp-contract=off -fno-math-errno>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC bug 105651: false reports on assigning a literal to a std::string.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
  endif()
  if(EBMCUDA_WERROR)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
  endif()
  if(EBMCUDA_SANITIZE)
    # -O1 and line numbers only: at -O2 the vector kernels take minutes to compile with both sanitizers.
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${EBMCUDA_SANITIZE} -fno-omit-frame-pointer -g1 -O1>)
    target_link_options(${target} PRIVATE -fsanitize=${EBMCUDA_SANITIZE})
  endif()
endfunction()
