// Processes that look like programs' to drivers: an image file, its mapped headers, PEB and parameters,
// threads with TEBs. They run no code of their own: their threads wait until the process is ended.
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

// Starts one; a file that is not there is made (an image without code). *process is referenced.
NTSTATUS StartProgram(const Program& program, PEPROCESS* process);
// One more thread in it.
NTSTATUS StartProgramThread(PEPROCESS process, HANDLE* thread_id);

// The layout of user memory: PEB, parameters and the loader's list of modules. program_memory.cpp.
struct ProgramImage {
  UCHAR headers[PAGE_SIZE];  // the file's first page
  ULONG size;                // SizeOfImage
  PVOID base;                // where it is mapped
};
NTSTATUS BuildUserMemory(PEPROCESS process, ProgramImage* image, const UNICODE_STRING& path,
                         const UNICODE_STRING& command_line);
// A TEB for a thread that has not run.
NTSTATUS BuildTeb(PEPROCESS process, PETHREAD thread);

}  // namespace ps
