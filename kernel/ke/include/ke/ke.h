// ke for the other modules: threads, processors, TLB, interrupts, hooks. Everything else goes by its NT
// prototype.
#pragma once

#include "nt/eprocess.h"
#include "nt/kpcr.h"
#include "boot/loader_block.h"

extern "C" {

// ---- Objects that exist from the first instruction ----
// The idle process and the idle threads (one a processor, ETHREADs). ke creates them and links them into
// KiInitialProcess's thread lists; ps gives them names and identifiers and must not reinitialize those lists.
extern EPROCESS KiInitialProcess;
extern ETHREAD KiInitialThread;  // idle thread of processor 0: runs KiSystemStartup
extern volatile CCHAR KeNumberProcessors;
extern volatile KAFFINITY KeActiveProcessors;
extern boot::LoaderBlock* KeLoaderBlock;

// ---- Processes and threads ----
// Prepares the Pcb of a process (zeroed by the caller).
// The process has ended: who waits for it goes on. <= DISPATCH_LEVEL.
VOID KeSignalProcess(PKPROCESS process);
VOID KeInitializeProcess(PKPROCESS process, KPRIORITY base_priority, KAFFINITY affinity,
                         ULONG64 directory_table_base);

typedef VOID (*PKSYSTEM_ROUTINE)(PKSTART_ROUTINE start, PVOID context);
// Prepares a thread that will enter system_routine(start, context) from nt!KiStartSystemThread. `thread` is
// zeroed by the caller; stack_base is the high end. Links the thread into process->ThreadListHead. The
// routine never returns.
VOID KeInitThread(PKTHREAD thread, PVOID stack_base, PVOID stack_limit, PKSYSTEM_ROUTINE system_routine,
                  PKSTART_ROUTINE start, PVOID context, PKPROCESS process);
// Undoes KeInitThread for a thread that never ran.
VOID KeUninitThread(PKTHREAD thread);
// Makes the thread runnable for the first time. IRQL <= DISPATCH_LEVEL.
VOID KeStartThread(PKTHREAD thread);
// Ends the current thread: signals its object, leaves the process's list and never comes back. IRQL <=
// APC_LEVEL. The thread is handed to the reaper once it is off its stack.
[[noreturn]] VOID KeTerminateThread(KPRIORITY increment);
// Called at PASSIVE_LEVEL, in nt!KiReaperThread, for each thread that is off its stack: frees the stack,
// drops the reference of the running thread. One callback, set once by ps.
typedef VOID (*PKTHREAD_REAPER)(PKTHREAD thread);
VOID KeSetThreadReaper(PKTHREAD_REAPER reaper);
VOID NTAPI KiReaperThread(PVOID context);  // the body of that thread: init creates it

// A thread that will run a program keeps its vector registers over switches: before it starts, and when
// nobody refers to it any more.
NTSTATUS KeCreateUserState(PKTHREAD thread);
VOID KeDeleteUserState(PKTHREAD thread);
// The thread ends (KeUserModeHooks.exit_thread) before its next instruction in ring 3; a wait in user mode
// ends with STATUS_USER_APC. IRQL <= DISPATCH_LEVEL.
VOID KeRequestThreadExit(PKTHREAD thread);

FORCEINLINE PKTHREAD KeCurrentThread() {
  return reinterpret_cast<PKTHREAD>(
      __readgsqword(FIELD_OFFSET(KPCR, Prcb) + FIELD_OFFSET(KPRCB, CurrentThread)));
}
FORCEINLINE ULONG KeCurrentProcessor() {
  return KeGetCurrentPrcb()->Number;
}

// ---- Boot (init) ----
VOID KeInitializePhase0(boot::LoaderBlock* block);  // PCR, IDT, APIC, timers of processor 0; the idle process
VOID KeStartClock();                                // interrupts and the tick of processor 0
NTSTATUS KeStartAllProcessors();                    // phase 1
VOID KiReserveDumpBitmap();                         // before mm owns memory
[[noreturn]] VOID KiIdleLoop();
// The body of the threads that run threaded DPCs, one a processor (its index is the context): init creates
// them when all processors run.
VOID NTAPI KiExecuteDpc(PVOID context);

// ---- Timers and watchdogs ----
// KeSetTimerEx with a period in 100 ns and a tolerance in ms (kAnyTolerance: no idle processor is woken for
// it). The period is at most MAXLONG. IRQL <= DISPATCH_LEVEL.
inline constexpr ULONG kAnyTolerance = ~0u;
BOOLEAN KeSetTimerInUnits(PKTIMER timer, LARGE_INTEGER due, ULONG period, ULONG tolerance, PKDPC dpc);
// FALSE also says that the DPC of an expiration is queued, if there was one.
BOOLEAN KeTimerIsSet(PKTIMER timer);
// Bug check 0xC7 if an active timer or a queued DPC overlaps the range, which is about to be freed; with
// `routines` also if a DPC's routine lies in it. IRQL <= DISPATCH_LEVEL.
VOID KeCheckForTimer(PVOID start, SIZE_T size, BOOLEAN routines);
// Limits of bug check 0x133 in ms, 0 = none; at boot, from the registry.
VOID KeSetDpcWatchdog(ULONG dpc_timeout, ULONG watchdog_period);
VOID KeSetThreadDpcEnable(BOOLEAN enable);

// ---- Translation buffers ----
// On every processor, by IPI. IRQL < IPI_LEVEL with interrupts enabled; deadlock-free against processors that
// spin at DISPATCH_LEVEL; does nothing remotely once the machine is frozen.
VOID KeFlushSingleTb(PVOID address);
VOID KeFlushMultipleTb(ULONG count, PVOID* addresses);
VOID KeFlushEntireTb(BOOLEAN invalid, BOOLEAN all_processors);

// ---- Faults ----
VOID KiContextFromFrames(PKTRAP_FRAME trap, PKEXCEPTION_FRAME exception, PCONTEXT context);
VOID KiContextToFrames(PKTRAP_FRAME trap, PKEXCEPTION_FRAME exception, PCONTEXT context);

// ---- Interrupts of devices ----
// Connects `routine` to the line `gsi` of the I/O APIC; lines may be shared. The routine runs at `irql` of
// the vector
// (*irql on return). Level-triggered lines are active high.
typedef BOOLEAN (*PKDEVICE_ROUTINE)(PVOID context);
NTSTATUS KeConnectLine(ULONG gsi, BOOLEAN level, PKDEVICE_ROUTINE routine, PVOID context, PKIRQL irql);
VOID KeDisconnectLine(ULONG gsi, PKDEVICE_ROUTINE routine, PVOID context);
// The vector that a line has when it is connected; 0: there is no such line. And the other way round, -1:
// none.
UCHAR KeVectorOfLine(ULONG gsi);
LONG KeLineOfVector(ULONG vector);
// Vectors for message-signalled interrupts, which are delivered to processor 0. PASSIVE_LEVEL.
NTSTATUS KeAllocateMessageVector(UCHAR* vector);
VOID KeFreeMessageVector(UCHAR vector);
// Calls the routine at the IRQL vector >> 4 when a message with a vector of KeAllocateMessageVector comes.
NTSTATUS KeConnectMessage(UCHAR vector, PKDEVICE_ROUTINE routine, PVOID context);
VOID KeDisconnectMessage(UCHAR vector);
// What a device has to write where, to interrupt with the vector.
VOID KeDescribeMessage(UCHAR vector, PULONG64 address, PULONG data);

}  // extern "C"
