// Previous mode, raising, local time, start-up of the executive.
#include "ex/ex.h"
#include "ke/ke.h"
#include "nt/export.h"

namespace ex {
NTSTATUS StartWorkers();
NTSTATUS InitObjects();
}  // namespace ex

extern "C" NTSTATUS ExInitSystem() {
  NTSTATUS status = ex::InitObjects();
  return NT_SUCCESS(status) ? ex::StartWorkers() : status;
}

/// The mode that the current service was called from.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/ExGetPreviousMode.
NT_EXPORT(ExGetPreviousMode, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" KPROCESSOR_MODE NTAPI ExGetPreviousMode() {
  return KeCurrentThread()->PreviousMode;
}

namespace {

LONGLONG TimeZoneBias() {
  const volatile KSYSTEM_TIME& bias = SharedUserData->TimeZoneBias;
  for (;;) {
    const LONG high = bias.High1Time;
    const ULONG low = bias.LowPart;
    if (high == bias.High2Time) return (static_cast<LONGLONG>(high) << 32) | low;
  }
}

}  // namespace

/// System time (UTC) as local time.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExSystemTimeToLocalTime.
NT_EXPORT(ExSystemTimeToLocalTime, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" VOID NTAPI ExSystemTimeToLocalTime(PLARGE_INTEGER SystemTime, PLARGE_INTEGER LocalTime) {
  LocalTime->QuadPart = SystemTime->QuadPart - TimeZoneBias();
}

/// Local time as system time (UTC).
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExLocalTimeToSystemTime.
NT_EXPORT(ExLocalTimeToSystemTime, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" VOID NTAPI ExLocalTimeToSystemTime(PLARGE_INTEGER LocalTime, PLARGE_INTEGER SystemTime) {
  SystemTime->QuadPart = LocalTime->QuadPart + TimeZoneBias();
}
