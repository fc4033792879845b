// The clock. Every processor has its own one-shot timer: armed for the next tick while it runs a thread, and
// for the next timer of its table; an idle one lets it run out. Processor 0 always ticks, as often as
// ExSetTimerResolution asks for, and keeps KUSER_SHARED_DATA.
#include "ke_internal.h"

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
volatile long time_lock;       // interrupts off: guards system_base and the times in the shared page
volatile ULONG64 system_base;  // system time = system_base + interrupt time
volatile ULONG64 clock_interval = kTickUnits;  // of processor 0

class TimeGuard {
 public:
  TimeGuard() : enabled_(arch::DisableInterruptsAndTell()) {
    while (__atomic_exchange_n(&time_lock, 1, __ATOMIC_ACQUIRE) != 0) arch::Pause();
  }
  ~TimeGuard() {
    __atomic_store_n(&time_lock, 0, __ATOMIC_RELEASE);
    arch::RestoreInterrupts(enabled_);
  }

 private:
  bool enabled_;
};

template <typename T>
volatile T& Shared(ULONG offset) {
  return *reinterpret_cast<volatile T*>(shared_data + offset);
}

// Readers take the low 64 bits in one load, as x64's macros do, or high1, low and high2 until both highs
// agree. So high2 is written first and the rest in one store, which never crosses a cache line.
void StoreTime(ULONG offset, ULONG64 value) {
  auto* time = reinterpret_cast<SharedTime*>(shared_data + offset);
  time->high2 = static_cast<LONG>(value >> 32);
  __asm__ volatile("movq %1, %0" : "=m"(*time) : "r"(value) : "memory");
}
static_assert(kInterruptTimeOffset % 64 <= 56 && kSystemTimeOffset % 64 <= 56 && kTickCountOffset % 64 <= 56);

void StoreTimesLocked() {
  const ULONG64 now = hal::PerformanceNow();
  StoreTime(kInterruptTimeOffset, now);
  StoreTime(kSystemTimeOffset, system_base + now);
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
  KiRequestWork(fallback, kAllTimers);
}

// A thread that got this processor while it was about to come below DISPATCH_LEVEL, and which did not: an
// idle one may take it, but does not look by itself. Others look when a quantum ends there.
void OfferStandby(PKPRCB self) {
  if (self->NextThread == nullptr) return;
  for (KAFFINITY idle = KiIdleSummary & ~self->SetMember; idle != 0; idle &= idle - 1) {
    KiRequestWork(KiProcessorBlock[__builtin_ctzll(idle)], kTakeStandby);
  }
}

// A table whose processor has not served it for two ticks: it takes no interrupts.
bool OtherTablesAreLate(ULONG64 now) {
  for (ULONG i = 1; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    const PKPRCB prcb = KiProcessorBlock[i];
    if (prcb != nullptr && prcb->TimerTable.WakeTime < now - 2 * kTickUnits) return true;
  }
  return false;
}

void RequestExpiration(PKPRCB prcb, KIRQL interrupted_irql, ULONG64 now) {
  const bool due = prcb->TimerTable.FirstDue <= now;
  const bool late = prcb->Number == 0 && OtherTablesAreLate(now);
  if (!due && !late) return;
  KiRequestWork(prcb, late ? kAllTimers : kOwnTimers);
  if (interrupted_irql >= DISPATCH_LEVEL) ForwardTimerExpiration(prcb);
}

void ArmNext(PKPRCB prcb, bool idle, ULONG64 now) {
  ULONG64 due = now + (prcb->Number == 0 ? clock_interval : kTickUnits);
  const ULONG64 timer = prcb->TimerTable.WakeTime;
  if (idle && prcb->Number != 0) {
    if (timer == ~0ull) {
      prcb->ClockDeadline = 0;  // whoever gives it work, or a timer, arms it again
      return;
    }
    if (timer > due) due = timer;
  }
  if (timer < due && timer > now) due = timer;
  Arm(prcb, due);
}

}  // namespace

extern "C" {

// Frames of a watchdog's bug check read KeBugCheckEx <- KeAccumulateTicks <- KeClockInterruptNotify.
static KI_NOINLINE VOID KeClockInterruptNotify(PKPRCB prcb, const KTRAP_FRAME* interrupted) {
  const KIRQL interrupted_irql = interrupted->PreviousIrql;
  const ULONG64 now = hal::PerformanceNow();
  if (prcb->Number == 0) KiUpdateSharedTime();
  const bool idle_thread = prcb->CurrentThread == prcb->IdleThread;
  const bool idle = idle_thread && interrupted_irql < DISPATCH_LEVEL;  // else its DPCs are watched
  prcb->PendingTickFlags = interrupted_irql >= DISPATCH_LEVEL;
  if (now - prcb->LastTick >= kTickUnits) KeAccumulateTicks(prcb, interrupted, now);
  if (prcb->LockStackIndex != 0) KiResolveLockTrace(prcb);
  RequestExpiration(prcb, interrupted_irql, now);
  if (prcb->PendingTickFlags) OfferStandby(prcb);
  if (!idle_thread && now >= prcb->CurrentThread->QuantumTarget) {
    prcb->QuantumEnd = TRUE;
    KiRequestDispatchInterrupt(prcb);
  }
  ArmNext(prcb, idle, now);
}

VOID KiHandleClockInterrupt(PKTRAP_FRAME trap) {
  hal::EndOfInterrupt();
  PKPRCB prcb = KeGetCurrentPrcb();
  ++prcb->InterruptCount;
  prcb->ClockInterrupts = prcb->ClockInterrupts + 1;
  KeClockInterruptNotify(prcb, trap);
}

VOID KiUpdateSharedTime() {
  TimeGuard guard;
  StoreTimesLocked();
}

ULONG64 KiSharedInterruptTime() {
  return Shared<ULONG64>(kInterruptTimeOffset);
}

ULONG64 KiSystemTimeBase() {
  return system_base;
}

LONGLONG KiMoveSystemTime(ULONG64 new_time, ULONG64* old_time) {
  TimeGuard guard;
  const ULONG64 old = system_base + hal::PerformanceNow();
  const LONGLONG delta = static_cast<LONGLONG>(new_time - old);
  if (old_time != nullptr) *old_time = old;
  system_base = system_base + static_cast<ULONG64>(delta);
  StoreTimesLocked();
  return delta;
}

VOID KiSetClockInterval(ULONG64 units) {
  clock_interval = units;
}
ULONG64 KiClockInterval() {
  return clock_interval;
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
  system_base = KeLoaderBlock->system_time;
  KiUpdateSharedTime();
  PKPRCB prcb = KeGetCurrentPrcb();
  prcb->ClockOwner = TRUE;
  prcb->LastTick = hal::PerformanceNow();
  Arm(prcb, prcb->LastTick + kTickUnits);
  arch::EnableInterrupts();
}

VOID KiEnsureClock(PKPRCB prcb, ULONG64 due) {
  const bool enabled = arch::DisableInterruptsAndTell();
  const ULONG64 deadline = prcb->ClockDeadline;
  if (deadline == 0) {
    prcb->LastTick = hal::PerformanceNow();
    prcb->DpcWatchdogCount = 0;  // it was idle
    Arm(prcb, due);
  } else if (due < deadline) {
    Arm(prcb, due);
  }
  arch::RestoreInterrupts(enabled);
}

VOID KiEnsureTick(PKPRCB prcb) {
  if (prcb->ClockDeadline == 0) KiEnsureClock(prcb, hal::PerformanceNow() + kTickUnits);
}

ULONG KiTickCount() {
  return static_cast<ULONG>(hal::PerformanceNow() / kTickUnits);
}

}  // extern "C"
