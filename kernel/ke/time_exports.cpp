// Time: the clock's resolution, the system time, counters that a machine may have.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

constexpr ULONG kFinestResolution = 5'000;  // 0.5 ms
KSPIN_LOCK resolution_lock;
ULONG resolution_requests;

}  // namespace

extern "C" {

/// Length of a clock tick in 100 ns: 156250.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryTimeIncrement.
NT_EXPORT(KeQueryTimeIncrement, nt::AnyIrql(), Full, "KeTime.*");
ULONG NTAPI KeQueryTimeIncrement() {
  return static_cast<ULONG>(kTickUnits);
}

/// System time (FILETIME) as precise as the performance counter.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQuerySystemTimePrecise.
NT_EXPORT(KeQuerySystemTimePrecise, nt::AnyIrql(), Full, "KeTime.*");
VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER CurrentTime) {
  CurrentTime->QuadPart = static_cast<LONGLONG>(KiSystemTimeBase() + hal::PerformanceNow());
}

/// Interrupt time of the last clock interrupt, in 100 ns since boot, without time spent asleep: this machine
/// does not sleep.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryUnbiasedInterruptTime.
NT_EXPORT(KeQueryUnbiasedInterruptTime, nt::AnyIrql(), Full, "KeTime.*");
ULONGLONG NTAPI KeQueryUnbiasedInterruptTime() {
  return KiSharedInterruptTime();
}

/// Asks for clock interrupts (of processor 0, which keeps the times that drivers read) every DesiredTime 100
/// ns units, or takes that back with SetResolution FALSE. Returns the interval from now on: the finest that
/// was asked for since nobody did, from 5000 to 156250.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: due times of timers do not depend on it: they are always kept to about 0.1 ms.
/// Source: WDK wdm/ExSetTimerResolution.
NT_EXPORT(ExSetTimerResolution, nt::AtMost(APC_LEVEL), Full, "KeTime.*");
ULONG NTAPI ExSetTimerResolution(ULONG DesiredTime, BOOLEAN SetResolution) {
  KIRQL irql;
  KeAcquireSpinLock(&resolution_lock, &irql);
  if (SetResolution) {
    ++resolution_requests;
    const ULONG wanted = DesiredTime < kFinestResolution ? kFinestResolution : DesiredTime;
    if (wanted < KiClockInterval()) KiSetClockInterval(wanted);
  } else if (resolution_requests != 0 && --resolution_requests == 0) {
    KiSetClockInterval(kTickUnits);
  }
  const auto interval = static_cast<ULONG>(KiClockInterval());
  KeReleaseSpinLock(&resolution_lock, irql);
  return interval;
}

/// The longest, shortest and present interval between clock interrupts, in 100 ns.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExQueryTimerResolution.
NT_EXPORT(ExQueryTimerResolution, nt::AnyIrql(), Full, "KeTime.*");
VOID NTAPI ExQueryTimerResolution(PULONG MaximumTime, PULONG MinimumTime, PULONG CurrentTime) {
  *MaximumTime = static_cast<ULONG>(kTickUnits);
  *MinimumTime = kFinestResolution;
  *CurrentTime = static_cast<ULONG>(KiClockInterval());
}

/// Sets the system time (FILETIME, UTC); absolute timers are due that much earlier or later, relative ones
/// and the interrupt time do not change. The old time is optional.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the time is lost when the machine stops: there is no clock to set.
/// Source: WDK ntifs/ZwSetSystemTime.
NT_EXPORT(ZwSetSystemTime, nt::AtMost(PASSIVE_LEVEL), Full, "KeTime.*");
NTSTATUS NTAPI ZwSetSystemTime(PLARGE_INTEGER SystemTime, PLARGE_INTEGER PreviousTime) {
  if (SystemTime->QuadPart < 0) return STATUS_INVALID_PARAMETER;
  ULONG64 old_time;
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  const LONGLONG delta = KiMoveSystemTime(static_cast<ULONG64>(SystemTime->QuadPart), &old_time);
  KiShiftAbsoluteTimers(delta);
  KeLowerIrql(irql);
  if (PreviousTime != nullptr) PreviousTime->QuadPart = static_cast<LONGLONG>(old_time);
  return STATUS_SUCCESS;
}

/// The rate of the auxiliary counter: this machine has none, as most.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/KeQueryAuxiliaryCounterFrequency.
NT_EXPORT(KeQueryAuxiliaryCounterFrequency, nt::AnyIrql(), Full, "KeTime.*");
NTSTATUS NTAPI KeQueryAuxiliaryCounterFrequency(PULONG64 AuxiliaryCounterFrequency) {
  UNREFERENCED_PARAMETER(AuxiliaryCounterFrequency);
  return STATUS_NOT_SUPPORTED;
}

/// The performance counter's value for one of the auxiliary counter: STATUS_NOT_SUPPORTED without one.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeConvertAuxiliaryCounterToPerformanceCounter.
NT_EXPORT(KeConvertAuxiliaryCounterToPerformanceCounter, nt::AnyIrql(), Full, "KeTime.*");
NTSTATUS NTAPI KeConvertAuxiliaryCounterToPerformanceCounter(ULONG64 AuxiliaryCounterValue,
                                                             PULONG64 PerformanceCounterValue,
                                                             PULONG64 ConversionError) {
  UNREFERENCED_PARAMETER(AuxiliaryCounterValue);
  UNREFERENCED_PARAMETER(PerformanceCounterValue);
  UNREFERENCED_PARAMETER(ConversionError);
  return STATUS_NOT_SUPPORTED;
}

/// The auxiliary counter's value for one of the performance counter: STATUS_NOT_SUPPORTED without one.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeConvertPerformanceCounterToAuxiliaryCounter.
NT_EXPORT(KeConvertPerformanceCounterToAuxiliaryCounter, nt::AnyIrql(), Full, "KeTime.*");
NTSTATUS NTAPI KeConvertPerformanceCounterToAuxiliaryCounter(ULONG64 PerformanceCounterValue,
                                                             PULONG64 AuxiliaryCounterValue,
                                                             PULONG64 ConversionError) {
  UNREFERENCED_PARAMETER(PerformanceCounterValue);
  UNREFERENCED_PARAMETER(AuxiliaryCounterValue);
  UNREFERENCED_PARAMETER(ConversionError);
  return STATUS_NOT_SUPPORTED;
}

}  // extern "C"
