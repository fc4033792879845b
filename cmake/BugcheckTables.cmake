# Tables that code is generated from, made while configuring, so that every compile step finds them:
#   build/generated/bugcheck_names.inc      BUGCHECK_CODE(code, "NAME", "p1", "p2", "p3", "p4"), ascending by code
#   build/generated/bugcheck_texts.inc, bugcheck_kinds.inc, bugcheck_raised.inc, bugcheck_codes.h: see tools/bugchecks.py
#   build/generated/verifier_options.inc    VERIFIER_OPTION(bit, "name", "title", standard, there)
#   build/generated/documented_exports.inc  NT_DOCUMENTED_EXPORT("Name"), ascending: what a Windows kernel exports
#   build/generated/ddi_irql.inc            NT_DDI_IRQL("Name", min, max), ascending: the IRQLs at which a call is allowed
#   build/guest/ntoskrnl_import.lib         import library with all those names: BUGCHECK_DRIVER_LIB
# Host code links `bugcheck_tables` to include them; kernel code has the folder on its include path.
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
set(BUGCHECK_GENERATED_DIR ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${BUGCHECK_GENERATED_DIR} ${BUGCHECK_GUEST_DIR})

function(bugcheck_generate TOOL TABLE OPTION FILE)
  set(script ${CMAKE_SOURCE_DIR}/tools/${TOOL})
  set(table ${CMAKE_SOURCE_DIR}/data/${TABLE})
  set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script} ${table})
  execute_process(COMMAND ${Python3_EXECUTABLE} ${script} ${table} ${OPTION} ${BUGCHECK_GENERATED_DIR}/${FILE}.new
                  COMMAND_ERROR_IS_FATAL ANY)
  file(COPY_FILE ${BUGCHECK_GENERATED_DIR}/${FILE}.new ${BUGCHECK_GENERATED_DIR}/${FILE} ONLY_IF_DIFFERENT)
endfunction()

set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/data/bugcheck_kinds.tsv)
bugcheck_generate(bugchecks.py bugchecks.tsv --inc bugcheck_names.inc)
bugcheck_generate(bugchecks.py bugchecks.tsv --texts bugcheck_texts.inc)
bugcheck_generate(bugchecks.py bugchecks.tsv --kinds bugcheck_kinds.inc)
bugcheck_generate(bugchecks.py bugchecks.tsv --names bugcheck_raised.inc)
bugcheck_generate(bugchecks.py bugchecks.tsv --header bugcheck_codes.h)
bugcheck_generate(verifier.py verifier_options.tsv --options verifier_options.inc)
foreach(list ntstatus.h:--status:nt_status_names.inc winerror.h:--win32:win32_error_names.inc)
  string(REPLACE ":" ";" list ${list})
  list(GET list 0 header)
  list(GET list 1 option)
  list(GET list 2 file)
  execute_process(COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/gen_error_names.py
                          /usr/x86_64-w64-mingw32/include/${header} ${option} ${BUGCHECK_GENERATED_DIR}/${file}.new
                  COMMAND_ERROR_IS_FATAL ANY)
  file(COPY_FILE ${BUGCHECK_GENERATED_DIR}/${file}.new ${BUGCHECK_GENERATED_DIR}/${file} ONLY_IF_DIFFERENT)
endforeach()
bugcheck_generate(nt_exports.py nt_exports.tsv --inc documented_exports.inc)
bugcheck_generate(nt_exports.py nt_exports.tsv --irql ddi_irql.inc)
bugcheck_generate(nt_exports.py nt_exports.tsv --def ntoskrnl_import.def)

add_library(bugcheck_tables INTERFACE)
target_include_directories(bugcheck_tables INTERFACE ${BUGCHECK_GENERATED_DIR})

set(BUGCHECK_DRIVER_LIB ${BUGCHECK_GUEST_DIR}/ntoskrnl_import.lib)
set(BUGCHECK_WDMSEC_LIB ${BUGCHECK_GUEST_DIR}/wdmsec.lib)  # drivers/wdmsec
add_custom_command(
  OUTPUT ${BUGCHECK_DRIVER_LIB}
  COMMAND ${BUGCHECK_LLVM_DLLTOOL} -m i386:x86-64 -d ${BUGCHECK_GENERATED_DIR}/ntoskrnl_import.def -l ${BUGCHECK_DRIVER_LIB}
  DEPENDS ${BUGCHECK_GENERATED_DIR}/ntoskrnl_import.def VERBATIM)
add_custom_target(bugcheck_driver_lib ALL DEPENDS ${BUGCHECK_DRIVER_LIB})
