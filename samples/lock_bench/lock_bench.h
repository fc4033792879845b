/* Between the files of lock_bench: each prints lines "lock_bench: WHAT = NUMBER", which tools/bench.py reads.
 */
#pragma once
#include <ntifs.h>

/* Instructions of uncontended pairs, of switches and of DPCs: true under -icount only, where the time stamp
 * counter advances by one each instruction. One processor. */
VOID CountPairs(VOID);
VOID CountSwitches(VOID);

/* Hand-over times and fairness under contention, ping-pong and DPC latency between processors. */
VOID MeasureContention(VOID);
VOID MeasureProcessors(VOID);

/* Starts a system thread and returns its object; 0 when there is none. */
PVOID StartThread(PKSTART_ROUTINE Routine, PVOID Context);
VOID JoinThread(PVOID Thread);
