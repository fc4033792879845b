// The lock trace: what each processor holds and spins for, of every family of spin locks.
//
// The uncontended acquisition can afford six instructions for its record. So an acquisition pushes {lock with
// the family in its low two bits, caller} and the low half of the TSC onto a per-processor stack whose 8-bit
// index wraps (nothing can run off the array), a release pops. KiResolveLockTrace turns that into
// PRCB.LockTrace (KLOCK_TRACE_ENTRY: full times, performance-counter units): it runs on every clock tick of a
// processor that holds something, when a processor is frozen, and in the crash path. Entries of spinning
// processors are written to PRCB.LockTrace directly, by the contended path.
//
// Plain locks pop without a look (there is no instruction to spare): where they are released in another order
// than the reverse, KiResolveLockTrace sorts out by the lock words which of the records is still true.
#pragma once

#include "arch/asm_offsets.h"
#include "nt/kpcr.h"

inline constexpr ULONG kLockHoldLimitMicroseconds = 25;

extern "C" {
// Rewrites prcb->LockTrace from what the processor holds now. Own processor, or a frozen one.
VOID KiResolveLockTrace(PKPRCB prcb);
// The contended path of plain locks: spins until bit 0 of *lock is ours. Returns with the lock held and
// recorded.
VOID KxWaitForSpinLockAndAcquire(PKSPIN_LOCK lock, PVOID caller, ULONG old_irql);

// The contended path of queued locks: waits until the lock is handed over. Returns with it held and recorded.
VOID KxWaitForLockOwnerShip(PKSPIN_LOCK_QUEUE before, PKSPIN_LOCK_QUEUE queue, PVOID caller, ULONG old_irql);

// Raises to `level` and takes the lock (a plain one; a numbered queued one) in the name of `caller`, the
// address that the trace shows: for routines that take a lock on behalf of theirs. Returns the old IRQL.
KIRQL KiAcquireSpinLockFor(PKSPIN_LOCK lock, KIRQL level, PVOID caller);
KIRQL KiAcquireQueuedSpinLockFor(KSPIN_LOCK_QUEUE_NUMBER number, KIRQL level, PVOID caller);

// What a contended path is doing: it stands in the trace between the two calls, which the second ends by
// recording the acquisition.
struct KSPIN_RECORD {
  KLOCK_TRACE_ENTRY* Entry;
  PVOID Lock;
  PVOID Caller;
  PVOID Holder;  // code that took the lock and holds it, as far as the traces tell; 0: not known
  ULONG HolderProcessor;
  KLOCK_TRACE_FAMILY Family;
  ULONG64 Start;
};
VOID KiBeginSpin(KSPIN_RECORD* record, PVOID lock, KLOCK_TRACE_FAMILY family, PVOID caller, ULONG old_irql);
VOID KiEndSpin(KSPIN_RECORD* record);
// The rare half of KiTraceRelease: the lock is not the last that was taken.
VOID KiTraceReleaseOutOfOrder(PVOID tagged);
}

// One turn of a kernel's spin. Plain reads mostly: under TCG a pause takes a global lock and leaves the
// processor's loop.
struct KiSpinPolicy {
  static void Relax(unsigned round) {
    if (round % 256 == 255) YieldProcessor();
  }
  static void Step() {}
};

FORCEINLINE VOID KiTraceAcquire(volatile const VOID* lock, KLOCK_TRACE_FAMILY family, PVOID caller) {
  UCHAR index = 2;
  __asm__ volatile("xaddb %0, %%gs:%c1" : "+q"(index) : "i"(PCR_LOCK_INDEX) : "memory", "cc");
  const ULONG at = index * 8u;
  __writegsqword(PCR_LOCK_STACK + at, reinterpret_cast<ULONG64>(lock) | family);
  __writegsqword(PCR_LOCK_STACK + 8 + at, reinterpret_cast<ULONG64>(caller));
  __writegsdword(PCR_LOCK_TIME + at, static_cast<ULONG>(__rdtsc()));
}

FORCEINLINE VOID KiTraceRelease(volatile const VOID* lock, KLOCK_TRACE_FAMILY family) {
  const auto tagged = reinterpret_cast<ULONG64>(lock) | family;
  const ULONG top = (__readgsbyte(PCR_LOCK_INDEX) - 2u) & 0xFF;
  if (__builtin_expect(__readgsqword(PCR_LOCK_STACK + top * 8) != tagged, 0)) {
    KiTraceReleaseOutOfOrder(reinterpret_cast<PVOID>(tagged));
    return;
  }
  __asm__ volatile("subb $2, %%gs:%c0" ::"i"(PCR_LOCK_INDEX) : "memory", "cc");
}
