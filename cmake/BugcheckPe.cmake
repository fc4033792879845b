# How a Windows PE image (the kernel, its drivers, a user's driver) is built on Linux: clang-19 for the MSVC target,
# mingw-w64's DDK headers, our overlay in front of them, lld-link. One custom command a source file, so that host code
# and guest code live in one build graph. The flags and their reasons: docs/hacking.md.
#
#   bugcheck_add_driver(NAME SOURCES a.c b.cpp [INCLUDES dir...] [DEFINES X=1...] [OPTIONS flag...] [LINK_OPTIONS flag...]
#                       [LIBRARIES file.lib...] [MINGW_HEADERS_ONLY])
#
# (MINGW_HEADERS_ONLY: without our overlay, for sources that shall build for a real Windows as they are)
# makes the target NAME: ${BUGCHECK_GUEST_DIR}/NAME.sys and NAME.pdb beside it, bound to ntoskrnl.exe through
# BUGCHECK_DRIVER_LIB, which has every name that a Windows kernel exports (data/nt_exports.tsv), so a driver links before our
# kernel has them all, and to BUGCHECK_WDMSEC_LIB, for those that include <wdmsec.h>. Names of our kernel alone need LIBRARIES ${BUGCHECK_NTOSKRNL_LIB} as well.

find_program(BUGCHECK_CLANG NAMES clang-19 REQUIRED)
find_program(BUGCHECK_LLD_LINK NAMES lld-link-19 REQUIRED)
find_program(BUGCHECK_LLVM_DLLTOOL NAMES llvm-dlltool-19 REQUIRED)
set(BUGCHECK_MINGW_INCLUDE /usr/x86_64-w64-mingw32/include)

if(NOT DEFINED BUGCHECK_OVERLAY_INCLUDE)
  set(BUGCHECK_OVERLAY_INCLUDE ${CMAKE_CURRENT_LIST_DIR}/../include/nt)
endif()
if(NOT DEFINED BUGCHECK_GUEST_DIR)
  set(BUGCHECK_GUEST_DIR ${CMAKE_BINARY_DIR})
endif()

# A compiler cache, when the developer asks for one (the variable that CMake itself honours for host code).
set(_bugcheck_launcher "")
if(DEFINED ENV{CMAKE_CXX_COMPILER_LAUNCHER})
  set(_bugcheck_launcher $ENV{CMAKE_CXX_COMPILER_LAUNCHER})
endif()

# -ffreestanding switches unwind tables off entirely, hence -fasynchronous-unwind-tables; sibling calls erase frames from
# the stacks that people read; /opt:noicf keeps one address per function.
set(BUGCHECK_PE_COMPILE_OPTIONS
    --target=x86_64-pc-windows-msvc -fgnuc-version=12.0.0 -fms-extensions
    -ffreestanding -fasynchronous-unwind-tables -fno-optimize-sibling-calls -mno-stack-arg-probe
    -g -gcodeview -gno-codeview-command-line -O2
    -D_AMD64_ -D_WIN64 -D_MM3DNOW_H_INCLUDED -DPOOL_TAGGING=1
    "-D_Dispatch_type_(x)="
    -D__INTRINSIC_DEFINED_InterlockedBitTestAndSet -D__INTRINSIC_DEFINED_InterlockedBitTestAndReset)
set(BUGCHECK_PE_C_OPTIONS -std=c17 -Xclang -fasync-exceptions)
set(BUGCHECK_PE_CXX_OPTIONS -std=c++20 -fno-exceptions -fno-rtti -fno-threadsafe-statics)
set(BUGCHECK_PE_LINK_OPTIONS
    /driver /subsystem:native,10.0 /version:10.0 /osversion:10.0 /nodefaultlib /debug /opt:ref,noicf /Brepro /release)

# Internal: compiles SOURCES for the guest; the objects' paths go to OUT_VAR.
function(bugcheck_compile_pe OUT_VAR NAME)
  cmake_parse_arguments(A "MINGW_HEADERS_ONLY" "" "SOURCES;INCLUDES;DEFINES;OPTIONS;DEPENDS" ${ARGN})
  set(overlay -isystem ${BUGCHECK_OVERLAY_INCLUDE})
  if(A_MINGW_HEADERS_ONLY)
    set(overlay "")
  endif()
  set(objects "")
  foreach(source IN LISTS A_SOURCES)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE OUTPUT_VARIABLE path)
    cmake_path(RELATIVE_PATH path BASE_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE relative)
    string(REPLACE "../" "up/" relative ${relative})
    set(object ${CMAKE_BINARY_DIR}/pe/${NAME}/${relative}.obj)
    cmake_path(GET object PARENT_PATH directory)
    cmake_path(GET path EXTENSION LAST_ONLY extension)
    set(flags ${BUGCHECK_PE_COMPILE_OPTIONS})
    if(extension STREQUAL ".c")
      list(APPEND flags ${BUGCHECK_PE_C_OPTIONS})
    elseif(extension STREQUAL ".cpp")
      list(APPEND flags ${BUGCHECK_PE_CXX_OPTIONS})
    endif()
    foreach(define IN LISTS A_DEFINES)
      list(APPEND flags -D${define})
    endforeach()
    foreach(include IN LISTS A_INCLUDES)
      list(APPEND flags -I${include})
    endforeach()
    list(APPEND flags ${A_OPTIONS} ${overlay} -isystem ${BUGCHECK_MINGW_INCLUDE} -isystem ${BUGCHECK_MINGW_INCLUDE}/ddk
         -fdebug-compilation-dir=. ${BUGCHECK_PE_PATH_OPTIONS})
    file(MAKE_DIRECTORY ${directory})
    # An entry for a compilation database, for the linter (clang's own -MJ would defeat a compiler cache).
    string(REPLACE "\"" "\\\"" quoted "${flags}")
    string(REPLACE ";" "\", \"" quoted "${quoted}")
    file(CONFIGURE OUTPUT ${object}.json @ONLY CONTENT
         "{\"directory\": \"${CMAKE_BINARY_DIR}\", \"file\": \"${path}\", \"arguments\": [\"${BUGCHECK_CLANG}\", \"${quoted}\", \"-c\", \"${path}\"]},\n")
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${_bugcheck_launcher} ${BUGCHECK_CLANG} ${flags} -MD -MF ${object}.d -c ${path} -o ${object}
      DEPENDS ${path} ${A_DEPENDS}
      DEPFILE ${object}.d
      COMMENT "Compiling ${relative} for the guest" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(${OUT_VAR} ${objects} PARENT_SCOPE)
endfunction()

# Internal: links OBJECTS to ${BUGCHECK_GUEST_DIR}/IMAGE, with its PDB; extra outputs (import library) in BYPRODUCTS.
function(bugcheck_link_pe TARGET IMAGE)
  cmake_parse_arguments(A "" "PDB;ENTRY" "OBJECTS;LINK_OPTIONS;DEPENDS;BYPRODUCTS;LIBRARIES" ${ARGN})
  set(out ${BUGCHECK_GUEST_DIR}/${IMAGE})
  file(MAKE_DIRECTORY ${BUGCHECK_GUEST_DIR})
  add_custom_command(
    OUTPUT ${out} ${BUGCHECK_GUEST_DIR}/${A_PDB} ${A_BYPRODUCTS}
    COMMAND ${BUGCHECK_LLD_LINK} ${A_OBJECTS} ${A_LIBRARIES} ${BUGCHECK_PE_LINK_OPTIONS} ${A_LINK_OPTIONS}
            /entry:${A_ENTRY} /out:${out} /pdb:${BUGCHECK_GUEST_DIR}/${A_PDB} /pdbaltpath:${A_PDB}
    DEPENDS ${A_OBJECTS} ${A_LIBRARIES} ${A_DEPENDS}
    COMMENT "Linking ${IMAGE}" VERBATIM)
  add_custom_target(${TARGET} ALL DEPENDS ${out})
  set_target_properties(${TARGET} PROPERTIES BUGCHECK_IMAGE ${out})
endfunction()

function(bugcheck_add_driver NAME)
  cmake_parse_arguments(A "MINGW_HEADERS_ONLY" "" "SOURCES;INCLUDES;DEFINES;OPTIONS;LINK_OPTIONS;LIBRARIES" ${ARGN})
  if(NOT A_SOURCES)
    message(FATAL_ERROR "bugcheck_add_driver(${NAME}): SOURCES is empty")
  endif()
  set(headers "")
  if(A_MINGW_HEADERS_ONLY)
    set(headers MINGW_HEADERS_ONLY)
  endif()
  bugcheck_compile_pe(objects ${NAME} ${headers} SOURCES ${A_SOURCES} INCLUDES ${A_INCLUDES} DEFINES ${A_DEFINES} OPTIONS ${A_OPTIONS})
  bugcheck_link_pe(${NAME} ${NAME}.sys PDB ${NAME}.pdb ENTRY DriverEntry OBJECTS ${objects}
                   LIBRARIES ${BUGCHECK_DRIVER_LIB} ${BUGCHECK_WDMSEC_LIB} ${A_LIBRARIES} LINK_OPTIONS ${A_LINK_OPTIONS})
  if(TARGET bugcheck_driver_lib)
    add_dependencies(${NAME} bugcheck_driver_lib bugcheck_wdmsec_lib)
  endif()
endfunction()
