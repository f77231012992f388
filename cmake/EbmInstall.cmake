include(CMakePackageConfigHelpers)
# Installed programs find a shared library beside them, and what that links where it was found.
set(ebm_installed ebmcuda)
if(EBMCUDA_TOOLS)
  list(APPEND ebm_installed ebm)
endif()
set_target_properties(${ebm_installed} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
if(ebmcuda_type STREQUAL "SHARED_LIBRARY" AND EBMCUDA_TOOLS AND NOT APPLE)
  file(RELATIVE_PATH ebm_libraries /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
  set_target_properties(ebm PROPERTIES INSTALL_RPATH $ORIGIN/${ebm_libraries})
endif()
install(TARGETS ebmcuda EXPORT ebmcudaTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ebmcuda DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(EBMCUDA_TOOLS)
  install(TARGETS ebm RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
set(EBMCUDA_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/ebmcuda)
install(EXPORT ebmcudaTargets NAMESPACE ebmcuda:: DESTINATION ${EBMCUDA_PACKAGE_DIR})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/ebmcudaConfig.cmake.in
  ${PROJECT_BINARY_DIR}/ebmcudaConfig.cmake INSTALL_DESTINATION ${EBMCUDA_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ebmcudaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ebmcudaConfig.cmake ${PROJECT_BINARY_DIR}/ebmcudaConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/EbmMinizip.cmake
  DESTINATION ${EBMCUDA_PACKAGE_DIR})
