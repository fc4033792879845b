// Frames that interrupts, exceptions and context switches leave on kernel stacks. Owner: ke.
// Names as in Windows; offsets that other tools know (Rip 0x168, Rsp 0x180) are asserted.
#pragma once

#include "nt/ntos.h"

typedef struct _KTRAP_FRAME {
  ULONG64 P1Home;
  ULONG64 P2Home;
  ULONG64 P3Home;
  ULONG64 P4Home;
  ULONG64 P5;
  CHAR PreviousMode;
  KIRQL PreviousIrql;
  UCHAR FaultIndicator;   // page faults: 0 read, 1 write, 8 execute
  UCHAR ExceptionActive;  // 2: a system service of ring 3, that returns to where it was called
  ULONG MxCsr;
  ULONG64 Rax;
  ULONG64 Rcx;
  ULONG64 Rdx;
  ULONG64 R8;
  ULONG64 R9;
  ULONG64 R10;
  ULONG64 R11;
  ULONG64 GsBase;
  M128A Xmm0;
  M128A Xmm1;
  M128A Xmm2;
  M128A Xmm3;
  M128A Xmm4;
  M128A Xmm5;
  ULONG64 FaultAddress;
  ULONG64 Dr0;
  ULONG64 Dr1;
  ULONG64 Dr2;
  ULONG64 Dr3;
  ULONG64 Dr6;
  ULONG64 Dr7;
  ULONG64 DebugControl;
  ULONG64 LastBranchToRip;
  ULONG64 LastBranchFromRip;
  ULONG64 LastExceptionToRip;
  ULONG64 LastExceptionFromRip;
  USHORT SegDs;
  USHORT SegEs;
  USHORT SegFs;
  USHORT SegGs;
  struct _KTRAP_FRAME* TrapFrame;
  ULONG64 Rbx;
  ULONG64 Rdi;
  ULONG64 Rsi;
  ULONG64 Rbp;
  ULONG64 ErrorCode;
  ULONG64 Rip;
  USHORT SegCs;
  UCHAR Fill0;
  UCHAR Logging;
  USHORT Fill1[2];
  ULONG EFlags;
  ULONG Fill2;
  ULONG64 Rsp;
  USHORT SegSs;
  USHORT Fill3;
  ULONG Fill4;
} KTRAP_FRAME, *PKTRAP_FRAME;
static_assert(sizeof(KTRAP_FRAME) == 0x190 && FIELD_OFFSET(KTRAP_FRAME, Rip) == 0x168 &&
              FIELD_OFFSET(KTRAP_FRAME, Rsp) == 0x180 && FIELD_OFFSET(KTRAP_FRAME, Rbp) == 0x158);

typedef struct _KEXCEPTION_FRAME {
  ULONG64 P1Home;
  ULONG64 P2Home;
  ULONG64 P3Home;
  ULONG64 P4Home;
  ULONG64 P5;
  ULONG64 Spare1;
  M128A Xmm6;
  M128A Xmm7;
  M128A Xmm8;
  M128A Xmm9;
  M128A Xmm10;
  M128A Xmm11;
  M128A Xmm12;
  M128A Xmm13;
  M128A Xmm14;
  M128A Xmm15;
  ULONG64 TrapFrame;
  ULONG64 OutputBuffer;
  ULONG64 OutputLength;
  ULONG64 Spare2;
  ULONG64 MxCsr;
  ULONG64 Rbp;
  ULONG64 Rbx;
  ULONG64 Rdi;
  ULONG64 Rsi;
  ULONG64 R12;
  ULONG64 R13;
  ULONG64 R14;
  ULONG64 R15;
  ULONG64 Return;
} KEXCEPTION_FRAME, *PKEXCEPTION_FRAME;
static_assert(sizeof(KEXCEPTION_FRAME) == 0x140);

// What KTHREAD.KernelStack points at while the thread is switched out: from here the unwinder goes on with
// RIP = Return (inside KiSwapContext) and RSP = address of this frame + sizeof.
typedef struct _KSWITCH_FRAME {
  ULONG64 P1Home;
  ULONG64 P2Home;
  ULONG64 P3Home;
  ULONG64 P4Home;
  ULONG64 P5Home;
  KIRQL ApcBypass;
  UCHAR Fill1[7];
  ULONG64 Rbp;
  ULONG64 Return;
} KSWITCH_FRAME, *PKSWITCH_FRAME;

// What nt!KiSystemServiceCopyEnd keeps of the thread while a service runs for a kernel caller.
typedef struct _KSERVICE_FRAME {
  PVOID Caller;
  CHAR PreviousMode;
  UCHAR Fill[7];
} KSERVICE_FRAME, *PKSERVICE_FRAME;

// What a program asked for by syscall.
typedef struct _KSERVICE_REQUEST {
  PVOID Routine;
  ULONG64 Count;  // of arguments, + 0x100: for previous mode User
  ULONG64 Arguments[16];
} KSERVICE_REQUEST, *PKSERVICE_REQUEST;
