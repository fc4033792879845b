// Timers: a table a processor, with its own lock. A timer goes into the table of the processor that sets it,
// whose clock is armed for it; a processor that stays at DISPATCH_LEVEL for a tick has another one expire its
// timers, and one that takes no interrupts has processor 0 do it.
//
// The order of locks is the timer's object lock, then the table's. Expiration comes the other way: it finds
// the timer under the table's lock and only tries the object's; while it holds both nobody can cancel, set or
// free the timer.
#include "ke_internal.h"

#include "ke/timer_search.h"
#include "ktl/timer_wheel.h"

namespace {

constexpr ULONG kPeriodInUnits = 0x80000000;  // KTIMER.Period: 100 ns instead of ms
constexpr ULONG64 kUnitsPerMillisecond = 10'000;
constexpr UCHAR kNoWake = 31;  // DISPATCHER_HEADER.EncodedTolerableDelay: else 0, or log2(ms) + 1
constexpr ULONG_PTR kTimerInRange = 0, kDpcInRange = 1, kRoutineInRange = 2;  // of bug check 0xC7

PKTIMER TimerOf(const LIST_ENTRY* link) {
  return CONTAINING_RECORD(const_cast<LIST_ENTRY*>(link), KTIMER, TimerListEntry);
}
ULONG64 DueOf(const LIST_ENTRY* link) {
  return TimerOf(link)->DueTime.QuadPart;
}
ULONG64 LatestOf(const LIST_ENTRY* link) {
  const KTIMER* timer = TimerOf(link);
  const UCHAR code = timer->Header.EncodedTolerableDelay;
  if (code == 0) return timer->DueTime.QuadPart;
  return code == kNoWake ? ktl::kNever : timer->DueTime.QuadPart + (kUnitsPerMillisecond << (code - 1));
}

using Wheel = ktl::TimerWheel<LIST_ENTRY, ULONG64 (*)(const LIST_ENTRY*)>;
static_assert(ktl::kWheelBuckets == KTIMER_TABLE_ENTRIES);
Wheel WheelOf(KTIMER_TABLE* table) {
  return {table->TimerEntries, reinterpret_cast<uint64_t*>(table->Occupied), DueOf};
}

// At DISPATCH_LEVEL.
void LockTable(KTIMER_TABLE* table) {
  while (__atomic_exchange_n(&table->Lock, 1, __ATOMIC_ACQUIRE) != 0) arch::Pause();
}
void UnlockTable(KTIMER_TABLE* table) {
  __atomic_store_n(&table->Lock, 0, __ATOMIC_RELEASE);
}
class TableGuard {
 public:
  explicit TableGuard(KTIMER_TABLE* table) : table_(table) { LockTable(table); }
  ~TableGuard() { UnlockTable(table_); }

 private:
  KTIMER_TABLE* table_;
};

void UpdateTimes(KTIMER_TABLE* table) {
  Wheel wheel = WheelOf(table);
  const LIST_ENTRY* first = wheel.First();
  table->FirstDue = first != nullptr ? DueOf(first) : ktl::kNever;
  table->WakeTime = first != nullptr ? wheel.FirstLatest(LatestOf) : ktl::kNever;
}

void MoveDue(PKTIMER timer, LONGLONG by) {
  const LONGLONG due = static_cast<LONGLONG>(timer->DueTime.QuadPart) + by;
  timer->DueTime.QuadPart = due < 0 ? 0 : static_cast<ULONGLONG>(due);
}

// The timer's DueTime is set; that of an absolute one with this base of the system time, which may have moved
// since.
void Insert(PKTIMER timer, ULONG64 base) {
  PKPRCB prcb = KeGetCurrentPrcb();
  KTIMER_TABLE* table = &prcb->TimerTable;
  {
    TableGuard guard(table);
    timer->Processor = prcb->Number;
    if (timer->Header.Absolute) MoveDue(timer, static_cast<LONGLONG>(base - table->SystemTimeBase));
    timer->Header.Inserted = 1;
    WheelOf(table).Insert(&timer->TimerListEntry);
    if (timer->DueTime.QuadPart < table->FirstDue) table->FirstDue = timer->DueTime.QuadPart;
    const ULONG64 latest = LatestOf(&timer->TimerListEntry);
    if (latest < table->WakeTime) table->WakeTime = latest;
  }
  if (table->WakeTime != ktl::kNever) KiEnsureClock(prcb, table->WakeTime);
}

void RemoveLocked(PKTIMER timer, KTIMER_TABLE* table) {
  WheelOf(table).Remove(&timer->TimerListEntry);
  timer->Header.Inserted = 0;
  UpdateTimes(table);
}

// Releases the timer's lock. The DPC first: who cancels the timer afterwards finds it queued, and a wait for
// several objects may have the lock given up in between. The DPC may free a timer that nobody waits for, so
// the lock of that is free before the DPC can run.
void SignalAndUnlock(PKTIMER timer) {
  timer->Header.SignalState = 1;
  const bool awaited = !IsListEmpty(&timer->Header.WaitListHead);
  if (timer->Dpc != nullptr) {
    KiInsertTimerDpc(timer->Dpc, awaited ? nullptr : &timer->Header);
    if (!awaited) return;
  }
  KiSignalObject(&timer->Header, 0);
  KiReleaseObjectLock(&timer->Header);
}

ULONG64 PeriodOf(const KTIMER* timer) {
  const ULONG period = timer->Period & ~kPeriodInUnits;
  return (timer->Period & kPeriodInUnits) ? period : period * kUnitsPerMillisecond;
}

// The next time of a periodic timer: a whole number of periods after the last that it had.
void InsertNext(PKTIMER timer, ULONG64 now) {
  const ULONG64 period = PeriodOf(timer);
  ULONG64 due = timer->DueTime.QuadPart + period;
  if (due <= now) due += (now - due) / period * period + period;
  timer->DueTime.QuadPart = due;
  timer->Header.Absolute = 0;
  Insert(timer, 0);
}

// One processor at a time expires a table, so that DPCs are queued in the order of the due times: what was
// due by when, 0 = nobody expires it. Of each processor's table, under its lock.
ULONG64 expiring_until[kMaximumProcessors];

// FALSE: somebody else does it, and will look again for what is due by now.
bool BeginExpiration(PKPRCB owner) {
  TableGuard guard(&owner->TimerTable);
  ULONG64* until = &expiring_until[owner->Number];
  const bool first = *until == 0;
  *until = hal::PerformanceNow();
  return first;
}

// Takes the first timer that is due out of the table, with its object lock; 0 if none is due: then the
// expiration has ended.
PKTIMER TakeExpired(PKPRCB owner) {
  KTIMER_TABLE* table = &owner->TimerTable;
  for (;; arch::Pause()) {
    TableGuard guard(table);
    ULONG64* until = &expiring_until[owner->Number];
    LIST_ENTRY* first = table->FirstDue <= *until ? WheelOf(table).First() : nullptr;
    if (first == nullptr || DueOf(first) > *until) {
      *until = 0;
      return nullptr;
    }
    PKTIMER timer = TimerOf(first);
    if (!KiTryAcquireObjectLock(&timer->Header)) continue;
    RemoveLocked(timer, table);
    return timer;
  }
}

// Who is woken gets a processor at once, not after the DPCs that wait to run here.
KI_NOINLINE void KiProcessExpiredTimerList(PKPRCB owner) {
  if (!BeginExpiration(owner)) return;
  while (PKTIMER timer = TakeExpired(owner)) {
    // Who is woken must not read a time before the due time.
    if (KiSharedInterruptTime() < timer->DueTime.QuadPart) KiUpdateSharedTime();
    if (timer->Period != 0) InsertNext(timer, hal::PerformanceNow());
    SignalAndUnlock(timer);
    KiProcessDeferred(KeGetCurrentPrcb());
  }
}

// Rounded down to a power of two of milliseconds: never later than allowed.
UCHAR EncodeTolerance(ULONG milliseconds) {
  if (milliseconds == kAnyTolerance) return kNoWake;
  if (milliseconds > 0x3FFFFFFF) milliseconds = 0x3FFFFFFF;
  return milliseconds == 0 ? 0 : static_cast<UCHAR>(32 - __builtin_clz(milliseconds));
}

bool Overlaps(const void* object, SIZE_T size, ULONG_PTR start, ULONG_PTR end) {
  const auto first = reinterpret_cast<ULONG_PTR>(object);
  return first < end && first + size > start;
}

struct Range {
  ULONG_PTR start, end;
  bool routines;
  ULONG_PTR kind;
  const void* found;
};

void CheckTimer(const KTIMER* timer, Range* range) {
  const KDPC* dpc = timer->Dpc;
  if (Overlaps(timer, sizeof(*timer), range->start, range->end)) {
    range->kind = kTimerInRange, range->found = timer;
  } else if (dpc != nullptr && Overlaps(dpc, sizeof(*dpc), range->start, range->end)) {
    range->kind = kDpcInRange, range->found = dpc;
  } else if (range->routines && dpc != nullptr && MmIsAddressValid(const_cast<KDPC*>(dpc)) &&
             Overlaps(reinterpret_cast<const void*>(dpc->DeferredRoutine), 1, range->start, range->end)) {
    range->kind = kRoutineInRange, range->found = reinterpret_cast<const void*>(dpc->DeferredRoutine);
  }
}

void CheckDpcs(KDPC_DATA* data, Range* range) {
  if (PKDPC dpc = KiFindDpcInRange(data, range->start, range->end, FALSE)) {
    range->kind = kDpcInRange, range->found = dpc;
  } else if (range->routines) {
    if (PKDPC queued = KiFindDpcInRange(data, range->start, range->end, TRUE)) {
      range->kind = kRoutineInRange, range->found = reinterpret_cast<const void*>(queued->DeferredRoutine);
    }
  }
}

}  // namespace

extern "C" {

VOID KiInitializeTimerTable(PKPRCB prcb) {
  WheelOf(&prcb->TimerTable).Initialize();
  prcb->TimerTable.SystemTimeBase = KeLoaderBlock->system_time;
  UpdateTimes(&prcb->TimerTable);
}

BOOLEAN KiInsertTimer(PKTIMER timer, LARGE_INTEGER due) {
  const LONGLONG now = static_cast<LONGLONG>(hal::PerformanceNow());
  const ULONG64 base = KiSystemTimeBase();
  const bool absolute = due.QuadPart >= 0;
  LONGLONG when = absolute ? due.QuadPart - static_cast<LONGLONG>(base) : now - due.QuadPart;
  if (!absolute && when < 0) when = MAXLONGLONG;  // overflow: never
  timer->Header.Absolute = absolute;
  timer->DueTime.QuadPart = when < 0 ? 0 : static_cast<ULONGLONG>(when);
  if (when <= now) {
    if (KiSharedInterruptTime() < timer->DueTime.QuadPart) KiUpdateSharedTime();
    return FALSE;
  }
  Insert(timer, base);
  return TRUE;
}

BOOLEAN KiRemoveTimer(PKTIMER timer) {
  if (!timer->Header.Inserted) return FALSE;
  KTIMER_TABLE* table = &KiProcessorBlock[timer->Processor]->TimerTable;
  TableGuard guard(table);
  RemoveLocked(timer, table);
  return TRUE;
}

VOID KiTimerExpiration(BOOLEAN all) {
  PKPRCB prcb = KeGetCurrentPrcb();
  KiProcessExpiredTimerList(prcb);
  for (ULONG i = 0; all && i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    if (KiProcessorBlock[i] != prcb) KiProcessExpiredTimerList(KiProcessorBlock[i]);
  }
  const ULONG64 next = prcb->TimerTable.WakeTime;
  if (next != ktl::kNever) KiEnsureClock(prcb, next);
}

VOID KiShiftAbsoluteTimers(LONGLONG delta) {
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    PKPRCB prcb = KiProcessorBlock[i];
    TableGuard guard(&prcb->TimerTable);
    prcb->TimerTable.SystemTimeBase += static_cast<ULONG64>(delta);
    Wheel wheel = WheelOf(&prcb->TimerTable);
    LIST_ENTRY moved;
    InitializeListHead(&moved);
    wheel.ForEach([&](LIST_ENTRY* link) {
      if (!TimerOf(link)->Header.Absolute) return;
      wheel.Remove(link);
      InsertTailList(&moved, link);
    });
    while (!IsListEmpty(&moved)) {
      PKTIMER timer = TimerOf(RemoveHeadList(&moved));
      MoveDue(timer, -delta);
      wheel.Insert(&timer->TimerListEntry);
    }
    UpdateTimes(&prcb->TimerTable);
    // Its clock may be armed for too late.
    KiRequestWork(prcb, kOwnTimers);
  }
}

// `period` as KTIMER.Period has it.
static BOOLEAN KxSetTimer(PKTIMER timer, LARGE_INTEGER due, ULONG period, ULONG tolerance, PKDPC dpc) {
  DispatchGuard guard;
  KiAcquireObjectLock(&timer->Header);
  const BOOLEAN running = KiRemoveTimer(timer);
  timer->Header.SignalState = 0;
  timer->Header.EncodedTolerableDelay = EncodeTolerance(tolerance);
  timer->Header.Coalescable = tolerance != 0;
  timer->Dpc = dpc;
  timer->Period = period;
  if (KiInsertTimer(timer, due)) {
    KiReleaseObjectLock(&timer->Header);
    return running;
  }
  const ULONG64 now = hal::PerformanceNow();
  timer->DueTime.QuadPart = now;
  if (period != 0) InsertNext(timer, now);
  SignalAndUnlock(timer);
  return running;
}

BOOLEAN KiSetTimer(PKTIMER timer, LARGE_INTEGER due, ULONG period, ULONG tolerance, PKDPC dpc) {
  return KxSetTimer(timer, due, period & ~kPeriodInUnits, tolerance, dpc);
}

BOOLEAN KeSetTimerInUnits(PKTIMER timer, LARGE_INTEGER due, ULONG period, ULONG tolerance, PKDPC dpc) {
  return KxSetTimer(timer, due, period != 0 ? period | kPeriodInUnits : 0, tolerance, dpc);
}

BOOLEAN KeTimerIsSet(PKTIMER timer) {
  ObjectGuard guard(&timer->Header);
  return timer->Header.Inserted;
}

PKTIMER KeFindTimer(PVOID start, SIZE_T size) {
  const auto first = reinterpret_cast<ULONG_PTR>(start);
  PKTIMER found = nullptr;
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors) && found == nullptr; ++i) {
    TableGuard guard(&KiProcessorBlock[i]->TimerTable);
    WheelOf(&KiProcessorBlock[i]->TimerTable).ForEach([&](LIST_ENTRY* link) {
      if (Overlaps(TimerOf(link), sizeof(KTIMER), first, first + size)) found = TimerOf(link);
    });
  }
  KeLowerIrql(irql);
  return found;
}

VOID KeCheckForTimer(PVOID start, SIZE_T size, BOOLEAN routines) {
  const auto first = reinterpret_cast<ULONG_PTR>(start);
  Range range = {first, first + size, routines != FALSE, 0, nullptr};
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors) && range.found == nullptr; ++i) {
    PKPRCB prcb = KiProcessorBlock[i];
    {
      TableGuard guard(&prcb->TimerTable);
      WheelOf(&prcb->TimerTable).ForEach([&](LIST_ENTRY* link) {
        if (range.found == nullptr) CheckTimer(TimerOf(link), &range);
      });
    }
    for (KDPC_DATA& data : prcb->DpcData) {
      if (range.found == nullptr) CheckDpcs(&data, &range);
    }
  }
  KeLowerIrql(irql);
  if (range.found == nullptr) return;
  KeBugCheckEx(kTimerOrDpcInvalid, range.kind, reinterpret_cast<ULONG_PTR>(range.found), range.start,
               range.end);
}

}  // extern "C"
