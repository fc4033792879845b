// What a clock tick charges, and the two watchdogs. Both count clock ticks that a processor took, never time
// that passed: while the host does not run a virtual processor it takes none, so a busy host trips neither.
#include "ke_internal.h"

namespace {

constexpr ULONG kDpcWatchdogViolation = 0x133, kClockWatchdogTimeout = 0x101;
constexpr ULONG_PTR kOneDpc = 0, kCumulative = 1;
constexpr ULONG kDefaultDpcTimeout = 20'000, kDefaultDpcWatchdogPeriod = 120'000;  // ms, as on Windows

// KPRCB.ClockPing. An answered ping proves that the processor ran, with its clock interrupt pending, and did
// not take it.
constexpr UCHAR kNoPing = 0, kPingSent = 1, kPingAnswered = 2;
constexpr ULONG kClockTimeout = 256;     // answered pings, a tick apart at least: 4 s
constexpr ULONG kSilenceTimeout = 4096;  // unanswered ones: the processor takes not even NMIs

volatile long watch_lock;

bool Frozen() {
  return __atomic_load_n(&KiBugCheckActive, __ATOMIC_RELAXED) != 0;
}

ULONG TicksOf(ULONG milliseconds) {
  return static_cast<ULONG>(ULONG64{milliseconds} * 10'000 / kTickUnits);
}

void CheckDpcWatchdog(PKPRCB prcb, KIRQL interrupted_irql) {
  if (interrupted_irql < DISPATCH_LEVEL) {
    prcb->DpcWatchdogCount = 0;
    return;
  }
  ++prcb->DpcWatchdogCount;
  if (prcb->DpcRoutineActive && ++prcb->DpcTimeCount > prcb->DpcTimeLimit && prcb->DpcTimeLimit != 0) {
    KeBugCheckEx(kDpcWatchdogViolation, kOneDpc, prcb->DpcTimeCount, prcb->DpcTimeLimit, 0);
  }
  if (prcb->DpcWatchdogCount > prcb->DpcWatchdogPeriod && prcb->DpcWatchdogPeriod != 0) {
    KeBugCheckEx(kDpcWatchdogViolation, kCumulative, prcb->DpcWatchdogPeriod, 0, 0);
  }
}

// An idle processor has no clock interrupts: who waits for it to take an IPI takes those for signs of life
// too.
bool IsSilent(PKPRCB target, bool ipi) {
  const ULONG64 interrupts = target->ClockInterrupts, ipis = target->IpiInterrupts;
  const bool silent = interrupts == target->WatchedInterrupts && (!ipi || ipis == target->WatchedIpis);
  if (silent && !target->IpiWaiting) return true;
  target->WatchedInterrupts = interrupts;
  target->WatchedIpis = ipis;
  // A ping that was sent is still on its way: it stays known until it is answered, or its NMI would be taken
  // for one of the host's.
  UCHAR answered = kPingAnswered;
  __atomic_compare_exchange_n(&target->ClockPing, &answered, kNoPing, false, __ATOMIC_SEQ_CST,
                              __ATOMIC_RELAXED);
  target->ClockMissed = target->ClockSilent = 0;
  return false;
}

void Ping(PKPRCB target) {
  if (target->ClockPing == kPingSent) {
    ++target->ClockSilent;
    return;
  }
  if (target->ClockPing == kPingAnswered) ++target->ClockMissed;
  __atomic_store_n(&target->ClockPing, kPingSent, __ATOMIC_SEQ_CST);
  hal::SendNmi(target->ApicId);
}

// The processors that this one watches: 0 all others, the others 0. An idle one expects no interrupt.
void WatchClocks(PKPRCB self, ULONG64 now) {
  const ULONG count = static_cast<ULONG>(KeNumberProcessors);
  for (ULONG i = self->Number == 0 ? 1 : 0; i < (self->Number == 0 ? count : 1); ++i) {
    PKPRCB target = KiProcessorBlock[i];
    const ULONG64 deadline = target->ClockDeadline;
    if (deadline != 0 && now > deadline + kTickUnits) KiWatchSilentProcessor(target, FALSE);
  }
}

}  // namespace

extern "C" {

VOID KiWatchSilentProcessor(PKPRCB target, BOOLEAN ipi) {
  if (Frozen() || __atomic_exchange_n(&watch_lock, 1, __ATOMIC_ACQUIRE) != 0) return;
  bool hung = false;
  if (IsSilent(target, ipi != FALSE)) {
    Ping(target);
    hung = target->ClockMissed >= kClockTimeout || target->ClockSilent >= kSilenceTimeout;
  }
  __atomic_store_n(&watch_lock, 0, __ATOMIC_RELEASE);
  if (hung) {
    KeBugCheckEx(kClockWatchdogTimeout, kClockTimeout, 0, reinterpret_cast<ULONG_PTR>(target),
                 target->Number);
  }
}

BOOLEAN KiAnswerClockPing(PKPRCB prcb) {
  UCHAR sent = kPingSent;
  return __atomic_compare_exchange_n(&prcb->ClockPing, &sent, kPingAnswered, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED);
}

VOID KeAccumulateTicks(PKPRCB prcb, const KTRAP_FRAME* interrupted, ULONG64 now) {
  const auto ticks = static_cast<ULONG>((now - prcb->LastTick) / kTickUnits);
  prcb->LastTick += ULONG64{ticks} * kTickUnits;
  if (interrupted->PreviousMode == UserMode) {
    prcb->UserTime += ticks;
    prcb->CurrentThread->UserTime += ticks;
    InterlockedExchangeAdd(reinterpret_cast<volatile LONG*>(&prcb->CurrentThread->Process->UserTime),
                           static_cast<LONG>(ticks));
  } else {
    prcb->KernelTime += ticks;
    prcb->CurrentThread->KernelTime += ticks;
  }
  if (prcb->DpcRoutineActive) prcb->DpcTime += ticks;
  KiUpdateDpcRate(prcb);
  CheckDpcWatchdog(prcb, interrupted->PreviousIrql);
  WatchClocks(prcb, now);
}

VOID KiInitializeWatchdogs(PKPRCB prcb) {
  prcb->DpcTimeLimit = TicksOf(kDefaultDpcTimeout);
  prcb->DpcWatchdogPeriod = TicksOf(kDefaultDpcWatchdogPeriod);
}

VOID KeSetDpcWatchdog(ULONG dpc_timeout, ULONG watchdog_period) {
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    KiProcessorBlock[i]->DpcTimeLimit = TicksOf(dpc_timeout);
    KiProcessorBlock[i]->DpcWatchdogPeriod = TicksOf(watchdog_period);
  }
}

}  // extern "C"
