#include "arch/cpu.h"
#include "hal/hal.h"
#include "nt/export.h"

extern "C" {

/// Reads the performance counter: 10 MHz, 0 at boot, monotonic over all processors.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryPerformanceCounter.
NT_EXPORT(KeQueryPerformanceCounter, nt::AnyIrql(), Full, "KeTime.*");
LARGE_INTEGER NTAPI KeQueryPerformanceCounter(PLARGE_INTEGER PerformanceFrequency) {
  if (PerformanceFrequency != nullptr) PerformanceFrequency->QuadPart = hal::kPerformanceFrequency;
  LARGE_INTEGER now;
  now.QuadPart = static_cast<LONGLONG>(hal::PerformanceNow());
  return now;
}

/// Busy-waits for at least the given number of microseconds.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeStallExecutionProcessor.
NT_EXPORT(KeStallExecutionProcessor, nt::AnyIrql(), Full, "KeTime.*");
VOID NTAPI KeStallExecutionProcessor(ULONG MicroSeconds) {
  const ULONG64 end =
      hal::PerformanceNow() + ULONG64{MicroSeconds} * (hal::kPerformanceFrequency / 1'000'000);
  while (hal::PerformanceNow() < end) arch::Pause();
}

/// Time since boot in 100 ns, as precise as the performance counter, whose value is returned too.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryInterruptTimePrecise.
NT_EXPORT(KeQueryInterruptTimePrecise, nt::AnyIrql(), Full, "KeTime.*");
ULONG64 NTAPI KeQueryInterruptTimePrecise(PULONG64 QpcTimeStamp) {
  const ULONG64 now = hal::PerformanceNow();
  *QpcTimeStamp = now;
  return now;
}

/// Time since boot in 100 ns, not counting sleep (there is none), with the performance counter's value.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryUnbiasedInterruptTimePrecise.
NT_EXPORT(KeQueryUnbiasedInterruptTimePrecise, nt::AnyIrql(), Full, "KeTime.*");
ULONG64 NTAPI KeQueryUnbiasedInterruptTimePrecise(PULONG64 QpcTimeStamp) {
  return KeQueryInterruptTimePrecise(QpcTimeStamp);
}

}  // extern "C"
