// Processes and threads.
#pragma once

#include "nt/eprocess.h"

extern "C" {
// Phase 0, after ob: types, the Idle process, the System process (pid 4), the CID table. The idle threads'
// ETHREADs are attached with PspAdoptIdleThread.
NTSTATUS PsInitSystem();

// Makes `Thread` (a static ETHREAD whose Tcb ke has initialised) an idle thread of the Idle process, id 0.
VOID PspAdoptIdleThread(PETHREAD Thread);

// The first frames of every system thread: KiStartSystemThread calls this.
[[noreturn]] VOID NTAPI PspSystemThreadStartup(PKSTART_ROUTINE StartRoutine, PVOID StartContext);
[[noreturn]] VOID NTAPI PspExitThread(NTSTATUS ExitStatus);

// ke calls this (DISPATCH_LEVEL, on another stack) when a terminated thread has been switched away from for
// good.
VOID NTAPI PspReapThread(PKTHREAD Thread);

extern KPROCESS* KiIdleProcess;
PEPROCESS NTAPI PsGetCurrentProcess();
HANDLE NTAPI PsGetThreadId(PETHREAD Thread);
HANDLE NTAPI PsGetProcessId(PEPROCESS Process);
UCHAR* NTAPI PsGetProcessImageFileName(PEPROCESS Process);
}

namespace ps {

// Calls `visit` for each live thread of `process`, referenced during the call; PASSIVE_LEVEL.
void EnumerateThreads(PEPROCESS process, bool (*visit)(PETHREAD thread, PVOID context), PVOID context);

// Creates and starts a thread of the System process; `thread` (may be 0) gets a reference.
NTSTATUS CreateSystemThread(PKSTART_ROUTINE start, PVOID context, PETHREAD* thread);

}  // namespace ps
