// Raising exceptions, and the language handler of __try.
#include "ke_internal.h"
#include "nt/export.h"
#include "unwind_frames.h"

#ifndef STATUS_LONGJUMP
#define STATUS_LONGJUMP static_cast<NTSTATUS>(0x80000026)
#endif

namespace {

using Scope = SCOPE_RECORD;
using Filter = LONG (*)(PEXCEPTION_POINTERS pointers, PVOID establisher);
using Termination = VOID (*)(BOOLEAN abnormal, PVOID establisher);

bool Covers(const Scope& scope, ULONG rva) {
  return rva >= scope.BeginAddress && rva < scope.EndAddress;
}

LONG AskFilter(const Scope& scope, PEXCEPTION_POINTERS pointers, PVOID establisher, ULONG64 base) {
  if (scope.HandlerAddress == 1) return 1;
  return reinterpret_cast<Filter>(base + scope.HandlerAddress)(pointers, establisher);
}

// First pass: the filters of the scopes around pc, innermost first.
KI_DISPOSITION SearchScopes(PEXCEPTION_RECORD record, PVOID establisher, PCONTEXT context,
                            PDISPATCHER_CONTEXT dispatcher) {
  const auto* table = static_cast<const SCOPE_TABLE*>(dispatcher->HandlerData);
  const auto rva = static_cast<ULONG>(dispatcher->ControlPc - dispatcher->ImageBase);
  EXCEPTION_POINTERS pointers = {record, context};
  for (ULONG i = dispatcher->ScopeIndex; i < table->Count; ++i) {
    const Scope& scope = table->ScopeRecord[i];
    if (!Covers(scope, rva) || scope.JumpTarget == 0) continue;
    const LONG answer = AskFilter(scope, &pointers, establisher, dispatcher->ImageBase);
    if (answer < 0) return KiContinueExecution;
    if (answer > 0) {
      const auto code = static_cast<ULONG_PTR>(static_cast<ULONG>(record->ExceptionCode));
      RtlUnwindEx(establisher, reinterpret_cast<PVOID>(dispatcher->ImageBase + scope.JumpTarget), record,
                  reinterpret_cast<PVOID>(code), dispatcher->ContextRecord, dispatcher->HistoryTable);
    }
  }
  return KiContinueSearch;
}

// Is the place where the unwind will go on inside the same __try as the scope?
bool TargetInside(const SCOPE_TABLE* table, const Scope& scope, ULONG target) {
  for (ULONG i = 0; i < table->Count; ++i) {
    const Scope& other = table->ScopeRecord[i];
    if (Covers(other, target) && other.JumpTarget == scope.JumpTarget &&
        other.HandlerAddress == scope.HandlerAddress) {
      return true;
    }
  }
  return false;
}

// Second pass: the termination handlers of the scopes that are left.
void UnwindScopes(ULONG flags, PVOID establisher, PDISPATCHER_CONTEXT dispatcher) {
  const auto* table = static_cast<const SCOPE_TABLE*>(dispatcher->HandlerData);
  const auto rva = static_cast<ULONG>(dispatcher->ControlPc - dispatcher->ImageBase);
  const bool at_target = (flags & EXCEPTION_TARGET_UNWIND) != 0;
  const auto target = static_cast<ULONG>(dispatcher->TargetIp - dispatcher->ImageBase);
  for (ULONG i = dispatcher->ScopeIndex; i < table->Count; ++i) {
    const Scope& scope = table->ScopeRecord[i];
    if (!Covers(scope, rva)) continue;
    if (at_target && TargetInside(table, scope, target)) return;
    if (scope.JumpTarget != 0) {
      if (at_target && target == scope.JumpTarget) return;
      continue;
    }
    dispatcher->ScopeIndex = i + 1;  // a collided unwind goes on behind it
    reinterpret_cast<Termination>(dispatcher->ImageBase + scope.HandlerAddress)(TRUE, establisher);
  }
}

}  // namespace

extern "C" {

/// The language handler of functions with __try: runs filters in the first pass, __finally blocks in the
/// second.
/// IRQL: any.
/// Differs from NT: none.
/// Source: winnt.h __C_specific_handler.
NT_EXPORT(__C_specific_handler, nt::AnyIrql(), Full, "Seh.*");
KI_DISPOSITION __C_specific_handler(PEXCEPTION_RECORD ExceptionRecord, PVOID EstablisherFrame,
                                    PCONTEXT ContextRecord, PDISPATCHER_CONTEXT DispatcherContext) {
  if ((ExceptionRecord->ExceptionFlags & EXCEPTION_UNWIND) == 0) {
    return SearchScopes(ExceptionRecord, EstablisherFrame, ContextRecord, DispatcherContext);
  }
  UnwindScopes(ExceptionRecord->ExceptionFlags, EstablisherFrame, DispatcherContext);
  return KiContinueSearch;
}

// Nobody took it: bug check 1E. `context` is where it was raised.
[[noreturn]] KI_NOINLINE VOID KiUnhandledException(PEXCEPTION_RECORD record, PCONTEXT context,
                                                   PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame) {
  arch::DisableInterrupts();  // the PRCB's fields are this processor's
  PKPRCB prcb = KeGetCurrentPrcb();
  prcb->BugCheckTrapFrame = trap;
  prcb->BugCheckExceptionFrame = frame;
  prcb->BugCheckContext = context;
  KeBugCheckEx(KMODE_EXCEPTION_NOT_HANDLED, static_cast<ULONG_PTR>(LONG_PTR{record->ExceptionCode}),
               reinterpret_cast<ULONG_PTR>(record->ExceptionAddress), record->ExceptionInformation[0],
               record->ExceptionInformation[1]);
}

/// Raises the exception in the caller, from where it goes on if a filter says so.
/// IRQL: any.
/// Differs from NT: none.
/// Source: winnt.h RtlRaiseException.
NT_EXPORT(RtlRaiseException, nt::AnyIrql(), Full, "RtlUnwind.*");
VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD ExceptionRecord) {
  CONTEXT context;
  RtlCaptureContext(&context);
  ki::FrameWalk walk(&context, true);
  walk.Leave(UNW_FLAG_NHANDLER);
  ExceptionRecord->ExceptionAddress = reinterpret_cast<PVOID>(context.Rip);
  if (!RtlDispatchException(ExceptionRecord, &context)) {
    KiUnhandledException(ExceptionRecord, &context, nullptr, nullptr);
  }
  RtlRestoreContext(&context, nullptr);
}

// Raises a status `levels` frames above its own; never comes back.
[[noreturn]] KI_NOINLINE static VOID KiRaiseStatus(NTSTATUS Status, ULONG levels) {
  CONTEXT context;
  EXCEPTION_RECORD record;
  RtlZeroMemory(&record, sizeof(record));
  RtlCaptureContext(&context);
  ki::FrameWalk walk(&context, true);
  for (ULONG i = 0; i < levels; ++i) walk.Leave(UNW_FLAG_NHANDLER);
  record.ExceptionCode = Status;
  record.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
  record.ExceptionAddress = reinterpret_cast<PVOID>(context.Rip);
  RtlDispatchException(&record, &context);
  KiUnhandledException(&record, &context, nullptr, nullptr);
}

// In its caller.
[[noreturn]] KI_NOINLINE VOID NTAPI RtlRaiseStatus(NTSTATUS Status) {
  KiRaiseStatus(Status, 2);
}

/// Raises a status as an exception that cannot be continued.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExRaiseStatus.
NT_EXPORT(ExRaiseStatus, nt::AtMost(APC_LEVEL), Full, "Seh.*");
DECLSPEC_NORETURN VOID NTAPI ExRaiseStatus(NTSTATUS Status) {
  KiRaiseStatus(Status, 2);
}

/// Raises STATUS_ACCESS_VIOLATION.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/ExRaiseAccessViolation.
NT_EXPORT(ExRaiseAccessViolation, nt::Exactly(PASSIVE_LEVEL), Full, "Seh.*");
DECLSPEC_NORETURN VOID NTAPI ExRaiseAccessViolation() {
  KiRaiseStatus(STATUS_ACCESS_VIOLATION, 2);
}

/// Raises STATUS_DATATYPE_MISALIGNMENT.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/ExRaiseDatatypeMisalignment.
NT_EXPORT(ExRaiseDatatypeMisalignment, nt::Exactly(PASSIVE_LEVEL), Full, "Seh.*");
DECLSPEC_NORETURN VOID NTAPI ExRaiseDatatypeMisalignment() {
  KiRaiseStatus(STATUS_DATATYPE_MISALIGNMENT, 2);
}

/// A filter that takes the exceptions of services called from user mode and passes those of kernel callers
/// on.
/// IRQL: any.
/// Differs from NT: none.
/// Source: ntifs.h ExSystemExceptionFilter.
NT_EXPORT(ExSystemExceptionFilter, nt::AnyIrql(), Full, "Seh.*");
LONG NTAPI ExSystemExceptionFilter() {
  return KeCurrentThread()->PreviousMode != KernelMode ? 1 : 0;
}

/// Unwinds to a place in the function whose frame is given, running the __finally blocks on the way.
/// IRQL: any.
/// Differs from NT: none.
/// Source: the run-time library's _local_unwind.
NT_EXPORT(_local_unwind, nt::AnyIrql(), Full, "RtlUnwind.*");
VOID _local_unwind(PVOID frame, PVOID target_ip) {
  CONTEXT context;
  RtlUnwindEx(frame, target_ip, nullptr, nullptr, &context, nullptr);
}

VOID KiRestoreJumpBuffer(PKJUMP_BUFFER buffer, ULONG64 value);

/// Goes back to where setjmp filled the buffer. With a frame in it, __finally blocks on the way are run.
/// IRQL: any.
/// Differs from NT: none.
/// Source: the run-time library's longjmp.
NT_EXPORT(longjmp, nt::AnyIrql(), Full, "RtlUnwind.*");
VOID longjmp(PKJUMP_BUFFER buffer, int value) {
  const ULONG64 result = value == 0 ? 1 : static_cast<ULONG>(value);
  if (buffer->Frame == 0) KiRestoreJumpBuffer(buffer, result);
  EXCEPTION_RECORD record;
  RtlZeroMemory(&record, sizeof(record));
  record.ExceptionCode = STATUS_LONGJUMP;
  record.NumberParameters = 1;
  record.ExceptionInformation[0] = reinterpret_cast<ULONG_PTR>(buffer);
  RtlUnwind(reinterpret_cast<PVOID>(buffer->Frame), reinterpret_cast<PVOID>(buffer->Rip), &record,
            reinterpret_cast<PVOID>(result));
}

/// Fills a jump buffer; returns 0, and again, not 0, after longjmp.
/// IRQL: any.
/// Differs from NT: none.
/// Source: the run-time library's setjmp.
NT_EXPORT(_setjmp, nt::AnyIrql(), Full, "RtlUnwind.*");

/// _setjmp with the caller's frame, to which longjmp unwinds.
/// IRQL: any.
/// Differs from NT: none.
/// Source: the run-time library's setjmp.
NT_EXPORT(_setjmpex, nt::AnyIrql(), Full, "RtlUnwind.*");

/// Touches the pages of a large stack frame before it is used; the compiler calls it, with the size in rax.
/// IRQL: any.
/// Differs from NT: none.
/// Source: the compiler's calling convention.
NT_EXPORT(__chkstk, nt::AnyIrql(), Full, "RtlUnwind.*");

}  // extern "C"
