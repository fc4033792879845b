// _KTHREAD, _KPROCESS and what they contain. Owner: ke. Ours in layout, Windows's names: the debugger reads
// these types from our PDB. Driver-visible offsets: none (opaque to drivers).
#pragma once

#include "nt/ntos.h"
#include "nt/ktrap.h"

typedef struct _KWAIT_BLOCK {
  LIST_ENTRY WaitListEntry;
  UCHAR WaitType;  // WAIT_TYPE
  volatile UCHAR BlockState;
  USHORT WaitKey;
  LONG SpareLong;
  struct _KTHREAD* Thread;
  PVOID Object;
  PVOID SparePtr;
} KWAIT_BLOCK;
static_assert(sizeof(KWAIT_BLOCK) == 0x30 && FIELD_OFFSET(KWAIT_BLOCK, Object) == 0x20);

// KTHREAD.State
enum _KTHREAD_STATE : UCHAR {
  Initialized = 0,
  Ready = 1,
  Running = 2,
  Standby = 3,
  Terminated = 4,
  Waiting = 5,
  Transition = 6,
  DeferredReady = 7,
  GateWaitObsolete = 8,
  WaitingForProcessInSwap = 9,
};

// One lock a thread holds or waits for (AutoBoost): ke/auto_boost.h. The debugger's reports read it.
typedef struct _KLOCK_ENTRY {
  PVOID LockState;      // address of the lock, 0 = free entry
  PVOID CallerAddress;  // who acquired it
  ULONG64 AcquireTime;  // performance counter
  UCHAR Waiting;        // 1: the thread waits for it
  UCHAR Kind;           // KeLockKind
  UCHAR Spare[2];
  volatile LONG AcquiredState;  // 0: not acquired; else 1 | priority lent by a waiter << 8
  struct _KTHREAD* Thread;      // whose entry it is
} KLOCK_ENTRY, *PKLOCK_ENTRY;

typedef struct _KTHREAD {
  DISPATCHER_HEADER Header;
  ULONG64 QuantumTarget;
  PVOID InitialStack;  // initial RSP of the stack
  PVOID StackLimit;    // lowest valid address
  PVOID StackBase;     // highest address + 1
  KSPIN_LOCK ThreadLock;
  volatile ULONG64 CycleTime;
  PVOID KernelStack;         // switched out: KSWITCH_FRAME
  PVOID StateSaveArea;       // XSAVE area, for KiSwapContext
  ULONG ExtendedStateUsers;  // KeSaveExtendedProcessorState in force: the state is switched with the thread
                             // then
  volatile BOOLEAN ExitPending;  // in ring 3 it would end: KeRequestThreadExit
  UCHAR StackSpare[3];
  volatile UCHAR Running;
  BOOLEAN Alerted[2];
  UCHAR Alertable;
  ULONG SystemCallNumber;
  ULONG ReadyTime;  // tick count when it became ready
  PKTRAP_FRAME TrapFrame;
  KAPC_STATE ApcState;
  SCHAR Priority;
  SCHAR BasePriority;
  CHAR PreviousMode;
  UCHAR ApcStateIndex;
  LONG_PTR WaitStatus;
  KWAIT_BLOCK* WaitBlockList;
  LIST_ENTRY WaitListEntry;  // ready queue link while Ready
  PKQUEUE Queue;
  PVOID Teb;
  KTIMER Timer;
  KWAIT_BLOCK WaitBlock[4];
  ULONG ContextSwitches;
  volatile UCHAR State;  // _KTHREAD_STATE
  UCHAR WaitIrql;
  CHAR WaitMode;
  UCHAR WaitReason;  // KWAIT_REASON
  ULONG WaitTime;    // tick count at the start of the last wait
  UCHAR WaitBlockCount;
  union {
    struct {
      SHORT KernelApcDisable;
      SHORT SpecialApcDisable;
    };
    ULONG CombinedApcDisable;
  };
  LIST_ENTRY QueueListEntry;
  ULONG NextProcessor;
  ULONG IdealProcessor;
  struct _KPROCESS* Process;
  KAFFINITY Affinity;
  KAFFINITY UserAffinity;
  KAPC_STATE SavedApcState;
  UCHAR SuspendCount;
  UCHAR Preempted;
  SCHAR PriorityDecrement;
  UCHAR QuantumReset;
  ULONG KernelTime;  // ticks
  ULONG UserTime;    // ticks
  ULONG WaitPrcb;
  LIST_ENTRY ThreadListEntry;  // KPROCESS.ThreadListHead
  LIST_ENTRY MutantListHead;
  KLOCK_ENTRY* LockEntries;
  ULONG LockEntryCount;
  volatile LONG AbUntrackedCount;    // locks held that found no free entry
  volatile LONG OwnedResourceCount;  // ERESOURCEs of which this thread is an owner
  USHORT ResourceIndex;              // where its entry was found last in a resource's owner table
  SCHAR AbPriorityFloor;             // the highest priority that waiters lend, 0 = none
  PVOID Win32Thread;
  struct _KSTACK_CONTROL* StackControl;  // the segment that the thread runs on, 0 = its first
  struct _XSTATE_SAVE* XStateSave;       // innermost KeSaveExtendedProcessorState
  volatile ULONG WaitRegister;           // who decided the wait: KiWaitPhase and notes
  UCHAR WaitNext;                        // the dispatcher is kept for the wait that follows (Wait = TRUE)
  UCHAR ApcQueueable;
  SCHAR AdjustIncrement;  // priority boost that comes with becoming ready
  UCHAR EnableStackSwap;
  ULONG64 QuantumLeft;  // of a preempted thread, 100 ns
  UCHAR Spare[48];
} KTHREAD, *PRKTHREAD;

typedef struct _KPROCESS {
  DISPATCHER_HEADER Header;
  LIST_ENTRY ProfileListHead;
  ULONG64 DirectoryTableBase;
  LIST_ENTRY ThreadListHead;
  KSPIN_LOCK ProcessLock;
  KAFFINITY Affinity;
  volatile ULONG64 ActiveProcessors;
  SCHAR BasePriority;
  UCHAR QuantumReset;
  UCHAR Flags;
  LIST_ENTRY ProcessListEntry;
  ULONG64 CycleTime;
  ULONG64 ContextSwitches;
  ULONG KernelTime;
  ULONG UserTime;
  ULONG64 UserDirectoryTableBase;
} KPROCESS;
