// Timers: one list of all, sorted by due time, under the dispatcher lock. Whichever processor's clock comes
// first after the due time expires them, so a processor that is stuck delays nobody's timer by more than a
// tick.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

LIST_ENTRY timer_list;
// The processor whose clock is armed for the first timer, beside processor 0: the timers go on if either is
// stuck.
volatile ULONG timer_owner = 0;
volatile ULONG64 next_due = ~0ull;  // due time of the first; read without the lock by the clock

PKTIMER TimerOf(LIST_ENTRY* link) {
  return CONTAINING_RECORD(link, KTIMER, TimerListEntry);
}

void UpdateNextDue() {
  next_due = IsListEmpty(&timer_list) ? ~0ull : TimerOf(timer_list.Flink)->DueTime.QuadPart;
}

// Most timers are later than those that wait already: the search goes from the end.
void InsertSorted(PKTIMER timer) {
  LIST_ENTRY* before = timer_list.Blink;
  while (before != &timer_list && TimerOf(before)->DueTime.QuadPart > timer->DueTime.QuadPart)
    before = before->Blink;
  InsertHeadList(before, &timer->TimerListEntry);
  timer->Header.Inserted = 1;
  UpdateNextDue();
}

void WatchFirst() {
  if (next_due == ~0ull) return;
  PKPRCB prcb = KeGetCurrentPrcb();
  timer_owner = prcb->Number;
  KiEnsureClock(prcb, next_due);
}

void Signal(PKTIMER timer) {
  timer->Header.SignalState = 1;
  KiSignalObject(&timer->Header, 0);
}

LONGLONG BootTime() {
  return static_cast<LONGLONG>(KeLoaderBlock->system_time);
}

}  // namespace

extern "C" {

VOID KiInitializeTimers() {
  InitializeListHead(&timer_list);
}
ULONG64 KiNextTimerDue() {
  return next_due;
}
BOOLEAN KiWatchesTimers(PKPRCB prcb) {
  return prcb->Number == 0 || prcb->Number == timer_owner;
}

BOOLEAN KiInsertTimer(PKTIMER timer, LARGE_INTEGER due) {
  const LONGLONG now = static_cast<LONGLONG>(hal::PerformanceNow());
  LONGLONG when = due.QuadPart < 0 ? now - due.QuadPart : due.QuadPart - BootTime();
  if (due.QuadPart < 0 && when < 0) when = MAXLONGLONG;  // relative overflow: never
  timer->DueTime.QuadPart = when < 0 ? 0 : static_cast<ULONGLONG>(when);
  if (when <= now) return FALSE;
  InsertSorted(timer);
  WatchFirst();
  return TRUE;
}

BOOLEAN KiRemoveTimer(PKTIMER timer) {
  if (!timer->Header.Inserted) return FALSE;
  timer->Header.Inserted = 0;
  RemoveEntryList(&timer->TimerListEntry);
  UpdateNextDue();
  return TRUE;
}

// At DISPATCH_LEVEL in the dispatch interrupt.
VOID KiTimerExpiration() {
  KiLockDispatcherAtDispatch();
  const ULONG64 now = hal::PerformanceNow();
  while (!IsListEmpty(&timer_list)) {
    PKTIMER timer = TimerOf(timer_list.Flink);
    if (timer->DueTime.QuadPart > now) break;
    KiRemoveTimer(timer);
    PKDPC dpc = timer->Dpc;
    if (timer->Period != 0) {
      timer->DueTime.QuadPart += ULONGLONG{timer->Period} * 10'000;
      if (timer->DueTime.QuadPart <= now) timer->DueTime.QuadPart = now + ULONGLONG{timer->Period} * 10'000;
      InsertSorted(timer);
    }
    Signal(timer);
    if (dpc != nullptr) KeInsertQueueDpc(dpc, nullptr, nullptr);
  }
  WatchFirst();
  KiUnlockDispatcherFromDispatch();
}

/// Prepares a timer: NotificationTimer stays signalled, SynchronizationTimer releases one waiter and clears
/// itself. IRQL: any. Differs from NT: none. Source: WDK wdm/KeInitializeTimerEx.
NT_EXPORT(KeInitializeTimerEx, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
VOID NTAPI KeInitializeTimerEx(PKTIMER Timer, TIMER_TYPE Type) {
  RtlZeroMemory(Timer, sizeof(*Timer));
  Timer->Header.Type = static_cast<UCHAR>(kTimerNotification + static_cast<UCHAR>(Type));
  Timer->Header.Size = sizeof(KTIMER) / sizeof(ULONG);
  InitializeListHead(&Timer->Header.WaitListHead);
}

/// Prepares a notification timer.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeTimer.
NT_EXPORT(KeInitializeTimer, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
VOID NTAPI KeInitializeTimer(PKTIMER Timer) {
  KeInitializeTimerEx(Timer, NotificationTimer);
}

/// Starts a timer: due time negative = relative, else absolute, in 100 ns; Period in ms, 0 = once. Queues the
/// DPC and signals the timer when it is due. Returns TRUE if the timer was running. IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: due times are kept to about 0.1 ms, not to a clock tick.
/// Source: WDK wdm/KeSetTimerEx.
NT_EXPORT(KeSetTimerEx, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
BOOLEAN NTAPI KeSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG Period, PKDPC Dpc) {
  DispatcherGuard guard;
  const BOOLEAN running = KiRemoveTimer(Timer);
  Timer->Header.SignalState = 0;
  Timer->Dpc = Dpc;
  Timer->Period = Period > 0 ? static_cast<ULONG>(Period) : 0;
  if (!KiInsertTimer(Timer, DueTime)) {
    if (Timer->Period != 0) {
      Timer->DueTime.QuadPart = hal::PerformanceNow() + ULONGLONG{Timer->Period} * 10'000;
      InsertSorted(Timer);
      WatchFirst();
    }
    Signal(Timer);
    if (Dpc != nullptr) KeInsertQueueDpc(Dpc, nullptr, nullptr);
  }
  return running;
}

/// Starts a timer that expires once.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: due times are kept to about 0.1 ms, not to a clock tick.
/// Source: WDK wdm/KeSetTimer.
NT_EXPORT(KeSetTimer, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
BOOLEAN NTAPI KeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc) {
  return KeSetTimerEx(Timer, DueTime, 0, Dpc);
}

/// KeSetTimerEx with a tolerance.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: the tolerance is not used: timers are never coalesced.
/// Source: WDK wdm/KeSetCoalescableTimer.
NT_EXPORT(KeSetCoalescableTimer, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
BOOLEAN NTAPI KeSetCoalescableTimer(PKTIMER Timer, LARGE_INTEGER DueTime, ULONG Period, ULONG TolerableDelay,
                                    PKDPC Dpc) {
  return KeSetTimerEx(Timer, DueTime, static_cast<LONG>(Period), Dpc);
}

/// Stops a timer. Returns TRUE if it was running; its DPC may still be queued.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeCancelTimer.
NT_EXPORT(KeCancelTimer, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
BOOLEAN NTAPI KeCancelTimer(PKTIMER Timer) {
  DispatcherGuard guard;
  return KiRemoveTimer(Timer);
}

/// TRUE when the timer is signalled.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReadStateTimer.
NT_EXPORT(KeReadStateTimer, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
BOOLEAN NTAPI KeReadStateTimer(PKTIMER Timer) {
  return Timer->Header.SignalState > 0;
}

}  // extern "C"
