// The lock trace's slow half: see ke/lock_trace.h.
#include "ke_internal.h"

#include "kd/kd.h"
#include "ktl/plain_spin_lock.h"

namespace {

constexpr ULONG64 kLimit = kLockHoldLimitMicroseconds * (hal::kPerformanceFrequency / 1'000'000);
constexpr ULONG kRecords = KLOCK_STACK_ENTRIES;
constexpr ULONG64 kFamilyMask = 3;

PVOID LockOf(const KLOCK_STACK_ENTRY& record) {
  return reinterpret_cast<PVOID>(reinterpret_cast<ULONG64>(record.Lock) & ~kFamilyMask);
}
KLOCK_TRACE_FAMILY FamilyOf(const KLOCK_STACK_ENTRY& record) {
  return static_cast<KLOCK_TRACE_FAMILY>(reinterpret_cast<ULONG64>(record.Lock) & kFamilyMask);
}

// More releases than acquisitions: the index has wrapped, nothing is known to be held.
ULONG Depth(const KPRCB* prcb) {
  const ULONG depth = prcb->LockStackIndex / 2;
  return depth <= kRecords / 2 ? depth : 0;
}

// The whole TSC of a record that has its low half: the last time the counter had that low half.
ULONG64 WholeTime(KLOCK_STACK_TIME* time, ULONG64 now) {
  if (time->SeenTscLow == time->TscLow && time->Tsc != 0 && static_cast<ULONG>(time->Tsc) == time->TscLow) {
    return time->Tsc;
  }
  ULONG64 whole = (now & ~0xFFFFFFFFull) | time->TscLow;
  if (whole > now) whole -= 1ull << 32;
  time->SeenTscLow = time->TscLow;
  time->Tsc = whole;
  return whole;
}

KLOCK_TRACE_ENTRY* FindFree(PKPRCB prcb) {
  for (KLOCK_TRACE_ENTRY& entry : prcb->LockTrace) {
    if (entry.Kind == LockTraceFree) return &entry;
  }
  return nullptr;
}

struct Holder {
  PVOID caller;  // 0: not found
  ULONG processor;
};

// Who holds the lock, as far as the traces tell while it changes.
Holder FindHolder(PVOID lock) {
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    PKPRCB prcb = KiProcessorBlock[i];
    const ULONG depth = prcb != nullptr ? Depth(prcb) : 0;
    for (ULONG k = 0; k < depth; ++k) {
      if (LockOf(prcb->LockStack[k]) == lock) return {prcb->LockStack[k].CallerAddress, i};
    }
  }
  return {};
}

// Plain locks released out of order leave the record of one that is free below the index and that of one that
// is held above. True when the lock's own word says that nobody holds it.
bool IsFree(const KLOCK_STACK_ENTRY& record) {
  PVOID lock = LockOf(record);
  if (lock == nullptr || !MmIsAddressValid(lock)) return true;
  return FamilyOf(record) >= LockFamilyShared ? *static_cast<volatile ULONG*>(lock) == 0
                                              : *static_cast<volatile ULONG64*>(lock) == 0;
}

// The record that stands for slot `i`: its own, or, where that lock is free, one of those that were popped in
// its place. `popped` moves on with each that was used. kRecords: none.
ULONG TrueRecord(const KPRCB* prcb, ULONG i, ULONG* popped) {
  if (!IsFree(prcb->LockStack[i])) return i;
  const ULONG end = Depth(prcb) + KLOCK_TRACE_ENTRIES;
  while (*popped < end && *popped < kRecords) {
    const ULONG candidate = (*popped)++;
    if (!IsFree(prcb->LockStack[candidate]) &&
        FindHolder(LockOf(prcb->LockStack[candidate])).caller == nullptr) {
      return candidate;
    }
  }
  return kRecords;
}

void Record(PKPRCB prcb, ULONG index, ULONG64 now) {
  KLOCK_TRACE_ENTRY* entry = FindFree(prcb);
  if (entry == nullptr) return;
  const KLOCK_STACK_ENTRY& held = prcb->LockStack[index];
  entry->CallerAddress = held.CallerAddress;
  entry->Thread = prcb->CurrentThread;
  entry->StartTime = hal::TscToPerformance(WholeTime(&prcb->LockStackTime[index], now));
  entry->Irql = DISPATCH_LEVEL;
  entry->Family = FamilyOf(held);
  entry->Lock = LockOf(held);
  entry->Kind = LockTraceHeld;
  const ULONG64 duration = hal::TscToPerformance(now) - entry->StartTime;
  if (duration <= kLimit || KiBugCheckActive != 0) return;
  ++prcb->LongHolds;
  KiReportLongHold(LockOf(held), held.CallerAddress, prcb->Number, duration, nullptr);
}

}  // namespace

extern "C" {

VOID KiResolveLockTrace(PKPRCB prcb) {
  const ULONG64 now = hal::ReadTsc();
  for (KLOCK_TRACE_ENTRY& entry : prcb->LockTrace) {
    if (entry.Kind == LockTraceHeld) entry.Kind = LockTraceFree;
  }
  const ULONG depth = Depth(prcb);
  ULONG popped = depth;
  for (ULONG i = 0; i < depth; ++i) {
    const ULONG index = TrueRecord(prcb, i, &popped);
    if (index < kRecords) Record(prcb, index, now);
  }
}

VOID KiTraceReleaseOutOfOrder(PVOID tagged) {
  PKPRCB prcb = KeGetCurrentPrcb();
  const ULONG depth = Depth(prcb);
  ULONG at = 0;
  while (at < depth && prcb->LockStack[at].Lock != tagged) ++at;
  for (; at + 1 < depth; ++at) {
    prcb->LockStack[at].Lock = prcb->LockStack[at + 1].Lock;
    prcb->LockStack[at].CallerAddress = prcb->LockStack[at + 1].CallerAddress;
    prcb->LockStackTime[at] = prcb->LockStackTime[at + 1];
  }
  __asm__ volatile("subb $2, %%gs:%c0" ::"i"(PCR_LOCK_INDEX) : "memory", "cc");
}

VOID KiBeginSpin(KSPIN_RECORD* record, PVOID lock, KLOCK_TRACE_FAMILY family, PVOID caller, ULONG old_irql) {
  PKPRCB prcb = KeGetCurrentPrcb();
  record->Lock = lock;
  record->Caller = caller;
  record->Family = family;
  record->Start = hal::PerformanceNow();
  record->Entry = FindFree(prcb);
  if (record->Entry != nullptr) {
    record->Entry->CallerAddress = caller;
    record->Entry->Thread = prcb->CurrentThread;
    record->Entry->StartTime = record->Start;
    record->Entry->Irql = static_cast<KIRQL>(old_irql);
    record->Entry->Family = family;
    record->Entry->Lock = lock;
    record->Entry->Kind = LockTraceSpinning;
  }
  const Holder holder = FindHolder(lock);
  record->Holder = holder.caller;
  record->HolderProcessor = holder.processor;
}

VOID KiEndSpin(KSPIN_RECORD* record) {
  if (record->Entry != nullptr) {
    record->Entry->Kind = LockTraceFree;
    record->Entry->Lock = nullptr;
  }
  KiTraceAcquire(record->Lock, record->Family, record->Caller);
  // Who queues behind others waits for the sum of their holds: no single one of them was long.
  if (record->Holder == nullptr || record->Family == LockFamilyQueued) return;
  const ULONG64 waited = hal::PerformanceNow() - record->Start;
  if (waited <= kLimit) return;
  ++KiProcessorBlock[record->HolderProcessor]->LongHolds;
  KiReportLongHold(record->Lock, record->Holder, record->HolderProcessor, waited, record->Caller);
}

DECLSPEC_NOINLINE VOID KxWaitForSpinLockAndAcquire(PKSPIN_LOCK lock, PVOID caller, ULONG old_irql) {
  KSPIN_RECORD record;
  KiBeginSpin(&record, lock, LockFamilyPlain, caller, old_irql);
  ktl::PlainSpinLock<KiSpinPolicy>::WaitAndAcquire(lock);
  KiEndSpin(&record);
}

}  // extern "C"
