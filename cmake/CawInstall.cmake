# What `make install` installs: the library, its headers, the plugin, a CMake
# package and a pkg-config file.
include(CMakePackageConfigHelpers)

install(TARGETS caw EXPORT CawTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS protoc-gen-caw EXPORT CawTargets RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET caw_archive)
  install(FILES ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/libcaw.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY include/caw DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT CawTargets NAMESPACE Caw:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Caw)
configure_package_config_file(cmake/CawConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/CawConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Caw)
# Before 1.0 a minor version may change the ABI.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/CawConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/CawConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/CawConfigVersion.cmake cmake/CawGenerate.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Caw)
# Configured at install time, so that --prefix is honoured.
install(CODE "
  set(PROJECT_VERSION ${PROJECT_VERSION})
  set(CAW_PC_TLS \"$<$<BOOL:${CAW_TLS}>: openssl>\")
  set(CAW_PC_ZSTD \"$<$<BOOL:${CAW_ZSTD}>: libzstd>\")
  set(CMAKE_INSTALL_LIBDIR ${CMAKE_INSTALL_LIBDIR})
  set(CMAKE_INSTALL_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/caw.pc.in
                 ${PROJECT_BINARY_DIR}/caw.pc @ONLY)
")
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/caw.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
