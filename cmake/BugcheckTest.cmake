# Tests of drivers with the kit (libbugcheck) and GoogleTest.
#
#   bugcheck_add_test(NAME SOURCES a_test.cpp... [DRIVERS driver...] [LIBRARIES target...] [TIMEOUT seconds] [LABELS label...])
#
# makes the executable NAME and a ctest test of each TEST in it. For each of DRIVERS (targets of bugcheck_add_driver) the sources
# see the path of its image as a macro: DRIVERS my-driver gives MY_DRIVER_SYS.
find_package(GTest REQUIRED)
include(GoogleTest)

function(bugcheck_add_test NAME)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DRIVERS;LIBRARIES;LABELS" ${ARGN})
  if(NOT A_SOURCES)
    message(FATAL_ERROR "bugcheck_add_test(${NAME}): SOURCES is empty")
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  add_executable(${NAME} ${A_SOURCES})
  target_compile_features(${NAME} PRIVATE cxx_std_20)
  target_link_libraries(${NAME} PRIVATE Bugcheck::kit GTest::gtest_main ${A_LIBRARIES})
  foreach(driver IN LISTS A_DRIVERS)
    get_target_property(image ${driver} BUGCHECK_IMAGE)
    if(NOT image)
      message(FATAL_ERROR "bugcheck_add_test(${NAME}): ${driver} is no target of bugcheck_add_driver")
    endif()
    string(TOUPPER ${driver} macro)
    string(MAKE_C_IDENTIFIER ${macro} macro)
    target_compile_definitions(${NAME} PRIVATE ${macro}_SYS="${image}")
    add_dependencies(${NAME} ${driver})
  endforeach()
  gtest_discover_tests(${NAME} TEST_PREFIX ${NAME}. DISCOVERY_MODE PRE_TEST
    PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}")
endfunction()
