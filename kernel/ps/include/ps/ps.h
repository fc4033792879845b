// Processes and threads.
#pragma once

#include "nt/eprocess.h"

extern "C" {
// Phase 0, after ob: types, identity of the Idle process and its threads, the System process (pid 4) and,
// unless told otherwise by PsStartPhase1Thread, no thread in it yet.
NTSTATUS PsInitSystem();

// The first frames of every system thread: KiStartSystemThread calls this.
VOID NTAPI PspSystemThreadStartup(PKSTART_ROUTINE StartRoutine, PVOID StartContext);
[[noreturn]] VOID NTAPI PspExitThread(NTSTATUS ExitStatus);

HANDLE NTAPI PsGetThreadId(PETHREAD Thread);
HANDLE NTAPI PsGetProcessId(PEPROCESS Process);
UCHAR* NTAPI PsGetProcessImageFileName(PEPROCESS Process);

// io's part of a thread's end, in the thread, at PASSIVE_LEVEL; 0: none.
extern VOID (*PspThreadExitRoutine)(PETHREAD Thread);
}

namespace ps {

// Calls `visit` for each live thread of `process`, referenced during the call; false from it ends the walk.
// IRQL <= DISPATCH_LEVEL.
void EnumerateThreads(PEPROCESS process, bool (*visit)(PETHREAD thread, PVOID context), PVOID context);

// The same for each process but Idle.
void EnumerateProcesses(bool (*visit)(PEPROCESS process, PVOID context), PVOID context);

// Creates and starts a thread of the System process; `thread` (may be 0) gets a reference.
NTSTATUS CreateSystemThread(PKSTART_ROUTINE start, PVOID context, PETHREAD* thread);

// The same for a thread that the kernel cannot do without: tries until there is memory for it. PASSIVE_LEVEL.
void StartSystemThread(PKSTART_ROUTINE start, PVOID context);

// Phase 1: the host's requests that concern processes.
NTSTATUS InitProcessControl();

// Calls the registered load-image routines. PASSIVE_LEVEL.
void NotifyImageLoad(PUNICODE_STRING full_name, PVOID base, SIZE_T size);

}  // namespace ps
