// A device's timer: its routine is called about once a second while it is started. One KTIMER serves all.
#include "io_internal.h"
#include "nt/export.h"

struct _IO_TIMER {
  LIST_ENTRY link;
  PIO_TIMER_ROUTINE routine;
  PVOID context;
  PDEVICE_OBJECT device;
  ULONG round;  // of the tick in which it was called last
  bool started;
};

namespace {

constexpr ULONG kTag = 'iTnI';
constexpr LONG kPeriodMilliseconds = 1'000;

KSPIN_LOCK timers_lock;  // guards all below but the KTIMER and the DPC
LIST_ENTRY timers = {&timers, &timers};
ULONG started_timers, round;
_IO_TIMER* volatile running;  // its routine is being called
KTIMER tick;
KDPC tick_dpc;
volatile LONG prepared;

_IO_TIMER* NextOfRound() {
  for (LIST_ENTRY* link = timers.Flink; link != &timers; link = link->Flink) {
    auto* timer = CONTAINING_RECORD(link, _IO_TIMER, link);
    if (timer->started && timer->round != round) return timer;
  }
  return nullptr;
}

// The lock is not held while a routine runs: it may start and stop timers.
VOID NTAPI IopTimerDispatch(PKDPC, PVOID, PVOID, PVOID) {
  KeAcquireSpinLockAtDpcLevel(&timers_lock);
  if (running == nullptr) {  // else the last tick is not over
    ++round;
    while (_IO_TIMER* timer = NextOfRound()) {
      timer->round = round;
      running = timer;
      PDEVICE_OBJECT device = timer->device;
      PVOID context = timer->context;
      const PIO_TIMER_ROUTINE routine = timer->routine;
      KeReleaseSpinLockFromDpcLevel(&timers_lock);
      routine(device, context);
      KeAcquireSpinLockAtDpcLevel(&timers_lock);
      running = nullptr;
    }
  }
  KeReleaseSpinLockFromDpcLevel(&timers_lock);
}

void StartTicking() {
  LARGE_INTEGER due;
  due.QuadPart = -10'000ll * kPeriodMilliseconds;
  KeSetTimerEx(&tick, due, kPeriodMilliseconds, &tick_dpc);
}

// Lock held. The one tick runs while any timer is started.
void SetStarted(_IO_TIMER* timer, bool started) {
  if (timer->started == started) return;
  timer->started = started;
  timer->round = round;
  started_timers += started ? 1 : static_cast<ULONG>(-1);
  if (started && started_timers == 1) StartTicking();
  if (started_timers == 0) KeCancelTimer(&tick);
}

}  // namespace

// The device goes away. <= APC_LEVEL.
extern "C" VOID IopDeleteDeviceTimer(PDEVICE_OBJECT DeviceObject) {
  _IO_TIMER* timer = DeviceObject->Timer;
  if (timer == nullptr) return;
  DeviceObject->Timer = nullptr;
  {
    ke::SpinGuard guard(&timers_lock);
    SetStarted(timer, false);
    RemoveEntryList(&timer->link);
  }
  LARGE_INTEGER moment;
  moment.QuadPart = -1'000;
  while (running == timer) KeDelayExecutionThread(KernelMode, FALSE, &moment);
  ExFreePoolWithTag(timer, kTag);
}

/// Gives a device a timer, or its timer another routine. The routine is called at DISPATCH_LEVEL about once a
/// second while the timer is started. STATUS_INSUFFICIENT_RESOURCES without memory.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoInitializeTimer.
NT_EXPORT(IoInitializeTimer, nt::Exactly(PASSIVE_LEVEL), Full, "IoTimer.*");
extern "C" NTSTATUS NTAPI IoInitializeTimer(PDEVICE_OBJECT DeviceObject, PIO_TIMER_ROUTINE TimerRoutine,
                                            PVOID Context) {
  if (InterlockedCompareExchange(&prepared, 1, 0) == 0) {
    KeInitializeTimer(&tick);
    KeInitializeDpc(&tick_dpc, IopTimerDispatch, nullptr);
    InterlockedExchange(&prepared, 2);
  }
  while (prepared != 2) YieldProcessor();
  if (DeviceObject->Timer == nullptr) {
    auto* timer = static_cast<_IO_TIMER*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(_IO_TIMER), kTag));
    if (timer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(timer, sizeof(*timer));
    timer->device = DeviceObject;
    DeviceObject->Timer = timer;
    ke::SpinGuard guard(&timers_lock);
    InsertTailList(&timers, &timer->link);
  }
  ke::SpinGuard guard(&timers_lock);
  DeviceObject->Timer->routine = TimerRoutine;
  DeviceObject->Timer->context = Context;
  return STATUS_SUCCESS;
}

/// Starts the device's timer.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoStartTimer.
NT_EXPORT(IoStartTimer, nt::AtMost(DISPATCH_LEVEL), Full, "IoTimer.*");
extern "C" VOID NTAPI IoStartTimer(PDEVICE_OBJECT DeviceObject) {
  ke::SpinGuard guard(&timers_lock);
  SetStarted(DeviceObject->Timer, true);
}

/// Stops the device's timer; its routine may be running.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoStopTimer.
NT_EXPORT(IoStopTimer, nt::AtMost(DISPATCH_LEVEL), Full, "IoTimer.*");
extern "C" VOID NTAPI IoStopTimer(PDEVICE_OBJECT DeviceObject) {
  ke::SpinGuard guard(&timers_lock);
  SetStarted(DeviceObject->Timer, false);
}
