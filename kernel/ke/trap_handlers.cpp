// C side of the exception stubs: page faults, exception records, contexts.
#include "ke_internal.h"

#include "mm/mm.h"
#include "unwind_frames.h"

namespace {
constexpr ULONG64 kFaultWrite = 2, kFaultFetch = 0x10;
constexpr ULONG kSecurityCheckFailure = 0x139, kInterruptException = 0x3D, kInterruptUnwind = 0x3C,
                kExceptionOnInvalidStack = 0x1AA;
constexpr NTSTATUS kIrqlFault = static_cast<NTSTATUS>(STATUS_IN_PAGE_ERROR | 0x10000000);

}  // namespace

extern "C" {

// Negative: not resolved (the stub makes a bug check or an exception of it).
NTSTATUS KiHandlePageFault(PKTRAP_FRAME trap) {
  const ULONG code = (trap->ErrorCode & kFaultFetch) ? 8 : (trap->ErrorCode & kFaultWrite) ? 1 : 0;
  trap->FaultIndicator = static_cast<UCHAR>(code);
  PKPRCB prcb = KeGetCurrentPrcb();
  ++prcb->PageFaultCount;
  if (KiResumeSListPop(trap)) return STATUS_SUCCESS;
  if ((trap->EFlags & arch::kRflagsInterrupt) == 0) {
    trap->PreviousIrql = 0xFF;  // as Windows shows a fault with interrupts disabled
    return kIrqlFault;
  }
  PKTHREAD thread = prcb->CurrentThread;
  trap->TrapFrame = thread->TrapFrame;
  thread->TrapFrame = trap;
  const auto mode = static_cast<KPROCESSOR_MODE>(trap->PreviousMode);
  const NTSTATUS status = MmAccessFault(code, reinterpret_cast<PVOID>(trap->FaultAddress), mode, trap);
  thread->TrapFrame = trap->TrapFrame;
  // Whatever mm says of it, a fault at this IRQL is no exception that code could catch.
  if (!NT_SUCCESS(status) && trap->PreviousIrql >= DISPATCH_LEVEL) return kIrqlFault;
  return status;
}

VOID KiContextFromFrames(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame, PCONTEXT context) {
  RtlZeroMemory(context, sizeof(*context));
  context->ContextFlags = CONTEXT_FULL | CONTEXT_SEGMENTS;
  context->Rax = trap->Rax, context->Rcx = trap->Rcx, context->Rdx = trap->Rdx, context->R8 = trap->R8;
  context->R9 = trap->R9, context->R10 = trap->R10, context->R11 = trap->R11;
  context->Rbp = trap->Rbp, context->Rsp = trap->Rsp, context->Rip = trap->Rip,
  context->EFlags = trap->EFlags;
  context->SegCs = trap->SegCs, context->SegSs = trap->SegSs;
  context->SegDs = context->SegEs =
      trap->PreviousMode == UserMode ? arch::kUserDataSelector : arch::kDataSelector;
  context->Rbx = trap->Rbx, context->Rdi = trap->Rdi, context->Rsi = trap->Rsi;
  context->MxCsr = context->FltSave.MxCsr = trap->MxCsr;
  context->FltSave.ControlWord = 0x27F;
  context->FltSave.MxCsr_Mask = 0xFFFF;
  const M128A* low = &trap->Xmm0;
  for (int i = 0; i < 6; ++i) context->FltSave.XmmRegisters[i] = low[i];
  if (frame == nullptr) return;
  context->R12 = frame->R12, context->R13 = frame->R13, context->R14 = frame->R14, context->R15 = frame->R15;
  const M128A* high = &frame->Xmm6;
  for (int i = 0; i < 10; ++i) context->FltSave.XmmRegisters[6 + i] = high[i];
}

VOID KiContextToFrames(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame, PCONTEXT context) {
  trap->Rax = context->Rax, trap->Rcx = context->Rcx, trap->Rdx = context->Rdx, trap->R8 = context->R8;
  trap->R9 = context->R9, trap->R10 = context->R10, trap->R11 = context->R11;
  trap->Rbp = context->Rbp, trap->Rsp = context->Rsp, trap->Rip = context->Rip,
  trap->EFlags = context->EFlags;
  trap->Rbx = context->Rbx, trap->Rdi = context->Rdi, trap->Rsi = context->Rsi;
  trap->MxCsr = context->MxCsr;
  M128A* low = &trap->Xmm0;
  for (int i = 0; i < 6; ++i) low[i] = context->FltSave.XmmRegisters[i];
  // The stub restores these two from the exception frame before the trap frame's.
  frame->Rbp = reinterpret_cast<ULONG64>(trap) + 0x80;
  frame->R12 = context->R12, frame->R13 = context->R13, frame->R14 = context->R14, frame->R15 = context->R15;
  M128A* high = &frame->Xmm6;
  for (int i = 0; i < 10; ++i) high[i] = context->FltSave.XmmRegisters[6 + i];
}

VOID KiDispatchException(PEXCEPTION_RECORD record, PKEXCEPTION_FRAME frame, PKTRAP_FRAME trap,
                         KPROCESSOR_MODE previous_mode, BOOLEAN first_chance) {
  CONTEXT context;
  KiContextFromFrames(trap, frame, &context);
  KiPreprocessFault(record, &context, previous_mode);
  if (previous_mode == UserMode) {
    KiDispatchUserException(record, &context, trap, first_chance);
    return;
  }
  if (first_chance && RtlDispatchException(record, &context)) {
    KiContextToFrames(trap, frame, &context);
    return;
  }
  rtl::StackBounds bounds;
  if ((record->ExceptionFlags & EXCEPTION_STACK_INVALID) != 0 && !ki::StackOf(context.Rsp, &bounds)) {
    arch::DisableInterrupts();
    KeGetCurrentPrcb()->BugCheckContext = &context;
    KeBugCheckEx(kExceptionOnInvalidStack, context.Rsp, 0, reinterpret_cast<ULONG_PTR>(&context),
                 reinterpret_cast<ULONG_PTR>(record));
  }
  KiUnhandledException(record, &context, trap, frame);
}

// int 29h: 139 with the trap frame and a record of the fast failure.
[[noreturn]] VOID KiFastFailDispatch(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame, PEXCEPTION_RECORD record) {
  record->ExceptionCode = STATUS_STACK_BUFFER_OVERRUN;
  record->ExceptionFlags = EXCEPTION_NONCONTINUABLE;
  record->ExceptionRecord = nullptr;
  record->ExceptionAddress = reinterpret_cast<PVOID>(trap->Rip);
  record->NumberParameters = 1;
  record->ExceptionInformation[0] = static_cast<ULONG>(trap->Rcx);
  PKPRCB prcb = KeGetCurrentPrcb();
  prcb->BugCheckTrapFrame = trap;
  prcb->BugCheckExceptionFrame = frame;
  KeBugCheckEx(kSecurityCheckFailure, static_cast<ULONG>(trap->Rcx), reinterpret_cast<ULONG_PTR>(trap),
               reinterpret_cast<ULONG_PTR>(record), 0);
}

// An exception that leaves an interrupt routine: nothing above it may catch it.
KI_DISPOSITION KiInterruptHandler(PEXCEPTION_RECORD record, PVOID, PCONTEXT context, PDISPATCHER_CONTEXT) {
  if ((record->ExceptionFlags & EXCEPTION_UNWIND) != 0) KeBugCheckEx(kInterruptUnwind, 0, 0, 0, 0);
  KeGetCurrentPrcb()->BugCheckContext = context;
  KeBugCheckEx(kInterruptException, reinterpret_cast<ULONG_PTR>(record), reinterpret_cast<ULONG_PTR>(context),
               0, 0);
}

// One that leaves a DPC: the interrupted thread's handlers must not see it, so the search ends here.
KI_DISPOSITION KiDpcInterruptHandler(PEXCEPTION_RECORD record, PVOID, PCONTEXT, PDISPATCHER_CONTEXT) {
  record->ExceptionFlags |= EXCEPTION_STACK_INVALID;
  return KiContinueSearch;
}

}  // extern "C"
