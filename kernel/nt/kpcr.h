// _KPCR, _KPRCB: one a processor, at GS. Owner: ke. Offsets that drivers' inlined code reads are asserted
// (gs:[0x18] Self, gs:[0x20] CurrentPrcb, gs:[0x184] number, gs:[0x188] current thread).
#pragma once

#include "nt/kdpc.h"
#include "nt/kthread.h"

typedef struct _KDESCRIPTOR {
  USHORT Pad[3];
  USHORT Limit;
  PVOID Base;
} KDESCRIPTOR;

typedef struct _KSPECIAL_REGISTERS {
  ULONG64 Cr0;
  ULONG64 Cr2;
  ULONG64 Cr3;
  ULONG64 Cr4;
  ULONG64 KernelDr0;
  ULONG64 KernelDr1;
  ULONG64 KernelDr2;
  ULONG64 KernelDr3;
  ULONG64 KernelDr6;
  ULONG64 KernelDr7;
  KDESCRIPTOR Gdtr;
  KDESCRIPTOR Idtr;
  USHORT Tr;
  USHORT Ldtr;
  ULONG MxCsr;
  ULONG64 DebugControl;
  ULONG64 LastBranchToRip;
  ULONG64 LastBranchFromRip;
  ULONG64 LastExceptionToRip;
  ULONG64 LastExceptionFromRip;
  ULONG64 Cr8;
  ULONG64 MsrGsBase;
  ULONG64 MsrGsSwap;
  ULONG64 MsrStar;
  ULONG64 MsrLStar;
  ULONG64 MsrCStar;
  ULONG64 MsrSyscallMask;
  ULONG64 Xcr0;
} KSPECIAL_REGISTERS, *PKSPECIAL_REGISTERS;

typedef struct _KPROCESSOR_STATE {
  KSPECIAL_REGISTERS SpecialRegisters;
  CONTEXT ContextFrame;
} KPROCESSOR_STATE, *PKPROCESSOR_STATE;

// Lock trace: what this processor holds or spins for. Written by its own processor only; read by the
// debugger.
typedef struct _KLOCK_TRACE_ENTRY {
  volatile PVOID Lock;  // 0 = free entry
  PVOID CallerAddress;  // return address in the code that acquired or wants it
  struct _KTHREAD* Thread;
  ULONG64 StartTime;  // performance counter: when the hold or the spin began
  UCHAR Kind;         // KLOCK_TRACE_KIND
  KIRQL Irql;         // spinning: IRQL before the acquisition; held: IRQL at which it is held
  UCHAR Family;       // KLOCK_TRACE_FAMILY
  UCHAR Spare[5];
} KLOCK_TRACE_ENTRY, *PKLOCK_TRACE_ENTRY;

typedef enum _KLOCK_TRACE_KIND : UCHAR {
  LockTraceFree = 0,
  LockTraceHeld = 1,
  LockTraceSpinning = 2
} KLOCK_TRACE_KIND;

typedef enum _KLOCK_TRACE_FAMILY : UCHAR {
  LockFamilyPlain = 0,
  LockFamilyQueued = 1,     // in-stack and numbered
  LockFamilyShared = 2,     // EX_SPIN_LOCK, a reader
  LockFamilyExclusive = 3,  // EX_SPIN_LOCK, a writer
} KLOCK_TRACE_FAMILY;

#define KLOCK_TRACE_ENTRIES 16

// The cheap record that an acquisition writes (see ke/lock_trace.h). Index: KPRCB.LockStackIndex / 2.
typedef struct _KLOCK_STACK_ENTRY {
  volatile PVOID Lock;  // its low two bits are the family
  PVOID CallerAddress;
} KLOCK_STACK_ENTRY;
typedef struct _KLOCK_STACK_TIME {
  ULONG TscLow;      // written by the acquisition
  ULONG SeenTscLow;  // TscLow when Tsc was computed
  ULONG64 Tsc;       // full time, computed by KiResolveLockTrace
} KLOCK_STACK_TIME;
#define KLOCK_STACK_ENTRIES 128

typedef struct _KPRCB {
  ULONG MxCsr;
  UCHAR LegacyNumber;  // 0x4: gs:[0x184]
  UCHAR ReservedMustBeZero;
  UCHAR InterruptRequest;
  UCHAR IdleHalt;
  struct _KTHREAD* CurrentThread;  // 0x8: gs:[0x188]
  struct _KTHREAD* NextThread;
  struct _KTHREAD* IdleThread;
  UCHAR NestingLevel;
  UCHAR ClockOwner;
  UCHAR PendingTickFlags;
  UCHAR IdleState;
  ULONG Number;
  ULONG64 RspBase;
  KSPIN_LOCK PrcbLock;  // guards the ready queues and NextThread
  ULONG ApicId;
  ULONG MHz;
  UCHAR CpuType;
  UCHAR CpuID;
  USHORT CpuStep;
  ULONG64 SetMember;  // affinity bit
  UCHAR VendorString[13];
  UCHAR ProcessorBrand[49];
  KPROCESSOR_STATE ProcessorState;
  PCONTEXT Context;          // = &ProcessorState.ContextFrame once frozen (KDBG OffsetPrcbContext)
  volatile ULONG IpiFrozen;  // RUNNING 0, TARGET_FROZEN 2, ...
  volatile ULONG64 PendingIpi;
  ULONG ReadySummary;
  LIST_ENTRY DispatcherReadyListHead[32];
  KDPC_DATA DpcData[2];
  PVOID DpcStack;
  volatile UCHAR DpcRoutineActive;
  volatile UCHAR DpcInterruptRequested;
  volatile UCHAR QuantumEnd;
  volatile UCHAR ThreadDpcEnable;
  PVOID DpcRoutine;  // the routine that runs now (0 = none)
  ULONG64 StartCycles;
  ULONG InterruptCount;
  ULONG KernelTime;
  ULONG UserTime;
  ULONG DpcTime;
  ULONG InterruptTime;
  ULONG KeContextSwitches;
  ULONG PageFaultCount;
  KLOCK_TRACE_ENTRY LockTrace[KLOCK_TRACE_ENTRIES];
  ULONG64 LongHolds;     // holds over 25 microseconds seen so far
  UCHAR LockStackIndex;  // in steps of 2, wraps
  UCHAR LockTraceSpare[7];
  KLOCK_STACK_ENTRY LockStack[KLOCK_STACK_ENTRIES];
  KLOCK_STACK_TIME LockStackTime[KLOCK_STACK_ENTRIES];
  PKTRAP_FRAME BugCheckTrapFrame;  // set by KiBugCheckDispatch on the way to KeBugCheckEx
  PKEXCEPTION_FRAME BugCheckExceptionFrame;
  ULONG64 ClockDeadline;          // performance counter: when the armed clock interrupt is due, 0 = none
  ULONG64 LastTick;               // performance counter of the last whole tick
  struct _KTHREAD* ExitedThread;  // switched away from for ever, not yet given to the reaper
  UCHAR DispatchPending;          // DPC interrupt requested and not yet taken
  UCHAR InIdleLoop;
  UCHAR TimerExpirationWanted;
  UCHAR BugCheckEntered;              // ProcessorState.ContextFrame holds the context of KeBugCheckEx
  UCHAR ClockTicking;                 // the clock interrupt is armed
  volatile UCHAR DpcSetEventRequest;  // the threaded DPC queue has work: DpcEvent is to be set
  volatile UCHAR DpcThreadActive;     // DpcThread is in a threaded DPC
  UCHAR PrcbSpare;
  // Ordinary DPCs: when a low or remote one may wait for the next tick.
  ULONG MaximumDpcQueueDepth;
  ULONG MinimumDpcRate;
  ULONG DpcRequestRate;  // DPCs a tick, halved average
  ULONG DpcLastCount;
  // The watchdogs, in clock ticks that this processor took; a limit of 0 switches one off.
  ULONG DpcTimeCount;  // within the running DPC
  ULONG DpcTimeLimit;
  ULONG DpcWatchdogCount;  // at DISPATCH_LEVEL or above without a tick below it
  ULONG DpcWatchdogPeriod;
  volatile ULONG64 IpiInterrupts;
  volatile ULONG64 ClockInterrupts;  // taken so far
  struct _KTHREAD* DpcThread;        // runs threaded DPCs
  KEVENT DpcEvent;
  // Clock watchdog: written by whoever watches this processor.
  ULONG64 WatchedInterrupts;
  ULONG64 WatchedIpis;
  ULONG ClockMissed;
  ULONG ClockSilent;
  UCHAR ClockPing;
  volatile UCHAR IpiWaiting;  // in IPI code, where it takes no clock interrupts
  UCHAR ClockSpare[6];
  KTIMER_TABLE TimerTable;
  KSPIN_LOCK_QUEUE LockQueue[LockQueueMaximumLock];  // nodes of the numbered queued locks
  PCONTEXT BugCheckContext;                          // the registers that an unhandled exception is about
  // Published under PrcbLock, read by anybody: the priority of what runs (-1: idle) and of what will run
  // next, and the highest priority that waits here.
  volatile SCHAR CurrentPriority, RunPriority, ReadyHint;
  struct _KTHREAD* SelectedThread;   // what runs, or what the processor is about to switch to
  struct _KTHREAD* PreviousThread;   // what it switched from, until that is off its stack
  LIST_ENTRY DeferredReadyListHead;  // readied here and not placed yet; own processor at DISPATCH_LEVEL only
  KAFFINITY RefillSet;               // processors that lost their standby thread to a choice made here
  KAFFINITY WakeSet;                 // processors with a new standby thread, not interrupted yet
} KPRCB, *PKPRCB;

typedef struct _KPCR {
  union {
    NT_TIB NtTib;
    struct {
      union _KGDTENTRY64* GdtBase;
      struct _KTSS64* TssBase;
      ULONG64 UserRsp;
      struct _KPCR* Self;          // 0x18
      struct _KPRCB* CurrentPrcb;  // 0x20
      PVOID LockArray;
      PVOID Used_Self;
    };
  };
  union _KIDTENTRY64* IdtBase;
  ULONG64 Unused[2];
  KIRQL Irql;  // not maintained: the IRQL is CR8; 0x50 as in Windows
  UCHAR SecondLevelCacheAssociativity;
  UCHAR ObsoleteNumber;
  UCHAR Fill0;
  ULONG Unused0[3];
  USHORT MajorVersion;
  USHORT MinorVersion;
  ULONG StallScaleFactor;
  PVOID Unused1[3];
  ULONG KernelReserved[15];
  ULONG SecondLevelCacheSize;
  ULONG HalReserved[16];
  ULONG Unused2;
  PVOID KdVersionBlock;
  PVOID Unused3;
  ULONG PcrAlign1[24];
  KPRCB Prcb;  // 0x180
} KPCR, *PKPCR;
static_assert(FIELD_OFFSET(KPCR, Self) == 0x18 && FIELD_OFFSET(KPCR, CurrentPrcb) == 0x20);
static_assert(FIELD_OFFSET(KPCR, Prcb) == 0x180 && FIELD_OFFSET(KPRCB, LegacyNumber) == 4);
static_assert(FIELD_OFFSET(KPRCB, CurrentThread) == 8);

FORCEINLINE PKPCR KeGetPcr() {
  return reinterpret_cast<PKPCR>(__readgsqword(FIELD_OFFSET(KPCR, Self)));
}
FORCEINLINE PKPRCB KeGetCurrentPrcb() {
  return reinterpret_cast<PKPRCB>(__readgsqword(FIELD_OFFSET(KPCR, CurrentPrcb)));
}

extern "C" PKPRCB KiProcessorBlock[64];
