// Work on other processors: one request at a time, a routine on every target at IPI_LEVEL. A processor that
// waits for its turn or for the others does so at IRQL 13 with interrupts enabled, so it serves the requests
// of others meanwhile; so does one that spins at DISPATCH_LEVEL. A frozen machine waits for nobody.
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

bool Frozen() {
  return __atomic_load_n(&KiBugCheckActive, __ATOMIC_RELAXED) != 0;
}

void Lock() {
  while (__atomic_exchange_n(&request_lock, 1, __ATOMIC_ACQUIRE) != 0) {
    if (Frozen()) return;
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

// A processor that takes no interrupts for this long never will. Long: with few host processors an answer can
// take half a second, and a busy host multiplies that.
constexpr ULONG kClockWatchdogTimeout = 0x101;
constexpr ULONG64 kGiveUp = 20 * hal::kPerformanceFrequency;

void WaitForTargets() {
  const ULONG64 start = hal::PerformanceNow();
  for (ULONG i = 1;; ++i) {
    const KAFFINITY pending = __atomic_load_n(&request.pending, __ATOMIC_ACQUIRE);
    if (pending == 0 || Frozen()) return;
    if (i % 256 != 0) continue;
    arch::Pause();
    if (i % 65536 != 0 || hal::PerformanceNow() - start < kGiveUp) continue;
    const ULONG hung = static_cast<ULONG>(__builtin_ctzll(pending));
    KeBugCheckEx(kClockWatchdogTimeout, kGiveUp / kTickUnits, 0,
                 reinterpret_cast<ULONG_PTR>(KiProcessorBlock[hung]), hung);
  }
}

// Runs `routine` on all other processors; on this one too, at the same IRQL.
void RunEverywhere(VOID (*routine)(PVOID), PVOID context, bool here) {
  const KIRQL current = KeGetCurrentIrql();
  const KIRQL old_irql = KfRaiseIrql(current > CLOCK_LEVEL ? current : CLOCK_LEVEL);
  const KAFFINITY others = KeActiveProcessors & ~KeGetCurrentPrcb()->SetMember;
  if (others != 0 && !Frozen()) {
    Lock();
    Send(others, routine, context);
    if (here) routine(context);
    WaitForTargets();
    __atomic_store_n(&request_lock, 0, __ATOMIC_RELEASE);
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
  const KAFFINITY self = KeGetCurrentPrcb()->SetMember;
  if ((__atomic_load_n(&request.pending, __ATOMIC_ACQUIRE) & self) == 0) return;
  request.routine(request.context);
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
    while (call->arrived < call->expected && !Frozen()) arch::Pause();
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
