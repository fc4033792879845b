// Rundown protection: bit 0 = rundown is on; else twice the number of holders. While it is awaited the word
// points to the waiter's block (bit 0 set).
#include "ex/ex.h"
#include "nt/export.h"

namespace {

struct RundownWait {
  KEVENT event;
  volatile LONG64 holders;
};

bool Exchange(PEX_RUNDOWN_REF ref, ULONG_PTR from, ULONG_PTR to) {
  return InterlockedCompareExchange64(reinterpret_cast<volatile LONG64*>(&ref->Count),
                                      static_cast<LONG64>(to),
                                      static_cast<LONG64>(from)) == static_cast<LONG64>(from);
}

BOOLEAN Acquire(PEX_RUNDOWN_REF ref, ULONG count) {
  for (;;) {
    const ULONG_PTR value = ref->Count;
    if (value & EX_RUNDOWN_ACTIVE) return FALSE;
    if (Exchange(ref, value, value + count * EX_RUNDOWN_COUNT_INC)) return TRUE;
  }
}

void Release(PEX_RUNDOWN_REF ref, ULONG count) {
  for (;;) {
    const ULONG_PTR value = ref->Count;
    if (value & EX_RUNDOWN_ACTIVE) {
      auto* wait = reinterpret_cast<RundownWait*>(value & ~ULONG_PTR{EX_RUNDOWN_ACTIVE});
      if (InterlockedAdd64(&wait->holders, -static_cast<LONG64>(count)) == 0)
        KeSetEvent(&wait->event, 0, FALSE);
      return;
    }
    if (Exchange(ref, value, value - count * EX_RUNDOWN_COUNT_INC)) return;
  }
}

}  // namespace

/// Prepares rundown protection.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExInitializeRundownProtection.
NT_EXPORT(ExInitializeRundownProtection, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExInitializeRundownProtection(PEX_RUNDOWN_REF RunRef) {
  RunRef->Count = 0;
}

/// Makes a run-down protection usable again.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReInitializeRundownProtection.
NT_EXPORT(ExReInitializeRundownProtection, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExReInitializeRundownProtection(PEX_RUNDOWN_REF RunRef) {
  RunRef->Count = 0;
}

/// Protects against rundown; FALSE if it has begun.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireRundownProtection.
NT_EXPORT(ExAcquireRundownProtection, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" BOOLEAN FASTCALL ExAcquireRundownProtection(PEX_RUNDOWN_REF RunRef) {
  return Acquire(RunRef, 1);
}

/// Protects Count times.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireRundownProtectionEx.
NT_EXPORT(ExAcquireRundownProtectionEx, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" BOOLEAN FASTCALL ExAcquireRundownProtectionEx(PEX_RUNDOWN_REF RunRef, ULONG Count) {
  return Acquire(RunRef, Count);
}

/// Gives a protection back.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseRundownProtection.
NT_EXPORT(ExReleaseRundownProtection, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExReleaseRundownProtection(PEX_RUNDOWN_REF RunRef) {
  Release(RunRef, 1);
}

/// Gives Count protections back.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseRundownProtectionEx.
NT_EXPORT(ExReleaseRundownProtectionEx, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExReleaseRundownProtectionEx(PEX_RUNDOWN_REF RunRef, ULONG Count) {
  Release(RunRef, Count);
}

/// Marks the rundown as complete.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExRundownCompleted.
NT_EXPORT(ExRundownCompleted, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExRundownCompleted(PEX_RUNDOWN_REF RunRef) {
  RunRef->Count = EX_RUNDOWN_ACTIVE;
}

/// Begins the rundown and waits until every protection is given back.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExWaitForRundownProtectionRelease.
NT_EXPORT(ExWaitForRundownProtectionRelease, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExWaitForRundownProtectionRelease(PEX_RUNDOWN_REF RunRef) {
  RundownWait wait;
  KeInitializeEvent(&wait.event, SynchronizationEvent, FALSE);
  for (;;) {
    const ULONG_PTR value = RunRef->Count;
    if (value == 0 && Exchange(RunRef, 0, EX_RUNDOWN_ACTIVE)) return;
    if (value & EX_RUNDOWN_ACTIVE) return;
    wait.holders = static_cast<LONG64>(value / EX_RUNDOWN_COUNT_INC);
    if (value != 0 && Exchange(RunRef, value, reinterpret_cast<ULONG_PTR>(&wait) | EX_RUNDOWN_ACTIVE)) break;
  }
  KeWaitForSingleObject(&wait.event, Executive, KernelMode, FALSE, nullptr);
  RunRef->Count = EX_RUNDOWN_ACTIVE;
}
