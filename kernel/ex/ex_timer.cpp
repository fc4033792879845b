// EX_TIMER: a timer that the kernel allocates, with a callback. It is a KTIMER, so that threads wait for it,
// and a DPC that calls the callback and, where the timer was deleted before it expired, has it freed.
#include "ex/ex.h"
#include "ke/ke.h"
#include "nt/export.h"

struct _EX_TIMER {
  KTIMER timer;  // first: threads wait for the EX_TIMER
  KDPC dpc;
  PEXT_CALLBACK callback;
  PVOID context;
  ULONG attributes;
  bool deleting;  // ExDeleteTimer was called; guarded by delete_lock
  bool freeing;   // the work item is, or will be, queued by whoever set this; guarded by delete_lock
  PEXT_DELETE_CALLBACK delete_callback;
  PVOID delete_context;
  WORK_QUEUE_ITEM work;
};

namespace {

constexpr ULONG kTag = 'mTxE';
constexpr ULONG kTimerOrDpcInvalid = 0xC7;
// Parameter 1 of that bug check where a routine of this file is misused. Windows's is not documented.
enum Misuse : ULONG_PTR { kBadAttributes = 0x100, kBadSet = 0x101, kBadDelete = 0x102 };

[[noreturn]] void Stop(Misuse misuse, const void* timer, ULONG_PTR detail) {
  KeBugCheckEx(kTimerOrDpcInvalid, misuse, reinterpret_cast<ULONG_PTR>(timer), detail, 0);
}

void Free(PEX_TIMER timer) {
  KeFlushQueuedDpcs();  // a callback that is due still comes, and has returned afterwards
  if (timer->delete_callback != nullptr) timer->delete_callback(timer->delete_context);
  ExFreePoolWithTag(timer, kTag);
}

VOID NTAPI FreeLater(PVOID parameter) {
  Free(static_cast<PEX_TIMER>(parameter));
}

KSPIN_LOCK delete_lock;

void QueueFree(PEX_TIMER timer) {
  ExInitializeWorkItem(&timer->work, FreeLater, timer);
  ExQueueWorkItem(&timer->work, DelayedWorkQueue);
}

// Who gets TRUE queues the work item; everybody else must not touch the timer any more.
bool ClaimFree(PEX_TIMER timer, bool wanted) {
  const bool claimed = wanted && !timer->freeing;
  timer->freeing = timer->freeing || wanted;
  return claimed;
}

VOID NTAPI ExpTimerDpcRoutine(PKDPC, PVOID context, PVOID, PVOID) {
  auto* timer = static_cast<PEX_TIMER>(context);
  if (timer->callback != nullptr) timer->callback(timer, timer->context);
  KeAcquireSpinLockAtDpcLevel(&delete_lock);
  const bool deleting = timer->deleting;
  const bool claimed = ClaimFree(timer, deleting);
  KeReleaseSpinLockFromDpcLevel(&delete_lock);
  if (!claimed) return;
  KeCancelTimer(&timer->timer);  // a periodic one that was deleted without being cancelled
  QueueFree(timer);
}

// TRUE: the caller is to queue the work item. A timer that runs on is freed by its DPC.
bool DeleteWithoutWaiting(PEX_TIMER timer, bool cancel, BOOLEAN* cancelled) {
  KIRQL irql;
  KeAcquireSpinLock(&delete_lock, &irql);
  timer->deleting = true;
  *cancelled = cancel && KeCancelTimer(&timer->timer);
  const bool claimed = ClaimFree(timer, cancel || !KeTimerIsSet(&timer->timer));
  KeReleaseSpinLock(&delete_lock, irql);
  return claimed;
}

ULONG ToleranceOf(const _EX_TIMER* timer, const EXT_SET_PARAMETERS* parameters) {
  if ((timer->attributes & EX_TIMER_NO_WAKE) == 0) return 0;
  if (parameters == nullptr || parameters->NoWakeTolerance == EX_TIMER_UNLIMITED_TOLERANCE)
    return kAnyTolerance;
  const LONGLONG milliseconds = parameters->NoWakeTolerance / 10'000;
  if (milliseconds <= 0) return 0;
  return milliseconds > MAXLONG ? MAXLONG : static_cast<ULONG>(milliseconds);
}

}  // namespace

extern "C" {

/// Allocates a timer with an optional callback, which runs at DISPATCH_LEVEL when the timer expires. Frees
/// with ExDeleteTimer. 0 without memory.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: high resolution changes nothing: every due time is kept to about 0.1 ms; attributes that
/// exclude each other are bug check 0xC7 with parameter 1 = 0x100.
/// Source: WDK wdm/ExAllocateTimer.
NT_EXPORT(ExAllocateTimer, nt::AtMost(DISPATCH_LEVEL), Full, "ExTimer.*");
PEX_TIMER NTAPI ExAllocateTimer(PEXT_CALLBACK Callback, PVOID CallbackContext, ULONG Attributes) {
  constexpr ULONG kKnown = EX_TIMER_HIGH_RESOLUTION | EX_TIMER_NO_WAKE | EX_TIMER_NOTIFICATION;
  constexpr ULONG kExclusive = EX_TIMER_HIGH_RESOLUTION | EX_TIMER_NO_WAKE;
  if ((Attributes & ~kKnown) != 0 || (Attributes & kExclusive) == kExclusive) {
    Stop(kBadAttributes, nullptr, Attributes);
  }
  auto* timer = static_cast<PEX_TIMER>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(_EX_TIMER), kTag));
  if (timer == nullptr) return nullptr;
  RtlZeroMemory(timer, sizeof(*timer));
  KeInitializeTimerEx(&timer->timer,
                      (Attributes & EX_TIMER_NOTIFICATION) ? NotificationTimer : SynchronizationTimer);
  KeInitializeDpc(&timer->dpc, ExpTimerDpcRoutine, timer);
  timer->callback = Callback;
  timer->context = CallbackContext;
  timer->attributes = Attributes;
  return timer;
}

/// Starts the timer; due time and period in 100 ns, the period at most MAXLONG, 0 = once. A no-wake timer
/// does not wake an idle processor before its tolerance is over. Returns TRUE if it was running.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: an absolute time for a high-resolution timer, or a bad period, is bug check 0xC7 with
/// parameter 1 = 0x101; the tolerance is rounded down to a power of two of milliseconds.
/// Source: WDK wdm/ExSetTimer.
NT_EXPORT(ExSetTimer, nt::AtMost(DISPATCH_LEVEL), Full, "ExTimer.*");
BOOLEAN NTAPI ExSetTimer(PEX_TIMER Timer, LONGLONG DueTime, LONGLONG Period, EXT_SET_PARAMETERS* Parameters) {
  if (Period < 0 || Period > MAXLONG) Stop(kBadSet, Timer, static_cast<ULONG_PTR>(Period));
  if ((Timer->attributes & EX_TIMER_HIGH_RESOLUTION) && DueTime >= 0) {
    Stop(kBadSet, Timer, static_cast<ULONG_PTR>(DueTime));
  }
  LARGE_INTEGER due;
  due.QuadPart = DueTime;
  return KeSetTimerInUnits(&Timer->timer, due, static_cast<ULONG>(Period), ToleranceOf(Timer, Parameters),
                           &Timer->dpc);
}

/// Stops the timer. TRUE if it was running; its callback may still be on its way if not.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExCancelTimer.
NT_EXPORT(ExCancelTimer, nt::AtMost(DISPATCH_LEVEL), Full, "ExTimer.*");
BOOLEAN NTAPI ExCancelTimer(PEX_TIMER Timer, PEXT_CANCEL_PARAMETERS Parameters) {
  UNREFERENCED_PARAMETER(Parameters);
  return KeCancelTimer(&Timer->timer);
}

/// Frees a timer of ExAllocateTimer. With Cancel it is stopped first; without, a timer that runs still
/// expires once. With Wait the routine returns when the callback has returned and the timer is gone, else
/// that happens later. The delete callback is called before the memory is freed. Returns whether it stopped
/// the timer.
/// IRQL: <= DISPATCH_LEVEL; with Wait <= APC_LEVEL.
/// Differs from NT: Wait without Cancel is bug check 0xC7 with parameter 1 = 0x102.
/// Source: WDK wdm/ExDeleteTimer.
NT_EXPORT(ExDeleteTimer, nt::AtMost(DISPATCH_LEVEL), Full, "ExTimer.*");
BOOLEAN NTAPI ExDeleteTimer(PEX_TIMER Timer, BOOLEAN Cancel, BOOLEAN Wait,
                            PEXT_DELETE_PARAMETERS Parameters) {
  if (Wait && !Cancel) Stop(kBadDelete, Timer, 0);
  if (Parameters != nullptr) {
    Timer->delete_callback = Parameters->DeleteCallback;
    Timer->delete_context = Parameters->DeleteContext;
  }
  if (Wait) {
    const BOOLEAN cancelled = KeCancelTimer(&Timer->timer);
    Free(Timer);
    return cancelled;
  }
  BOOLEAN cancelled;
  if (DeleteWithoutWaiting(Timer, Cancel != FALSE, &cancelled)) QueueFree(Timer);
  return cancelled;
}

}  // extern "C"
