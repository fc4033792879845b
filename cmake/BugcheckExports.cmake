# The table of exports: made after the kernel is linked, checked against its sources (tools/exports.py).
option(BUGCHECK_STRICT_EXPORTS "A disagreement in the table of exports fails the build" ON)
set(BUGCHECK_EXPORTS_JSON ${BUGCHECK_GUEST_DIR}/exports.json)
if(TARGET ntoskrnl)
  get_target_property(image ntoskrnl BUGCHECK_IMAGE)
  set(lenient "")
  if(NOT BUGCHECK_STRICT_EXPORTS)
    set(lenient --lenient)
  endif()
  file(GLOB_RECURSE test_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernel/*_test.cpp)
  add_custom_command(
    OUTPUT ${BUGCHECK_EXPORTS_JSON}.stamp
    BYPRODUCTS ${BUGCHECK_EXPORTS_JSON} ${BUGCHECK_GENERATED_DIR}/exports.md
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/exports.py --image ${image} --source ${CMAKE_SOURCE_DIR}
            --json ${BUGCHECK_EXPORTS_JSON} --markdown ${BUGCHECK_GENERATED_DIR}/exports.md ${lenient}
    COMMAND ${CMAKE_COMMAND} -E touch ${BUGCHECK_EXPORTS_JSON}.stamp
    DEPENDS ${image} ${CMAKE_SOURCE_DIR}/tools/exports.py ${CMAKE_SOURCE_DIR}/data/nt_exports.tsv
            ${CMAKE_SOURCE_DIR}/data/irql_overrides.tsv ${test_sources}
    COMMENT "Checking the table of exports" VERBATIM)
  add_custom_target(exports_table ALL DEPENDS ${BUGCHECK_EXPORTS_JSON}.stamp)
endif()
