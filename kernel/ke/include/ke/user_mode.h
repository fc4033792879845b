// Ring 3: how threads get there, what they may ask for, and what they do on the way back there. What a
// program is, and where its ntdll.dll takes exceptions and APCs, ps knows.
#pragma once

#include "nt/kthread.h"

extern "C" {

// Where ntdll.dll is entered by the kernel.
enum KeUserEntry : ULONG { KeUserApcEntry, KeUserExceptionEntry };

struct KeUserModeHooks {
  // KeRequestThreadExit was called for the current thread.
  VOID (*exit_thread)();
  // An exception of the program that is not its own affair (any more): ends the process and the thread.
  VOID (*unhandled_exception)(const EXCEPTION_RECORD* record, const CONTEXT* context);
  // An address of the current process.
  ULONG64 (*entry)(KeUserEntry entry);
};
VOID KeSetUserModeHooks(const KeUserModeHooks* hooks);

// The services by number. Each takes all its arguments as 64-bit words.
struct KeUserService {
  PVOID routine;
  ULONG64 arguments;  // at most 16
};
VOID KeSetUserServices(const KeUserService* services, ULONG count);

// Copies between kernel memory and what a program says are addresses of the current process. Where they are
// not: STATUS_ACCESS_VIOLATION, or the fault's own status. PASSIVE_LEVEL.
NTSTATUS KeCopyFromUser(PVOID to, const VOID* from, SIZE_T bytes);
NTSTATUS KeCopyToUser(PVOID to, const VOID* from, SIZE_T bytes);

// Leaves the kernel for the program of the current thread, whose Teb is set. PASSIVE_LEVEL.
[[noreturn]] VOID KeEnterUserMode(ULONG64 rip, ULONG64 rsp, ULONG64 rcx, ULONG64 rdx);

}  // extern "C"
