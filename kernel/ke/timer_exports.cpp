// KTIMER as drivers see it.
#include "ke_internal.h"
#include "nt/export.h"

extern "C" {

/// Prepares a timer: NotificationTimer stays signalled, SynchronizationTimer releases one waiter and clears
/// itself.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeTimerEx.
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

/// Starts a timer: due time negative = relative, else absolute (it follows changes of the system time), in
/// 100 ns; Period in ms, 0 = once. Queues the DPC and signals the timer when it is due, never earlier.
/// Returns TRUE if the timer was running.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: due times are kept to about 0.1 ms, not to a clock tick.
/// Source: WDK wdm/KeSetTimerEx.
NT_EXPORT(KeSetTimerEx, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
BOOLEAN NTAPI KeSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG Period, PKDPC Dpc) {
  return KiSetTimer(Timer, DueTime, Period > 0 ? static_cast<ULONG>(Period) : 0, 0, Dpc);
}

/// Starts a timer that expires once.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: due times are kept to about 0.1 ms, not to a clock tick.
/// Source: WDK wdm/KeSetTimer.
NT_EXPORT(KeSetTimer, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
BOOLEAN NTAPI KeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc) {
  return KiSetTimer(Timer, DueTime, 0, 0, Dpc);
}

/// KeSetTimerEx with a tolerance in ms: an idle processor is woken for the timer at the end of it at the
/// latest; any clock interrupt of its processor from the due time on expires it before.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: the tolerance is rounded down to a power of two.
/// Source: WDK wdm/KeSetCoalescableTimer.
NT_EXPORT(KeSetCoalescableTimer, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
BOOLEAN NTAPI KeSetCoalescableTimer(PKTIMER Timer, LARGE_INTEGER DueTime, ULONG Period, ULONG TolerableDelay,
                                    PKDPC Dpc) {
  return KiSetTimer(Timer, DueTime, Period, TolerableDelay, Dpc);
}

/// Stops a timer. Returns TRUE if it was running; its DPC may still be queued.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeCancelTimer.
NT_EXPORT(KeCancelTimer, nt::AtMost(DISPATCH_LEVEL), Full, "KeTimer.*");
BOOLEAN NTAPI KeCancelTimer(PKTIMER Timer) {
  ObjectGuard guard(&Timer->Header);
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
