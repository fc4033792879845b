// Threads of programs between the kernel and ring 3: exceptions and APCs as ntdll.dll gets them, contexts as
// it gives them back. Nothing that a program says is believed: addresses are checked and touched under a
// handler, and a context's segments and flags are made those of ring 3.
#include "ke_internal.h"
#include "nt/seh.h"

extern "C" [[noreturn]] VOID KiLeaveToUser(PKTRAP_FRAME trap);

namespace {

constexpr ULONG kIrqlGtZeroAtSystemService = 0x4A;
// CF, PF, AF, ZF, SF, TF, DF, OF, RF, AC, ID: a program's own. Bit 1 is always set, and IF.
constexpr ULONG kUserFlags = 0x250DD5, kFixedFlags = 0x202;
constexpr ULONG kTrapAndDirection = 0x500;
constexpr ULONG kMxCsrMask = 0xFFFF;

const KeUserModeHooks* hooks;

// What KiUserExceptionDispatcher finds at rsp.
struct ExceptionStack {
  CONTEXT context;
  UCHAR extended_context[0x20];
  EXCEPTION_RECORD record;
  UCHAR machine_frame[0x30];
};
static_assert(FIELD_OFFSET(ExceptionStack, record) == 0x4F0 && sizeof(ExceptionStack) % 8 == 0);

// What KiUserApcDispatcher finds at rsp: its arguments are in the context's home fields.
constexpr SIZE_T kApcStackBytes = sizeof(CONTEXT) + 0x20 + 0x30;

// A range that wraps around is no user range.
bool IsUserRange(const VOID* address, SIZE_T bytes) {
  const auto first = reinterpret_cast<ULONG_PTR>(address);
  return first + bytes >= first && first + bytes <= MmUserProbeAddress;
}

// No objects with destructors (docs/hacking.md), and a nop behind the last call of the __try.
DECLSPEC_NOINLINE NTSTATUS CopyGuarded(PVOID to, const VOID* from, SIZE_T bytes) {
  __try {
    RtlCopyMemory(to, from, bytes);
    __asm__ volatile("nop");
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return static_cast<NTSTATUS>(_exception_code());
  }
  return STATUS_SUCCESS;
}

void LeadTo(PKTRAP_FRAME trap, KeUserEntry entry, ULONG64 stack) {
  trap->Rip = hooks->entry(entry);
  trap->Rsp = stack;
  trap->SegCs = arch::kUserCodeSelector;  // it may have been in 32-bit code
  trap->EFlags &= ~kTrapAndDirection;
  trap->ExceptionActive = 0;
}

// An address on the program's stack for `bytes`, aligned.
ULONG64 Below(ULONG64 stack, SIZE_T bytes) {
  return (stack - bytes) & ~ULONG64{15};
}

// A program's context becomes the registers with which it goes on.
void ContextToUserFrames(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame, const CONTEXT& context) {
  if ((context.ContextFlags & CONTEXT_CONTROL) == CONTEXT_CONTROL) {
    trap->Rip = context.Rip, trap->Rsp = context.Rsp;
    trap->EFlags = (context.EFlags & kUserFlags) | kFixedFlags;
    trap->SegCs = arch::kUserCodeSelector, trap->SegSs = arch::kUserDataSelector;
  }
  if ((context.ContextFlags & CONTEXT_INTEGER) == CONTEXT_INTEGER) {
    trap->Rax = context.Rax, trap->Rcx = context.Rcx, trap->Rdx = context.Rdx, trap->Rbx = context.Rbx;
    trap->Rbp = context.Rbp, trap->Rsi = context.Rsi, trap->Rdi = context.Rdi, trap->R8 = context.R8;
    trap->R9 = context.R9, trap->R10 = context.R10, trap->R11 = context.R11;
    frame->R12 = context.R12, frame->R13 = context.R13, frame->R14 = context.R14, frame->R15 = context.R15;
  }
  if ((context.ContextFlags & CONTEXT_FLOATING_POINT) == CONTEXT_FLOATING_POINT) {
    trap->MxCsr = context.MxCsr & kMxCsrMask;
    M128A* low = &trap->Xmm0;
    for (int i = 0; i < 6; ++i) low[i] = context.FltSave.XmmRegisters[i];
    M128A* high = &frame->Xmm6;
    for (int i = 0; i < 10; ++i) high[i] = context.FltSave.XmmRegisters[6 + i];
  }
  trap->ExceptionActive = 0;
}

// A stack that cannot take what the kernel has to say to the program.
void EndForStack(PCONTEXT context, ULONG64 address) {
  EXCEPTION_RECORD record = {};
  record.ExceptionCode = STATUS_ACCESS_VIOLATION;
  record.ExceptionAddress = reinterpret_cast<PVOID>(context->Rip);
  record.NumberParameters = 2;
  record.ExceptionInformation[0] = 1;
  record.ExceptionInformation[1] = address;
  hooks->unhandled_exception(&record, context);
}

DECLSPEC_NOINLINE bool PushException(const EXCEPTION_RECORD* record, const CONTEXT* context, ULONG64 stack) {
  auto* at = reinterpret_cast<ExceptionStack*>(stack);
  return NT_SUCCESS(KeCopyToUser(&at->context, context, sizeof(*context))) &&
         NT_SUCCESS(KeCopyToUser(&at->record, record, sizeof(*record)));
}

}  // namespace

extern "C" {

VOID KeSetUserModeHooks(const KeUserModeHooks* given) {
  hooks = given;
}

NTSTATUS KeCopyFromUser(PVOID to, const VOID* from, SIZE_T bytes) {
  return IsUserRange(from, bytes) ? CopyGuarded(to, from, bytes) : STATUS_ACCESS_VIOLATION;
}

NTSTATUS KeCopyToUser(PVOID to, const VOID* from, SIZE_T bytes) {
  return IsUserRange(to, bytes) ? CopyGuarded(to, from, bytes) : STATUS_ACCESS_VIOLATION;
}

// KiExitToUser, when the thread has something to do before. PASSIVE_LEVEL, interrupts enabled.
VOID KiPrepareUserExit(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame) {
  PKTHREAD thread = KeCurrentThread();
  if (thread->ExitPending) hooks->exit_thread();
  if (thread->ApcState.UserApcPending) KiDeliverUserApc(trap, frame);
}

VOID KiEnterUserApc(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame, PKNORMAL_ROUTINE routine, PVOID context,
                    PVOID argument1, PVOID argument2) {
  CONTEXT registers;
  KiContextFromFrames(trap, frame, &registers);
  registers.P1Home = reinterpret_cast<ULONG64>(context);
  registers.P2Home = reinterpret_cast<ULONG64>(argument1);
  registers.P3Home = reinterpret_cast<ULONG64>(argument2);
  registers.P4Home = reinterpret_cast<ULONG64>(routine);
  const ULONG64 stack = Below(trap->Rsp, kApcStackBytes);
  if (!NT_SUCCESS(KeCopyToUser(reinterpret_cast<PVOID>(stack), &registers, sizeof(registers))))
    EndForStack(&registers, stack);
  LeadTo(trap, KeUserApcEntry, stack);
}

VOID KiDispatchUserException(PEXCEPTION_RECORD record, PCONTEXT context, PKTRAP_FRAME trap,
                             BOOLEAN first_chance) {
  const bool may_handle = first_chance && record->ExceptionCode != STATUS_STACK_BUFFER_OVERRUN;
  const ULONG64 stack = Below(context->Rsp, sizeof(ExceptionStack));
  if (!may_handle || !PushException(record, context, stack)) hooks->unhandled_exception(record, context);
  LeadTo(trap, KeUserExceptionEntry, stack);
}

// NtContinue: the program goes on with a context; test_alert: after the APCs that wait for it.
NTSTATUS KiContinueService(const CONTEXT* given, ULONG64 test_alert, ULONG64, PKEXCEPTION_FRAME frame) {
  CONTEXT context;
  if (!NT_SUCCESS(KeCopyFromUser(&context, given, sizeof(context)))) return STATUS_ACCESS_VIOLATION;
  if ((test_alert & 0xFF) != 0) KeTestAlertThread(UserMode);
  ContextToUserFrames(KeCurrentThread()->TrapFrame, frame, context);
  return STATUS_SUCCESS;
}

// NtRaiseException: an exception of the program's own making, or one that it has not handled.
NTSTATUS KiRaiseExceptionService(const EXCEPTION_RECORD* given, const CONTEXT* given_context,
                                 ULONG64 first_chance, PKEXCEPTION_FRAME frame) {
  EXCEPTION_RECORD record;
  CONTEXT context;
  if (!NT_SUCCESS(KeCopyFromUser(&record, given, sizeof(record))) ||
      !NT_SUCCESS(KeCopyFromUser(&context, given_context, sizeof(context))))
    return STATUS_ACCESS_VIOLATION;
  if (record.NumberParameters > EXCEPTION_MAXIMUM_PARAMETERS) return STATUS_INVALID_PARAMETER;
  PKTRAP_FRAME trap = KeCurrentThread()->TrapFrame;
  ContextToUserFrames(trap, frame, context);
  KiDispatchUserException(&record, &context, trap, (first_chance & 0xFF) != 0);
  return STATUS_SUCCESS;
}

// At the end of a service of ring 3.
VOID KiCheckSystemServiceExit(PKTRAP_FRAME) {
  PKTHREAD thread = KeCurrentThread();
  const KIRQL irql = KeGetCurrentIrql();
  if (irql == PASSIVE_LEVEL && thread->CombinedApcDisable == 0 && thread->ApcStateIndex == 0) return;
  const auto service = reinterpret_cast<ULONG_PTR>(KiSystemServiceRoutine(thread->SystemCallNumber));
  if (irql != PASSIVE_LEVEL) KeBugCheckEx(kIrqlGtZeroAtSystemService, service, irql, 0, 0);
  KeBugCheckEx(APC_INDEX_MISMATCH, service, thread->ApcStateIndex, thread->CombinedApcDisable, 0);
}

[[noreturn]] VOID KeEnterUserMode(ULONG64 rip, ULONG64 rsp, ULONG64 rcx, ULONG64 rdx) {
  PKTHREAD thread = KeCurrentThread();
  KTRAP_FRAME trap = {};
  trap.PreviousMode = UserMode;
  trap.MxCsr = KeGetCurrentPrcb()->MxCsr;
  trap.Rip = rip, trap.Rsp = rsp, trap.Rcx = rcx, trap.Rdx = rdx;
  trap.EFlags = kFixedFlags;
  trap.SegCs = arch::kUserCodeSelector, trap.SegSs = arch::kUserDataSelector;
  thread->PreviousMode = UserMode;
  KiStartUserExtendedState(thread);
  KiLeaveToUser(&trap);
}

}  // extern "C"
