// Rundown protection: bit 0 = rundown is on; else twice the number of holders. While it is awaited the word
// points to the waiter's block (bit 0 set).
#include "rundown.h"

#include "ex/ex.h"
#include "nt/export.h"
#include "ob/ob.h"

namespace ex {

namespace {

// Threads that await a rundown which another thread awaits already.
KSPIN_LOCK g_followers_lock;
LIST_ENTRY g_followers = {&g_followers, &g_followers};

struct Follower {
  LIST_ENTRY link;
  PEX_RUNDOWN_REF ref;
  KEVENT event;
};

}  // namespace

BOOLEAN AcquireRundown(PEX_RUNDOWN_REF ref, ULONG count) {
  for (;;) {
    const ULONG_PTR value = ref->Count;
    if (value & EX_RUNDOWN_ACTIVE) return FALSE;
    if (ExchangeRundown(ref, value, value + ULONG_PTR{count} * EX_RUNDOWN_COUNT_INC)) return TRUE;
  }
}

void ReleaseRundown(PEX_RUNDOWN_REF ref, ULONG count) {
  for (;;) {
    const ULONG_PTR value = ref->Count;
    if (value & EX_RUNDOWN_ACTIVE) {
      auto* wait = reinterpret_cast<RundownWait*>(value & ~ULONG_PTR{EX_RUNDOWN_ACTIVE});
      if (InterlockedAdd64(&wait->holders, -static_cast<LONG64>(count)) == 0)
        KeSetEvent(&wait->event, 0, FALSE);
      return;
    }
    if (ExchangeRundown(ref, value, value - ULONG_PTR{count} * EX_RUNDOWN_COUNT_INC)) return;
  }
}

// Another thread's block is on its stack: who comes later waits for that thread's word that it is over.
void FollowRundown(PEX_RUNDOWN_REF ref) {
  Follower follower;
  follower.ref = ref;
  KeInitializeEvent(&follower.event, SynchronizationEvent, FALSE);
  {
    ke::SpinGuard guard(&g_followers_lock);
    if (ref->Count == EX_RUNDOWN_ACTIVE) return;
    InsertTailList(&g_followers, &follower.link);
  }
  KeWaitForSingleObject(&follower.event, Executive, KernelMode, FALSE, nullptr);
}

void CompleteRundown(PEX_RUNDOWN_REF ref) {
  ke::SpinGuard guard(&g_followers_lock);
  ref->Count = EX_RUNDOWN_ACTIVE;
  for (LIST_ENTRY* link = g_followers.Flink; link != &g_followers;) {
    auto* follower = CONTAINING_RECORD(link, Follower, link);
    link = link->Flink;
    if (follower->ref != ref) continue;
    RemoveEntryList(&follower->link);
    KeSetEvent(&follower->event, 0, FALSE);
  }
}

}  // namespace ex

/// Prepares rundown protection.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExInitializeRundownProtection.
NT_EXPORT(ExInitializeRundownProtection, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL ExInitializeRundownProtection(PEX_RUNDOWN_REF RunRef) {
  RunRef->Count = 0;
}

/// Makes a run-down protection usable again.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReInitializeRundownProtection.
NT_EXPORT(ExReInitializeRundownProtection, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL ExReInitializeRundownProtection(PEX_RUNDOWN_REF RunRef) {
  RunRef->Count = 0;
}

/// Protects against rundown; FALSE if it has begun.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireRundownProtection.
NT_EXPORT(ExAcquireRundownProtection, nt::AtMost(DISPATCH_LEVEL), Full, "ExRundown.*");
extern "C" BOOLEAN FASTCALL ExAcquireRundownProtection(PEX_RUNDOWN_REF RunRef) {
  return ex::AcquireRundown(RunRef, 1);
}

/// Protects Count times.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireRundownProtectionEx.
NT_EXPORT(ExAcquireRundownProtectionEx, nt::AtMost(DISPATCH_LEVEL), Full, "ExRundown.*");
extern "C" BOOLEAN FASTCALL ExAcquireRundownProtectionEx(PEX_RUNDOWN_REF RunRef, ULONG Count) {
  return ex::AcquireRundown(RunRef, Count);
}

/// Gives a protection back.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseRundownProtection.
NT_EXPORT(ExReleaseRundownProtection, nt::AtMost(DISPATCH_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL ExReleaseRundownProtection(PEX_RUNDOWN_REF RunRef) {
  ex::ReleaseRundown(RunRef, 1);
}

/// Gives Count protections back.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseRundownProtectionEx.
NT_EXPORT(ExReleaseRundownProtectionEx, nt::AtMost(DISPATCH_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL ExReleaseRundownProtectionEx(PEX_RUNDOWN_REF RunRef, ULONG Count) {
  ex::ReleaseRundown(RunRef, Count);
}

/// Marks the rundown as complete.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExRundownCompleted.
NT_EXPORT(ExRundownCompleted, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL ExRundownCompleted(PEX_RUNDOWN_REF RunRef) {
  RunRef->Count = EX_RUNDOWN_ACTIVE;
}

/// Begins the rundown and waits until every protection is given back.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExWaitForRundownProtectionRelease.
NT_EXPORT(ExWaitForRundownProtectionRelease, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL ExWaitForRundownProtectionRelease(PEX_RUNDOWN_REF RunRef) {
  ex::RundownWait wait;
  KeInitializeEvent(&wait.event, SynchronizationEvent, FALSE);
  for (;;) {
    const ULONG_PTR value = RunRef->Count;
    if (value == EX_RUNDOWN_ACTIVE) return;
    if ((value & EX_RUNDOWN_ACTIVE) != 0) return ex::FollowRundown(RunRef);
    if (value == 0) {
      if (ex::ExchangeRundown(RunRef, 0, EX_RUNDOWN_ACTIVE)) return;
      continue;
    }
    wait.holders = static_cast<LONG64>(value / EX_RUNDOWN_COUNT_INC);
    if (ex::ExchangeRundown(RunRef, value, reinterpret_cast<ULONG_PTR>(&wait) | EX_RUNDOWN_ACTIVE)) break;
  }
  KeWaitForSingleObject(&wait.event, Executive, KernelMode, FALSE, nullptr);
  ex::CompleteRundown(RunRef);
}
