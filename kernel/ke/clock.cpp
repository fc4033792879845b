// The clock. Every processor has its own one-shot timer: armed for the next tick while it runs a thread, and
// for the next timer that is due; an idle one lets it run out. Processor 0 always ticks and keeps
// KUSER_SHARED_DATA.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

// KUSER_SHARED_DATA, by Windows's offsets (the public header's layout is wrong in its second half).
struct SharedTime {  // KSYSTEM_TIME
  volatile ULONG low;
  volatile LONG high1;
  volatile LONG high2;
};
constexpr ULONG kTickCountMultiplierOffset = 0x4, kInterruptTimeOffset = 0x8, kSystemTimeOffset = 0x14,
                kTimeZoneBiasOffset = 0x20, kNtSystemRootOffset = 0x30, kNtBuildNumberOffset = 0x260,
                kNtProductTypeOffset = 0x264, kProductTypeValidOffset = 0x268,
                kNativeArchitectureOffset = 0x26A, kNtMajorVersionOffset = 0x26C,
                kNtMinorVersionOffset = 0x270, kSuiteMaskOffset = 0x2D0, kQpcFrequencyOffset = 0x300,
                kTickCountOffset = 0x320, kActiveProcessorCountOffset = 0x3C0;
constexpr ULONG64 kShortestNanoseconds = 20'000;  // an earlier interrupt would come before its own return

UCHAR* shared_data;

template <typename T>
volatile T& Shared(ULONG offset) {
  return *reinterpret_cast<volatile T*>(shared_data + offset);
}

// Readers take high2, then low and high1, and repeat until both highs agree.
void StoreTime(ULONG offset, ULONG64 value) {
  auto* time = reinterpret_cast<SharedTime*>(shared_data + offset);
  time->high2 = static_cast<LONG>(value >> 32);
  time->low = static_cast<ULONG>(value);
  time->high1 = static_cast<LONG>(value >> 32);
}

void UpdateSharedTime(ULONG64 now) {
  StoreTime(kInterruptTimeOffset, now);
  StoreTime(kSystemTimeOffset, KeLoaderBlock->system_time + now);
  StoreTime(kTickCountOffset, now / kTickUnits);
}

void Arm(PKPRCB prcb, ULONG64 due) {
  const ULONG64 now = hal::PerformanceNow();
  ULONG64 nanoseconds = due > now ? (due - now) * 100 : 0;
  if (nanoseconds < kShortestNanoseconds) nanoseconds = kShortestNanoseconds;
  prcb->ClockDeadline = due;
  hal::ArmClock(nanoseconds);
}

// Somebody else must expire the timers: this processor does not leave DISPATCH_LEVEL now.
void ForwardTimerExpiration(PKPRCB self) {
  PKPRCB fallback = nullptr;
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    PKPRCB prcb = KiProcessorBlock[i];
    if (prcb == self || prcb == nullptr || prcb->PendingTickFlags != 0) continue;
    fallback = prcb;
    if (KiIdleSummary & prcb->SetMember) break;
  }
  if (fallback == nullptr) return;
  fallback->TimerExpirationWanted = TRUE;
  KiRequestDispatchInterrupt(fallback);
}

void ChargeTick(PKPRCB prcb, PKTHREAD thread, ULONG64 now) {
  const ULONG64 ticks = (now - prcb->LastTick) / kTickUnits;
  if (ticks == 0) return;
  prcb->LastTick += ticks * kTickUnits;
  prcb->KernelTime += static_cast<ULONG>(ticks);
  thread->KernelTime += static_cast<ULONG>(ticks);
  if (prcb->DpcRoutineActive) prcb->DpcTime += static_cast<ULONG>(ticks);
}

void Tick(PKPRCB prcb, KIRQL interrupted_irql, ULONG64 now) {
  PKTHREAD thread = prcb->CurrentThread;
  const bool idle = thread == prcb->IdleThread;
  ChargeTick(prcb, thread, now);
  prcb->PendingTickFlags = interrupted_irql >= DISPATCH_LEVEL;
  if (prcb->LockStackIndex != 0) KiResolveLockTrace(prcb);
  if (KiNextTimerDue() <= now) {
    prcb->TimerExpirationWanted = TRUE;
    KiRequestDispatchInterrupt(prcb);
    if (interrupted_irql >= DISPATCH_LEVEL) ForwardTimerExpiration(prcb);
  }
  if (!idle && now >= thread->QuantumTarget) {
    prcb->QuantumEnd = TRUE;
    KiRequestDispatchInterrupt(prcb);
  }
  const ULONG64 timer = KiWatchesTimers(prcb) ? KiNextTimerDue() : ~0ull;
  ULONG64 due = now + kTickUnits;
  if (idle && prcb->Number != 0) {
    if (timer == ~0ull) {
      prcb->ClockDeadline = 0;  // whoever gives it work, or a timer, arms it again
      return;
    }
    due = timer > due ? timer : due;
  }
  if (timer < due && timer > now) due = timer;
  Arm(prcb, due);
}

}  // namespace

extern "C" {

VOID KiHandleClockInterrupt(PKTRAP_FRAME trap) {
  hal::EndOfInterrupt();
  PKPRCB prcb = KeGetCurrentPrcb();
  ++prcb->InterruptCount;
  const ULONG64 now = hal::PerformanceNow();
  if (prcb->Number == 0) UpdateSharedTime(now);
  Tick(prcb, trap->PreviousIrql, now);
}

// Processor 0, once: the shared page and the first tick.
VOID KeStartClock() {
  shared_data = reinterpret_cast<UCHAR*>(boot::kPhysicalMapBase + KeLoaderBlock->shared_user_data_physical);
  Shared<ULONG>(kTickCountMultiplierOffset) =
      static_cast<ULONG>((15'625ull << 24) / 1'000);  // ms per tick, 8.24
  StoreTime(kTimeZoneBiasOffset,
            static_cast<ULONG64>(LONGLONG{KeLoaderBlock->time_zone_bias_minutes} * 60 * 10'000'000));
  const WCHAR root[] = L"C:\\Windows";
  for (ULONG i = 0; i < sizeof root / sizeof root[0]; ++i)
    Shared<WCHAR>(kNtSystemRootOffset + 2 * i) = root[i];
  Shared<ULONG>(kNtBuildNumberOffset) = KeLoaderBlock->build_number;
  Shared<ULONG>(kNtProductTypeOffset) = 1;
  Shared<UCHAR>(kProductTypeValidOffset) = 1;
  Shared<USHORT>(kNativeArchitectureOffset) = 9;
  Shared<ULONG>(kNtMajorVersionOffset) = 10;
  Shared<ULONG>(kNtMinorVersionOffset) = 0;
  Shared<ULONG>(kSuiteMaskOffset) = 0x110;  // SingleUserTS | TerminalServer
  Shared<ULONG64>(kQpcFrequencyOffset) = hal::kPerformanceFrequency;
  Shared<ULONG>(kActiveProcessorCountOffset) = KeLoaderBlock->processors;
  const ULONG64 now = hal::PerformanceNow();
  UpdateSharedTime(now);
  PKPRCB prcb = KeGetCurrentPrcb();
  prcb->ClockOwner = TRUE;
  prcb->LastTick = now;
  Arm(prcb, now + kTickUnits);
  arch::EnableInterrupts();
}

VOID KiEnsureClock(PKPRCB prcb, ULONG64 due) {
  const bool enabled = arch::DisableInterruptsAndTell();
  const ULONG64 deadline = prcb->ClockDeadline;
  if (deadline == 0) {
    prcb->LastTick = hal::PerformanceNow();
    Arm(prcb, due);
  } else if (due < deadline) {
    Arm(prcb, due);
  }
  arch::RestoreInterrupts(enabled);
}

ULONG KiTickCount() {
  return static_cast<ULONG>(hal::PerformanceNow() / kTickUnits);
}

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
  CurrentTime->QuadPart = static_cast<LONGLONG>(KeLoaderBlock->system_time + hal::PerformanceNow());
}

/// Interrupt time in 100 ns since boot, of the last tick or better.
/// IRQL: any.
/// Differs from NT: it is always precise.
/// Source: WDK wdm/KeQueryInterruptTime.
NT_EXPORT(KeQueryUnbiasedInterruptTime, nt::AnyIrql(), Full, "KeTime.*");
ULONGLONG NTAPI KeQueryUnbiasedInterruptTime() {
  return hal::PerformanceNow();
}

}  // extern "C"
