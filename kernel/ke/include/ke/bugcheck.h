// The crash path for other modules.
#pragma once

#include "bugcheck_codes.h"  // generated from data/bugchecks.tsv
#include "nt/ktrap.h"
#include "nt/ntos.h"

extern "C" {

extern ULONG_PTR KiBugCheckData[5];  // code and parameters of the crash
extern ULONG64
    KiBugCheckPerformanceCounter;  // when KeBugCheckEx was entered: the debugger measures lock times up to it
extern volatile ULONG KiBugCheckActive;  // number + 1 of the processor that owns the crash; 0: there is none
extern UCHAR IopDumpHeader[0x2000];      // DUMP_HEADER64 as the host's dump writer takes it

// From an interrupt or trap stub: bug check whose context is the trap frame's. Frames read
// nt!KeBugCheckEx <- nt!KiBugCheckDispatch <- the stub.
[[noreturn]] VOID KiBugCheckDispatch(ULONG code, ULONG_PTR p1, ULONG_PTR p2, ULONG_PTR p3, ULONG_PTR p4);

// Fills IopDumpHeader without a bug check and tells the host where it is: what a debugger of the live machine
// starts from.
VOID KiPublishDumpHeader();

// live_dump.cpp. A dump without a crash: every processor waits until the host has taken it. PASSIVE_LEVEL.
VOID KiTakeLiveDump();
// kernel_watch.cpp. From now on a change of the kernel's code or of its interrupt table is bug check 0x109.
// PASSIVE_LEVEL; the body of a system thread, which the caller makes.
VOID NTAPI KiWatchKernel(PVOID context);

// Assertion of the kernel itself, in every build.
[[noreturn]] VOID KiAssertFailed(const char* text, const char* file, ULONG line);
#define KE_ASSERT(x) ((x) ? (void)0 : KiAssertFailed(#x, __FILE_NAME__, __LINE__))

}  // extern "C"
