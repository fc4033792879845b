// What exception dispatch and unwinding pass around. Names and layout as in Windows (winnt.h), which the DDK
// headers leave out.
#pragma once

#include "nt/ktrap.h"
#include "rtl/unwind.h"

typedef rtl::RuntimeFunction RUNTIME_FUNCTION, *PRUNTIME_FUNCTION;

#define UNW_FLAG_NHANDLER 0
#define UNW_FLAG_EHANDLER 1
#define UNW_FLAG_UHANDLER 2

#define EXCEPTION_UNWINDING 0x02
#define EXCEPTION_EXIT_UNWIND 0x04
#define EXCEPTION_STACK_INVALID 0x08
#define EXCEPTION_NESTED_CALL 0x10
#define EXCEPTION_TARGET_UNWIND 0x20
#define EXCEPTION_COLLIDED_UNWIND 0x40
#define EXCEPTION_UNWIND (EXCEPTION_UNWINDING | EXCEPTION_EXIT_UNWIND)

enum KI_DISPOSITION : int {
  KiContinueExecution = 0,
  KiContinueSearch = 1,
  KiNestedException = 2,
  KiCollidedUnwind = 3,
};

struct _DISPATCHER_CONTEXT;
typedef KI_DISPOSITION (*PKLANGUAGE_HANDLER)(PEXCEPTION_RECORD record, PVOID establisher, PCONTEXT context,
                                             struct _DISPATCHER_CONTEXT* dispatcher);

#define UNWIND_HISTORY_TABLE_SIZE 12
#define UNWIND_HISTORY_TABLE_NONE 0  // UNWIND_HISTORY_TABLE.Search

typedef struct _UNWIND_HISTORY_TABLE_ENTRY {
  ULONG64 ImageBase;
  const RUNTIME_FUNCTION* FunctionEntry;
} UNWIND_HISTORY_TABLE_ENTRY;

typedef struct _UNWIND_HISTORY_TABLE {
  ULONG Count;
  UCHAR LocalHint, GlobalHint, Search, Once;
  ULONG64 LowAddress, HighAddress;  // of all its entries
  UNWIND_HISTORY_TABLE_ENTRY Entry[UNWIND_HISTORY_TABLE_SIZE];
} UNWIND_HISTORY_TABLE, *PUNWIND_HISTORY_TABLE;
static_assert(sizeof(UNWIND_HISTORY_TABLE) == 0xD8);

typedef struct _DISPATCHER_CONTEXT {
  ULONG64 ControlPc;
  ULONG64 ImageBase;
  const RUNTIME_FUNCTION* FunctionEntry;
  ULONG64 EstablisherFrame;
  ULONG64 TargetIp;
  PCONTEXT ContextRecord;
  PKLANGUAGE_HANDLER LanguageHandler;  // 0x30: RtlpExecuteHandlerFor... call it
  const VOID* HandlerData;
  PUNWIND_HISTORY_TABLE HistoryTable;
  ULONG ScopeIndex;
  ULONG Fill0;
} DISPATCHER_CONTEXT, *PDISPATCHER_CONTEXT;
static_assert(FIELD_OFFSET(DISPATCHER_CONTEXT, LanguageHandler) == 0x30 &&
              sizeof(DISPATCHER_CONTEXT) == 0x50);

typedef struct _SCOPE_RECORD {
  ULONG BeginAddress;
  ULONG EndAddress;
  ULONG HandlerAddress;  // filter or termination handler; 1: always execute the handler
  ULONG JumpTarget;      // 0: __finally
} SCOPE_RECORD;
typedef struct _SCOPE_TABLE {  // the data of __C_specific_handler
  ULONG Count;
  SCOPE_RECORD ScopeRecord[1];
} SCOPE_TABLE;

typedef struct _KNONVOLATILE_CONTEXT_POINTERS {
  rtl::XmmValue* FloatingContext[16];
  ULONG64* IntegerContext[16];
} KNONVOLATILE_CONTEXT_POINTERS, *PKNONVOLATILE_CONTEXT_POINTERS;

typedef struct DECLSPEC_ALIGN(16) _KJUMP_BUFFER {
  ULONG64 Frame;
  ULONG64 Rbx;
  ULONG64 Rsp;
  ULONG64 Rbp;
  ULONG64 Rsi;
  ULONG64 Rdi;
  ULONG64 R12;
  ULONG64 R13;
  ULONG64 R14;
  ULONG64 R15;
  ULONG64 Rip;
  ULONG MxCsr;
  USHORT FpCsr;
  USHORT Spare;
  M128A Xmm[10];
} KJUMP_BUFFER, *PKJUMP_BUFFER;  // _JUMP_BUFFER of the run-time library
static_assert(sizeof(KJUMP_BUFFER) == 0x100 && FIELD_OFFSET(KJUMP_BUFFER, Xmm) == 0x60);

extern "C" {
BOOLEAN RtlDispatchException(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT ContextRecord);
const RUNTIME_FUNCTION* NTAPI RtlLookupFunctionEntry(ULONG64 ControlPc, PULONG64 ImageBase,
                                                     PUNWIND_HISTORY_TABLE HistoryTable);
PKLANGUAGE_HANDLER NTAPI RtlVirtualUnwind(ULONG HandlerType, ULONG64 ImageBase, ULONG64 ControlPc,
                                          const RUNTIME_FUNCTION* FunctionEntry, PCONTEXT ContextRecord,
                                          const VOID** HandlerData, PULONG64 EstablisherFrame,
                                          PKNONVOLATILE_CONTEXT_POINTERS ContextPointers);
PVOID NTAPI RtlPcToFileHeader(PVOID PcValue, PVOID* BaseOfImage);
VOID NTAPI RtlUnwindEx(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord,
                       PVOID ReturnValue, PCONTEXT ContextRecord, PUNWIND_HISTORY_TABLE HistoryTable);
VOID NTAPI RtlUnwind(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord, PVOID ReturnValue);
VOID NTAPI RtlCaptureContext(PCONTEXT ContextRecord);
[[noreturn]] VOID NTAPI RtlRestoreContext(PCONTEXT ContextRecord, PEXCEPTION_RECORD ExceptionRecord);
VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD ExceptionRecord);
[[noreturn]] VOID NTAPI RtlRaiseStatus(NTSTATUS Status);
KI_DISPOSITION __C_specific_handler(PEXCEPTION_RECORD ExceptionRecord, PVOID EstablisherFrame,
                                    PCONTEXT ContextRecord, PDISPATCHER_CONTEXT DispatcherContext);

// exception_support.S: the handler runs under a frame whose own handler notices nested exceptions and
// collided unwinds.
KI_DISPOSITION RtlpExecuteHandlerForException(PEXCEPTION_RECORD record, PVOID establisher, PCONTEXT context,
                                              PDISPATCHER_CONTEXT dispatcher);
KI_DISPOSITION RtlpExecuteHandlerForUnwind(PEXCEPTION_RECORD record, PVOID establisher, PCONTEXT context,
                                           PDISPATCHER_CONTEXT dispatcher);
}
