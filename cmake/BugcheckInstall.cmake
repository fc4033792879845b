# `make install PREFIX=DIR`: the program, what runs in the guest, and what an outside project needs to build drivers
# and to test them (find_package(Bugcheck), then bugcheck_add_driver and bugcheck_add_test).
include(CMakePackageConfigHelpers)

set(data share/bugcheck)
install(PROGRAMS ${CMAKE_BINARY_DIR}/bin/bugcheck DESTINATION bin)
install(DIRECTORY ${BUGCHECK_GUEST_DIR}/ DESTINATION ${data}/guest FILES_MATCHING
  PATTERN ntoskrnl.exe PATTERN ntkrnlmp.pdb PATTERN hostfs.sys PATTERN hostfs.pdb PATTERN boot.elf PATTERN probe.elf
  PATTERN exports.json)
install(TARGETS bugcheck_kit ARCHIVE DESTINATION lib)
install(DIRECTORY kit/include/bugcheck DESTINATION include)
install(DIRECTORY include/nt/ DESTINATION ${data}/include/nt)
install(FILES ${BUGCHECK_DRIVER_LIB} DESTINATION ${data}/lib RENAME ntoskrnl.lib)
install(FILES ${BUGCHECK_WDMSEC_LIB} DESTINATION ${data}/lib)
install(FILES LICENSE README.md DESTINATION share/doc/bugcheck)

configure_package_config_file(cmake/BugcheckConfig.cmake.in ${CMAKE_BINARY_DIR}/BugcheckConfig.cmake
  INSTALL_DESTINATION lib/cmake/Bugcheck PATH_VARS data)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/BugcheckConfigVersion.cmake COMPATIBILITY SameMinorVersion
  ARCH_INDEPENDENT)
install(FILES ${CMAKE_BINARY_DIR}/BugcheckConfig.cmake ${CMAKE_BINARY_DIR}/BugcheckConfigVersion.cmake
  cmake/BugcheckPe.cmake cmake/BugcheckTest.cmake DESTINATION lib/cmake/Bugcheck)
