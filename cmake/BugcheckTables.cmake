# Tables that code is generated from. Link `bugcheck_tables` to include what is generated:
#   bugcheck_names.inc   BUGCHECK_CODE(code, "NAME", "p1", "p2", "p3", "p4"), ascending by code
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
set(BUGCHECK_GENERATED_DIR ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${BUGCHECK_GENERATED_DIR})

add_custom_command(
  OUTPUT ${BUGCHECK_GENERATED_DIR}/bugcheck_names.inc
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/bugchecks.py ${CMAKE_SOURCE_DIR}/data/bugchecks.tsv
          --inc ${BUGCHECK_GENERATED_DIR}/bugcheck_names.inc
  DEPENDS ${CMAKE_SOURCE_DIR}/tools/bugchecks.py ${CMAKE_SOURCE_DIR}/data/bugchecks.tsv
  COMMENT "Generating bugcheck_names.inc" VERBATIM)
add_custom_target(bugcheck_tables_files DEPENDS ${BUGCHECK_GENERATED_DIR}/bugcheck_names.inc)
add_library(bugcheck_tables INTERFACE)
target_include_directories(bugcheck_tables INTERFACE ${BUGCHECK_GENERATED_DIR})
add_dependencies(bugcheck_tables bugcheck_tables_files)
