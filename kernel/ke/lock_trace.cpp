// The lock trace's slow half: see ke/lock_trace.h.
#include "ke_internal.h"

#include "kd/kd.h"

namespace {

constexpr ULONG64 kLimit = kLockHoldLimitMicroseconds * (hal::kPerformanceFrequency / 1'000'000);

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
Holder FindHolder(PKSPIN_LOCK lock) {
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    PKPRCB prcb = KiProcessorBlock[i];
    const ULONG depth = prcb != nullptr ? prcb->LockStackIndex / 2 : 0;
    for (ULONG k = 0; k < depth && k < KLOCK_STACK_ENTRIES / 2; ++k) {
      if (prcb->LockStack[k].Lock == lock) return {prcb->LockStack[k].CallerAddress, i};
    }
  }
  return {};
}

void ReportIfLong(PKSPIN_LOCK lock, const Holder& holder, ULONG64 waited, PVOID caller) {
  if (waited <= kLimit || holder.caller == nullptr) return;
  ++KiProcessorBlock[holder.processor]->LongHolds;
  KiReportLongHold(lock, holder.caller, holder.processor, waited, caller);
}

}  // namespace

extern "C" {

VOID KiResolveLockTrace(PKPRCB prcb) {
  const ULONG64 now = hal::ReadTsc();
  for (KLOCK_TRACE_ENTRY& entry : prcb->LockTrace) {
    if (entry.Kind == LockTraceHeld) entry.Kind = LockTraceFree;
  }
  const ULONG depth = prcb->LockStackIndex / 2;
  if (depth > KLOCK_STACK_ENTRIES / 2)
    return;  // more releases than acquisitions: nothing here is known to be held
  for (ULONG i = 0; i < depth; ++i) {
    const KLOCK_STACK_ENTRY& held = prcb->LockStack[i];
    PVOID lock = held.Lock;
    KLOCK_TRACE_ENTRY* entry = FindFree(prcb);
    if (entry == nullptr) break;
    entry->CallerAddress = held.CallerAddress;
    entry->Thread = prcb->CurrentThread;
    const ULONG64 whole = WholeTime(&prcb->LockStackTime[i], now);
    entry->StartTime = hal::TscToPerformance(whole);
    entry->Irql = DISPATCH_LEVEL;
    entry->Lock = lock;
    entry->Kind = LockTraceHeld;
    const ULONG64 duration = hal::TscToPerformance(now) - entry->StartTime;
    if (duration <= kLimit || KiBugCheckActive != 0) continue;
    ++prcb->LongHolds;
    KiReportLongHold(lock, entry->CallerAddress, prcb->Number, duration, nullptr);
  }
}

VOID KxWaitForSpinLockAndAcquire(PKSPIN_LOCK lock, PVOID caller, ULONG old_irql) {
  PKPRCB prcb = KeGetCurrentPrcb();
  KLOCK_TRACE_ENTRY* entry = FindFree(prcb);
  if (entry != nullptr) {
    entry->CallerAddress = caller;
    entry->Thread = prcb->CurrentThread;
    entry->StartTime = hal::PerformanceNow();
    entry->Irql = static_cast<KIRQL>(old_irql);
    entry->Lock = lock;
    entry->Kind = LockTraceSpinning;
  }
  const ULONG64 start = hal::PerformanceNow();
  const Holder holder = FindHolder(lock);
  do {
    // Plain reads first: under TCG a pause takes a global lock and leaves the processor's loop.
    for (ULONG reads = 0; (__atomic_load_n(lock, __ATOMIC_RELAXED) & 1) != 0; ++reads) {
      if (reads % 256 == 255) arch::Pause();
    }
  } while (_interlockedbittestandset64(reinterpret_cast<volatile LONG64*>(lock), 0) != 0);
  if (entry != nullptr) {
    entry->Kind = LockTraceFree;
    entry->Lock = nullptr;
  }
  KiPushLockTrace(lock, caller);
  ReportIfLong(lock, holder, hal::PerformanceNow() - start, caller);
}

}  // extern "C"
