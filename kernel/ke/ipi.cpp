// Work on other processors: one request at a time, a routine on every target at IPI_LEVEL. A processor that
// waits for its turn or for the others does so at IRQL 13 with interrupts enabled, so it serves the requests
// of others meanwhile; so does one that spins at DISPATCH_LEVEL.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

volatile long request_lock;
struct Request {
  VOID (*routine)(PVOID);
  PVOID context;
  volatile KAFFINITY pending;
};
Request request;

// This processor owns the crash: the others are frozen or will be, and are not waited for. In a crash of
// another processor the waits go on until the freeze comes, so that nothing runs past them.
bool OwnsCrash() {
  const ULONG owner = __atomic_load_n(&KiBugCheckActive, __ATOMIC_RELAXED);
  return owner != 0 && owner == KeGetCurrentPrcb()->Number + 1;
}

void Lock() {
  while (__atomic_exchange_n(&request_lock, 1, __ATOMIC_ACQUIRE) != 0) {
    if (OwnsCrash()) return;
    for (int i = 0; i < 200 && request_lock != 0; ++i) {
    }
    arch::Pause();
  }
}

void Send(KAFFINITY targets, VOID (*routine)(PVOID), PVOID context) {
  request.routine = routine;
  request.context = context;
  __atomic_store_n(&request.pending, targets, __ATOMIC_RELEASE);
  for (KAFFINITY left = targets; left != 0; left &= left - 1) {
    hal::SendIpi(KiProcessorBlock[__builtin_ctzll(left)]->ApicId, hal::kIpiVector);
  }
}

// A target that takes no interrupts is watched here: this processor takes no clock interrupts meanwhile.
// Those that are in IPI code themselves are not blamed, but whom they wait for.
void WatchTargets(KAFFINITY targets, ULONG64* last) {
  const ULONG64 now = hal::PerformanceNow();
  if (now - *last < kTickUnits) return;
  *last = now;
  for (; targets != 0; targets &= targets - 1) {
    KiWatchSilentProcessor(KiProcessorBlock[__builtin_ctzll(targets)], TRUE);
  }
}

void WaitForTargets() {
  ULONG64 last = hal::PerformanceNow();
  for (ULONG i = 1;; ++i) {
    const KAFFINITY pending = __atomic_load_n(&request.pending, __ATOMIC_ACQUIRE);
    if (pending == 0 || OwnsCrash()) return;
    if (i % 256 != 0) continue;
    arch::Pause();
    if (i % 65536 == 0) WatchTargets(pending, &last);
  }
}

// Runs `routine` on all other processors; on this one too, at the same IRQL.
void RunEverywhere(VOID (*routine)(PVOID), PVOID context, bool here) {
  const KIRQL current = KeGetCurrentIrql();
  const KIRQL old_irql = KfRaiseIrql(current > CLOCK_LEVEL ? current : CLOCK_LEVEL);
  PKPRCB prcb = KeGetCurrentPrcb();
  const KAFFINITY others = KeActiveProcessors & ~prcb->SetMember;
  if (others != 0 && !OwnsCrash()) {
    prcb->IpiWaiting = static_cast<UCHAR>(prcb->IpiWaiting + 1);
    Lock();
    Send(others, routine, context);
    if (here) routine(context);
    WaitForTargets();
    __atomic_store_n(&request_lock, 0, __ATOMIC_RELEASE);
    prcb->IpiWaiting = static_cast<UCHAR>(prcb->IpiWaiting - 1);
  } else if (here) {
    routine(context);
  }
  KeLowerIrql(old_irql);
}

struct Pages {
  ULONG count;
  PVOID* addresses;
};
void FlushPages(PVOID context) {
  const auto* pages = static_cast<Pages*>(context);
  for (ULONG i = 0; i < pages->count; ++i) arch::InvalidatePage(pages->addresses[i]);
}
void FlushAll(PVOID) {
  arch::FlushTranslations();
}

}  // namespace

extern "C" {

VOID KiHandleIpiInterrupt(PKTRAP_FRAME) {
  hal::EndOfInterrupt();
  PKPRCB prcb = KeGetCurrentPrcb();
  const KAFFINITY self = prcb->SetMember;
  prcb->IpiInterrupts = prcb->IpiInterrupts + 1;
  if ((__atomic_load_n(&request.pending, __ATOMIC_ACQUIRE) & self) == 0) return;
  prcb->IpiWaiting = static_cast<UCHAR>(prcb->IpiWaiting + 1);
  request.routine(request.context);
  prcb->IpiWaiting = static_cast<UCHAR>(prcb->IpiWaiting - 1);
  __atomic_and_fetch(&request.pending, ~self, __ATOMIC_RELEASE);
}

VOID KeFlushMultipleTb(ULONG count, PVOID* addresses) {
  Pages pages = {count, addresses};
  if (count > 32) {
    RunEverywhere(FlushAll, nullptr, true);
  } else {
    RunEverywhere(FlushPages, &pages, true);
  }
}

VOID KeFlushSingleTb(PVOID address) {
  KeFlushMultipleTb(1, &address);
}

/// Drops all address translations of this processor or of all.
/// IRQL: < IPI_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeFlushEntireTb, nt::AtMost(CLOCK_LEVEL), Full, "KeIpi.*");
VOID KeFlushEntireTb(BOOLEAN invalid, BOOLEAN all_processors) {
  if (all_processors) {
    RunEverywhere(FlushAll, nullptr, true);
  } else {
    arch::FlushTranslations();
  }
}

/// Runs a routine on all processors at the same time, at IPI_LEVEL; returns what it returned on this one.
/// IRQL: < IPI_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeIpiGenericCall.
NT_EXPORT(KeIpiGenericCall, nt::AtMost(CLOCK_LEVEL), Full, "KeIpi.*");
ULONG_PTR NTAPI KeIpiGenericCall(PKIPI_BROADCAST_WORKER BroadcastFunction, ULONG_PTR Context) {
  struct Call {
    PKIPI_BROADCAST_WORKER function;
    ULONG_PTR context;
    volatile ULONG arrived;
    ULONG expected;
    PKPRCB caller;
    ULONG_PTR result;
  };
  Call call = {BroadcastFunction, Context, 0, static_cast<ULONG>(KeNumberProcessors), KeGetCurrentPrcb(), 0};
  const auto run = [](PVOID context) {
    auto* call = static_cast<Call*>(context);
    __atomic_add_fetch(&call->arrived, 1, __ATOMIC_ACQ_REL);
    ULONG64 last = hal::PerformanceNow();
    for (ULONG i = 1; call->arrived < call->expected && !OwnsCrash(); ++i) {
      arch::Pause();
      if (i % 4096 == 0) WatchTargets(__atomic_load_n(&request.pending, __ATOMIC_ACQUIRE), &last);
    }
    const KIRQL irql = KfRaiseIrql(IPI_LEVEL);
    const ULONG_PTR result = call->function(call->context);
    KeLowerIrql(irql);
    if (KeGetCurrentPrcb() == call->caller) call->result = result;
  };
  const KIRQL old_irql =
      KfRaiseIrql(KeGetCurrentIrql() > DISPATCH_LEVEL ? KeGetCurrentIrql() : DISPATCH_LEVEL);
  call.caller = KeGetCurrentPrcb();
  RunEverywhere(run, &call, true);
  KeLowerIrql(old_irql);
  return call.result;
}

}  // extern "C"
