// The lock trace: what each processor holds and spins for.
//
// The uncontended acquisition can afford six instructions for its record. So an acquisition pushes {lock,
// caller} and the low half of the TSC onto a per-processor stack whose 8-bit index wraps (nothing can run off
// the array), a release pops. KiResolveLockTrace turns that into PRCB.LockTrace (KLOCK_TRACE_ENTRY: full
// times, performance-counter units): it runs on every clock tick of a processor that holds something, when a
// processor is frozen, and in the crash path. Entries of spinning processors are written to PRCB.LockTrace
// directly, by the contended path.
#pragma once

#include "nt/kpcr.h"

inline constexpr ULONG kLockHoldLimitMicroseconds = 25;

extern "C" {
// Rewrites prcb->LockTrace from what the processor holds now. Own processor, or a frozen one.
VOID KiResolveLockTrace(PKPRCB prcb);
// The contended path: spins until bit 0 of *lock is ours. Returns with the lock held and recorded.
VOID KxWaitForSpinLockAndAcquire(PKSPIN_LOCK lock, PVOID caller, ULONG old_irql);
}
