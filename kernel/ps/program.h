// Programs: an image file, mapped with ntdll.dll, PEB and parameters, threads with TEBs and stacks that run
// in ring 3.
#pragma once

#include "ps_internal.h"

namespace ps {

struct Program {
  UNICODE_STRING image;         // an NT path (\??\C:\...), or a file name in \SystemRoot\System32
  UNICODE_STRING command_line;  // empty: the image's name
  HANDLE parent;                // 0: the System process
  ULONG session;
  se::Account account;
  bool inherit_handles;  // those of the parent that are marked so
};

// Starts one; a file that is not there is made (user/program). *process is referenced.
NTSTATUS StartProgram(const Program& program, PEPROCESS* process);
// One more thread in it.
NTSTATUS StartProgramThread(PEPROCESS process, HANDLE* thread_id);

// The layout of user memory: the images, PEB, parameters and the loader's list of modules.
// program_memory.cpp.
NTSTATUS BuildUserMemory(PEPROCESS process, HANDLE image_file, const UNICODE_STRING& path,
                         const UNICODE_STRING& command_line);
// TEB and stack for a thread that has not run.
inline constexpr SIZE_T kUserStackBytes = 0x40000;
NTSTATUS BuildTeb(PEPROCESS process, PETHREAD thread);

}  // namespace ps
