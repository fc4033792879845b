/* Between the files of fault_bench: each prints lines "fault_bench: WHAT = NUMBER", which tools/bench.py
 * reads. */
#pragma once
#include <ntifs.h>

VOID Report(const char* What, ULONG64 Value);
VOID CountExceptions(VOID);
