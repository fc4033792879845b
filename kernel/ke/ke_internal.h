// Between the files of ke.
#pragma once

#include "arch/cpu.h"
#include "arch/descriptors.h"
#include "hal/hal.h"
#include "ke/bugcheck.h"
#include "ke/ke.h"
#include "ke/lock_trace.h"
#include "nt/kpcr.h"

#define KI_NOINLINE __attribute__((noinline))

inline constexpr ULONG kMaximumProcessors = 64;
inline constexpr ULONG64 kTickUnits = 156'250;  // one clock tick, in 100 ns
inline constexpr ULONG64 kQuantumUnits = 2 * kTickUnits;
inline constexpr SCHAR kLowRealtime = 16;
inline constexpr ULONG kTimerOrDpcInvalid = 0xC7;  // mingw-w64's headers have no name for it
inline constexpr UCHAR kTargetFreeze = 1, kTargetFrozen = 2;  // KPRCB.IpiFrozen

// Kinds of dispatcher objects (DISPATCHER_HEADER.Type), as NT numbers them.
enum KiObjectType : UCHAR {
  kEventNotification = 0,
  kEventSynchronization = 1,
  kMutant = 2,
  kProcess = 3,
  kQueue = 4,
  kSemaphore = 5,
  kThread = 6,
  kTimerNotification = 8,
  kTimerSynchronization = 9,
  kApcObject = 18,
  kDpcObject = 19,
  kThreadedDpcObject = 24,
};

// ---- The dispatcher lock: guards threads' states, ready queues, wait lists, timers and APC queues. Taken at
// DISPATCH_LEVEL and held across a context switch: the thread that is switched to releases it. ----
void KiLockDispatcherAtDispatch();
bool KiTryLockDispatcher();  // also with interrupts off below DISPATCH_LEVEL
void KiUnlockDispatcherFromDispatch();
class DispatcherGuard {  // raises to DISPATCH_LEVEL, locks; readied threads get their processor on the way
                         // out
 public:
  DispatcherGuard();
  ~DispatcherGuard();

 private:
  KIRQL old_irql_;
};

// ---- The order of locks, all at DISPATCH_LEVEL: an object's lock (bit 7 of DISPATCHER_HEADER.Lock; several
// only in ascending address order), the timer table's, a thread's (KTHREAD.ThreadLock), a processor's
// (KPRCB.PrcbLock). Until the global lock is gone these are it. ----
inline constexpr UCHAR kObjectLockBit = 0x80;
FORCEINLINE UCHAR KiTypeOf(const DISPATCHER_HEADER* object) {  // the lock bit may be set at any time
  return object->Type & static_cast<UCHAR>(~kObjectLockBit);
}
FORCEINLINE void KiAcquireObjectLock(DISPATCHER_HEADER*) {
  KiLockDispatcherAtDispatch();
}
FORCEINLINE bool KiTryAcquireObjectLock(DISPATCHER_HEADER*) {
  return KiTryLockDispatcher();
}
FORCEINLINE void KiReleaseObjectLock(DISPATCHER_HEADER*) {
  KiUnlockDispatcherFromDispatch();
}
// Raises to DISPATCH_LEVEL and locks the object; at the end it unlocks it and gives readied threads their
// processors.
class ObjectGuard {
 public:
  explicit ObjectGuard(DISPATCHER_HEADER*) {}

 private:
  DispatcherGuard guard_;
};

extern "C" {
// ---- scheduler.cpp ----
extern KAFFINITY KiIdleSummary;
VOID KiReadyThread(PKTHREAD thread);                           // lock held
KI_NOINLINE LONG_PTR KiSwapThread(PKTHREAD old, PKPRCB prcb);  // lock held on entry, released on return
VOID KiExitDispatcher(KIRQL old_irql);  // lock held on entry; preempts, lowers the IRQL
VOID KiDispatchInterrupt();             // tail of the dispatch interrupt
VOID KiRemoveReadyThread(PKTHREAD thread);
VOID KiBoostPriority(PKTHREAD thread, KPRIORITY increment);
VOID KiSetPriority(PKTHREAD thread, KPRIORITY priority);
VOID KiFinishThreadStart();
VOID KiRequestDispatchInterrupt(PKPRCB prcb);
VOID KiInitializeScheduler();
PKTHREAD KiTakeReaperList();

// ---- wait.cpp ----
VOID KiSignalObject(DISPATCHER_HEADER* object,
                    KPRIORITY increment);  // lock held: releases waiters that it can
VOID KiUnwaitThread(PKTHREAD thread, LONG_PTR status, KPRIORITY increment);
KI_NOINLINE NTSTATUS KiCommitThreadWait(PKTHREAD thread, PLARGE_INTEGER timeout, KIRQL old_irql);
VOID KiAbandonMutants(PKTHREAD thread);
VOID KiPrepareQueueWait(PKTHREAD thread, DISPATCHER_HEADER* queue, KPROCESSOR_MODE mode);

// ---- queue_exports.cpp: lock held ----
VOID KiQueueThreadBlocks(PKQUEUE queue);
VOID KiQueueThreadWakes(PKQUEUE queue);

// ---- timer.cpp: the timer's object lock held; due times are interrupt time ----
VOID KiInitializeTimerTable(PKPRCB prcb);
BOOLEAN KiInsertTimer(PKTIMER timer, LARGE_INTEGER due);  // FALSE: already expired
BOOLEAN KiRemoveTimer(PKTIMER timer);                     // TRUE: it was inserted
// No lock held; period and tolerance in ms.
BOOLEAN KiSetTimer(PKTIMER timer, LARGE_INTEGER due, ULONG period, ULONG tolerance, PKDPC dpc);
// Nothing held: expires what is due in this processor's table, or in all.
VOID KiTimerExpiration(BOOLEAN all);
VOID KiShiftAbsoluteTimers(LONGLONG delta);  // DISPATCH_LEVEL: the system time moved by that much

// ---- clock.cpp ----
// This processor's clock interrupt comes at `due` at the latest.
VOID KiEnsureClock(PKPRCB prcb, ULONG64 due);
VOID KiEnsureTick(PKPRCB prcb);  // ... within a tick, also on an idle processor
ULONG KiTickCount();
VOID KiUpdateSharedTime();        // KUSER_SHARED_DATA's times are those of now
ULONG64 KiSharedInterruptTime();  // as a driver reads it
ULONG64 KiSystemTimeBase();       // system time - interrupt time
// Sets the system time; returns by how much it moved.
LONGLONG KiMoveSystemTime(ULONG64 new_time, ULONG64* old_time);
VOID KiSetClockInterval(ULONG64 units);  // of processor 0, from its next tick on
ULONG64 KiClockInterval();

// ---- watchdog.cpp ----
VOID KiInitializeWatchdogs(PKPRCB prcb);
// At a clock interrupt, a tick after the last call at least.
KI_NOINLINE VOID KeAccumulateTicks(PKPRCB prcb, KIRQL interrupted_irql, ULONG64 now);
// A processor that should have taken an interrupt did not; at most once a tick. Bug check 0x101 in the end.
VOID KiWatchSilentProcessor(PKPRCB target);
BOOLEAN KiAnswerClockPing(PKPRCB prcb);  // in the NMI handler; FALSE: the NMI is something else

// ---- dpc.cpp ----
VOID KiRetireDpcList(PKPRCB prcb);
// KeInsertQueueDpc on behalf of a timer. DISPATCH_LEVEL or above.
VOID KiInsertTimerDpc(PKDPC dpc);
VOID KiInitializeDpcData(PKPRCB prcb);
BOOLEAN KiInsertQueueDpc(PKDPC dpc, PVOID argument1, PVOID argument2);
BOOLEAN KiRemoveQueueDpc(PKDPC dpc);
BOOLEAN KiDpcQueueBusy(KDPC_DATA* data);  // something waits in it or runs from it
// The first DPC of the queue that overlaps the range; `routine`: whose routine lies in it.
PKDPC KiFindDpcInRange(KDPC_DATA* data, ULONG_PTR start, ULONG_PTR end, BOOLEAN routine);
VOID KiSetDpcTarget(PKDPC dpc, ULONG number);
// At a clock tick: DPCs that waited for it get their interrupt.
VOID KiUpdateDpcRate(PKPRCB prcb);

// ---- apc.cpp ----
VOID KiDeliverApc();
VOID KiCheckForKernelApcDelivery();
FORCEINLINE bool KiApcDeliverable(PKTHREAD thread) {
  return thread->ApcState.KernelApcPending && thread->SpecialApcDisable == 0;
}

// ---- processor.cpp ----
PVOID KiAllocateBootPages(ULONG count);
VOID KiSaveSpecialRegisters(KSPECIAL_REGISTERS* special);

// ---- idt.cpp ----
const arch::Gate* KiInterruptTable();

// ---- exceptions ----
// Refines what the processor alone cannot tell: division overflow, privileged instructions, lock prefixes.
VOID KiPreprocessFault(PEXCEPTION_RECORD record, PCONTEXT context);
// Bug check 1E.
[[noreturn]] VOID KiUnhandledException(PEXCEPTION_RECORD record, PCONTEXT context, PKTRAP_FRAME trap,
                                       PKEXCEPTION_FRAME frame);

// ---- crash ----
VOID KiRunBugCheckCallbacks();
VOID KiAttributeBugCheck(PKPRCB prcb);    // a fault's code becomes the one that says whose it was
extern PUNICODE_STRING KiBugCheckDriver;  // the file to blame, where that is known; 0
[[noreturn]] VOID KiFreezeSelf(PKPRCB prcb);
VOID KiBuildDumpHeader(ULONG code, PCONTEXT context, PVOID where);
// ---- long_holds.cpp: any IRQL ----
VOID KiInitializeLongHolds();
VOID KiReportLongHold(PVOID lock, PVOID holder, ULONG processor, ULONG64 held, PVOID waiter);

// ---- queued_spin_lock_exports.cpp ----
VOID KiInitializeQueuedSpinLocks(PKPRCB prcb);
// ---- slist_fault.cpp: TRUE when the fault is that of an S-list's pop whose list has changed since ----
BOOLEAN KiResumeSListPop(PKTRAP_FRAME trap);

VOID RtlCaptureContext(PCONTEXT context);
VOID KiSwapContext(PVOID* old_stack, PVOID new_stack);
[[noreturn]] VOID KiSwitchStackAndCall(PVOID stack, VOID (*routine)());
VOID KiStartSystemThread();
}
