// C side of the exception stubs: page faults, exception records, contexts.
#include "ke_internal.h"

#include "mm/mm.h"

namespace {

constinit PKEXCEPTION_DISPATCHER exception_dispatcher = nullptr;

constexpr ULONG64 kFaultWrite = 2, kFaultFetch = 0x10;
constexpr NTSTATUS kIrqlFault = static_cast<NTSTATUS>(STATUS_IN_PAGE_ERROR | 0x10000000);
constexpr ULONG kSystemThreadException = 0x7E, kKmodeException = 0x1E;

// Exceptions of a thread come up to PspSystemThreadStartup, whose filter stops the machine with 7E; those in
// a DPC, an interrupt routine or an idle thread have no thread's start above them: 1E.
[[noreturn]] void Unhandled(PEXCEPTION_RECORD record, PCONTEXT context, PKTRAP_FRAME trap,
                            PKEXCEPTION_FRAME frame) {
  PKPRCB prcb = KeGetCurrentPrcb();
  prcb->BugCheckTrapFrame = trap;
  prcb->BugCheckExceptionFrame = frame;
  const auto code = static_cast<ULONG_PTR>(static_cast<LONG_PTR>(static_cast<LONG>(record->ExceptionCode)));
  const auto address = reinterpret_cast<ULONG_PTR>(record->ExceptionAddress);
  const bool thread_context = !prcb->DpcRoutineActive && prcb->CurrentThread != prcb->IdleThread &&
                              trap->PreviousIrql <= DISPATCH_LEVEL;
  if (thread_context) {
    KeBugCheckEx(kSystemThreadException, code, address, reinterpret_cast<ULONG_PTR>(record),
                 reinterpret_cast<ULONG_PTR>(context));
  }
  KeBugCheckEx(kKmodeException, code, address, record->ExceptionInformation[0],
               record->ExceptionInformation[1]);
}

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
  const NTSTATUS status = MmAccessFault(code, reinterpret_cast<PVOID>(trap->FaultAddress), KernelMode, trap);
  thread->TrapFrame = trap->TrapFrame;
  return status;
}

// Privileged instructions do not exist in ring 0: what is left is an access violation.
NTSTATUS KiClassifyProtectionFault(PKTRAP_FRAME) {
  return STATUS_ACCESS_VIOLATION;
}

VOID KeSetExceptionDispatcher(PKEXCEPTION_DISPATCHER dispatcher) {
  exception_dispatcher = dispatcher;
}

VOID KiContextFromFrames(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame, PCONTEXT context) {
  RtlZeroMemory(context, sizeof(*context));
  context->ContextFlags = CONTEXT_FULL | CONTEXT_SEGMENTS;
  context->Rax = trap->Rax, context->Rcx = trap->Rcx, context->Rdx = trap->Rdx, context->R8 = trap->R8;
  context->R9 = trap->R9, context->R10 = trap->R10, context->R11 = trap->R11;
  context->Rbp = trap->Rbp, context->Rsp = trap->Rsp, context->Rip = trap->Rip,
  context->EFlags = trap->EFlags;
  context->SegCs = trap->SegCs, context->SegSs = trap->SegSs;
  context->SegDs = context->SegEs = arch::kDataSelector;
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
  if (exception_dispatcher != nullptr && exception_dispatcher(record, &context)) {
    KiContextToFrames(trap, frame, &context);
    return;
  }
  Unhandled(record, &context, trap, frame);
}

}  // extern "C"
