// Between the files of ke.
#pragma once

#include "arch/cpu.h"
#include "arch/descriptors.h"
#include "dispatcher_locks.h"
#include "hal/hal.h"
#include "ke/bugcheck.h"
#include "ke/ke.h"
#include "ke/lock_trace.h"
#include "ke/user_mode.h"
#include "nt/kpcr.h"

#define KI_NOINLINE __attribute__((noinline))

inline constexpr ULONG kMaximumProcessors = 64;
inline constexpr ULONG64 kTickUnits = 156'250;  // one clock tick, in 100 ns
inline constexpr ULONG64 kQuantumUnits = 2 * kTickUnits;
inline constexpr SCHAR kLowRealtime = 16;
inline constexpr ULONG kTimerOrDpcInvalid = 0xC7;  // mingw-w64's headers have no name for it
// KPRCB.TimerExpirationWanted: what the next dispatch interrupt has to do besides.
inline constexpr UCHAR kOwnTimers = 1, kAllTimers = 2, kTakeStandby = 4;
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

extern "C" {
// ---- scheduler.cpp: who runs where. DISPATCH_LEVEL ----
extern volatile KAFFINITY KiIdleSummary;
VOID KiDeferReady(
    PKTHREAD thread);  // nobody else knows the thread; placed when the dispatcher is left. Any lock held
VOID KiProcessDeferred(
    PKPRCB prcb);  // own processor, no lock held: gives the readied threads their processors
PKTHREAD KiSelectThread(PKPRCB prcb, int minimum,
                        bool idle);  // what runs next here, chosen; 0: nothing of `minimum`
VOID KiUnselectThread(PKPRCB prcb, PKTHREAD next, PKTHREAD current);  // it does not run after all
PKPRCB KiLockSettledThread(
    PKTHREAD thread);  // thread lock; ready, standby or running: its processor's lock as well
VOID KiUnlockSettledThread(PKTHREAD thread, PKPRCB prcb);
VOID KiRemoveReady(PKTHREAD thread, PKPRCB prcb);  // both locks held: out of the ready queue
VOID KiSetPriority(PKTHREAD thread, KPRIORITY priority, KPRIORITY base);  // no lock held
VOID KiInitializeProcessorScheduling(PKPRCB prcb, PKTHREAD idle_thread);
VOID KiJoinScheduling(PKPRCB prcb);  // a processor that starts: from now on it is given threads

// ---- context_switch.cpp ----
KI_NOINLINE VOID KiSwapThread(PKTHREAD old,
                              PKTHREAD next);  // no lock held; `old` is queued, waits or has ended
VOID KiExitDispatcher(KIRQL old_irql);  // no lock held: places readied threads, preempts, lowers the IRQL
// Tail of the dispatch interrupt; `look`: somebody else's standby threads are to be looked at.
VOID KiDispatchInterrupt(bool look);
VOID KiYield();
NTSTATUS NTAPI NtYieldExecution();
VOID KiFinishThreadStart();
VOID KiRequestDispatchInterrupt(PKPRCB prcb);
VOID KiRequestWork(PKPRCB prcb, UCHAR work);  // kOwnTimers ..: by a dispatch interrupt. Any IRQL
VOID KiInitializeScheduler();
PKTHREAD KiTakeReaperList();

// ---- wait_decision.cpp: DISPATCH_LEVEL ----
// The object's lock is held: releases the waiters that it can. Where a thread waits for all of several
// objects the lock is released and taken again on the way.
VOID KiSignalObject(DISPATCHER_HEADER* object, KPRIORITY increment);
bool KiIsSignalled(DISPATCHER_HEADER* object, PKTHREAD thread);  // lock held
bool KiSatisfy(DISPATCHER_HEADER* object, PKTHREAD thread);      // lock held; true: an abandoned mutant
bool KiClaimWait(PKTHREAD thread,
                 ULONG note);  // the wait's end is ours to decide; else the note is left, if it can be
VOID KiDecideWait(PKTHREAD thread, LONG_PTR status, KPRIORITY increment);
VOID KiLinkWaitBlock(KWAIT_BLOCK* block, PKTHREAD thread, DISPATCHER_HEADER* object, UCHAR type, USHORT key);
VOID KiLockAllObjects(KWAIT_BLOCK* blocks, ULONG count);  // ascending, each once
VOID KiUnlockAllObjects(KWAIT_BLOCK* blocks, ULONG count, DISPATCHER_HEADER* but);

// ---- wait.cpp ----
KIRQL KiEnterWait(PKTHREAD thread);  // DISPATCH_LEVEL; kernel APCs that were due have run
VOID KiBeginWait(PKTHREAD thread, KWAIT_REASON reason, KPROCESSOR_MODE mode, BOOLEAN alertable,
                 KIRQL old_irql);
KI_NOINLINE VOID KiCommitThreadWait(PKTHREAD thread, KWAIT_BLOCK* blocks, ULONG count,
                                    const LARGE_INTEGER* left);
bool KiTestAlert(PKTHREAD thread, KPROCESSOR_MODE mode, BOOLEAN alertable, NTSTATUS* status);
VOID KiAbandonMutants(PKTHREAD thread);
struct KiDeadline {  // a time-out that stays the same while a wait is begun again
  explicit KiDeadline(const LARGE_INTEGER* timeout);
  bool poll = false, forever = false;
  LONGLONG due = 0;
  LARGE_INTEGER Left() const;  // as KiInsertTimer takes it
};

// ---- queue_exports.cpp: no lock held, DISPATCH_LEVEL ----
VOID KiQueueThreadBlocks(PKTHREAD thread);
VOID KiQueueThreadWakes(PKTHREAD thread);
VOID KiLeaveQueue(PKTHREAD thread);

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
KI_NOINLINE VOID KeAccumulateTicks(PKPRCB prcb, const KTRAP_FRAME* interrupted, ULONG64 now);
// A processor that should have taken an interrupt did not; at most once a tick. Bug check 0x101 in the end.
VOID KiWatchSilentProcessor(PKPRCB target, BOOLEAN ipi);
BOOLEAN KiAnswerClockPing(PKPRCB prcb);  // in the NMI handler; FALSE: the NMI is something else

// ---- dpc.cpp ----
VOID KiRetireDpcList(PKPRCB prcb);
// KeInsertQueueDpc on behalf of a timer. DISPATCH_LEVEL or above. unlock: an object (0: none) whose lock is
// released before the DPC can run.
VOID KiInsertTimerDpc(PKDPC dpc, DISPATCHER_HEADER* unlock);
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
bool KiKernelApcDue(PKTHREAD thread, KIRQL irql);  // one may run now if the thread runs at `irql`
BOOLEAN NTAPI KeTestAlertThread(KPROCESSOR_MODE AlertMode);
VOID KiRundownApcs(PKTHREAD thread);  // the thread ends: no more of them
// On the way to ring 3, PASSIVE_LEVEL: the first APC of the program's takes the place of where the frames
// lead.
VOID KiDeliverUserApc(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame);
FORCEINLINE bool KiApcDeliverable(PKTHREAD thread) {
  return thread->ApcState.KernelApcPending && thread->SpecialApcDisable == 0;
}

// ---- processor.cpp ----
PVOID KiAllocateBootPages(ULONG count);
VOID KiSaveSpecialRegisters(KSPECIAL_REGISTERS* special);

// ---- idt.cpp ----
const arch::Gate* KiInterruptTable();

// ---- extended_state.cpp ----
VOID KiInitializeExtendedState();
VOID KiStartUserExtendedState(PKTHREAD thread);  // the state with which a program begins

// ---- service_call.cpp: the routine of a service of ring 3; null: there is none of this number ----
PVOID KiSystemServiceRoutine(ULONG number);

// ---- user_mode.cpp: the current thread's program. PASSIVE_LEVEL ----
// The program's handler (ntdll.dll) gets the exception, or the process ends.
VOID KiDispatchUserException(PEXCEPTION_RECORD record, PCONTEXT context, PKTRAP_FRAME trap,
                             BOOLEAN first_chance);
// The frames lead to the normal routine of a user APC, and then to where they led before.
VOID KiEnterUserApc(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame, PKNORMAL_ROUTINE routine, PVOID context,
                    PVOID argument1, PVOID argument2);
// What the next thread of this processor has of ring 3. DISPATCH_LEVEL.
FORCEINLINE VOID KiPrepareUserEntry(PKPRCB prcb, PKTHREAD next) {
  const ULONG64 stack = reinterpret_cast<ULONG64>(next->InitialStack);
  prcb->RspBase = stack;
  reinterpret_cast<arch::TaskState*>(CONTAINING_RECORD(prcb, KPCR, Prcb)->TssBase)->rsp[0] = stack;
  if (next->Teb != nullptr) arch::WriteMsr(arch::kMsrKernelGsBase, reinterpret_cast<ULONG64>(next->Teb));
}

// ---- exceptions ----
// Refines what the processor alone cannot tell: division overflow, privileged instructions, lock prefixes.
VOID KiPreprocessFault(PEXCEPTION_RECORD record, PCONTEXT context, KPROCESSOR_MODE mode);
// Bug check 1E.
[[noreturn]] VOID KiUnhandledException(PEXCEPTION_RECORD record, PCONTEXT context, PKTRAP_FRAME trap,
                                       PKEXCEPTION_FRAME frame);

// ---- crash ----
// ---- bugcheck_callbacks.cpp, nmi_callbacks.cpp ----
VOID KiRunBugCheckCallbacks();
BOOLEAN KiAnyBugCheckCallback();
VOID KiDescribeLiveDump(PCONTEXT context);
VOID KiRunPageCallbacks(ULONG64* bitmap, ULONG64 bits);
ULONG64 KiRunSecondaryDataCallbacks(UCHAR* area, ULONG64 size);
VOID KiRunDumpIoCallbacks(KBUGCHECK_DUMP_IO_TYPE type, PVOID buffer, ULONG length);
BOOLEAN KiAnyDumpIoCallback();
BOOLEAN KiRunNmiCallbacks();

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
// old_stack: &KTHREAD.KernelStack of the running thread, whose extended state is switched if it uses any.
VOID KiSwapContext(PVOID* old_stack, PVOID new_stack);
[[noreturn]] VOID KiSwitchStackAndCall(PVOID stack, VOID (*routine)());
VOID KiStartSystemThread();
}
