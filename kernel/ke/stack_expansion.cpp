// Calls with a guaranteed amount of stack: on the stack as it is where that is enough, else on a segment of
// its own.
//
// A segment is a large kernel stack with a KSTACK_CONTROL at its top, which tells where the thread came from.
// While the routine runs, KTHREAD.StackBase and StackLimit are the segment's; the thread cannot end there.
#include "ke/stack_segment.h"
#include "ke_internal.h"
#include "mm/mm.h"
#include "nt/export.h"
#include "nt/seh.h"

extern "C" VOID KiSwitchKernelStackCallout(PEXPAND_STACK_CALLOUT routine, PVOID parameter, PVOID stack_top);

namespace {

constexpr ULONG kMaximumSegments = 8;
constexpr SIZE_T kReserve = 0x400;  // what this call itself takes

SIZE_T StackLeft(PKTHREAD thread) {
  const auto here = reinterpret_cast<ULONG_PTR>(__builtin_frame_address(0));
  return here - reinterpret_cast<ULONG_PTR>(thread->StackLimit);
}

ULONG SegmentsOf(PKTHREAD thread) {
  ULONG count = 0;
  for (const KSTACK_CONTROL* control = thread->StackControl; control != nullptr;
       control = control->PreviousControl) {
    ++count;
  }
  return count;
}

// The fields change together for whoever interrupts this processor; others only read them in a frozen
// machine.
void UseSegment(PKTHREAD thread, PVOID base, PVOID limit, PKSTACK_CONTROL control) {
  const bool enabled = arch::DisableInterruptsAndTell();
  thread->StackBase = base;
  thread->StackLimit = limit;
  thread->StackControl = control;
  arch::RestoreInterrupts(enabled);
}

// 0: there is no memory, now.
UCHAR* CreateSegment(bool wait) {
  for (;;) {
    PVOID top = MmCreateKernelStack(TRUE);
    if (top != nullptr || !wait) return static_cast<UCHAR*>(top);
    LARGE_INTEGER pause;
    pause.QuadPart = -100'000;  // 10 ms
    KeDelayExecutionThread(KernelMode, FALSE, &pause);
  }
}

NTSTATUS CallOnSegment(PEXPAND_STACK_CALLOUT callout, PVOID parameter, bool wait) {
  PKTHREAD thread = KeCurrentThread();
  if (SegmentsOf(thread) == kMaximumSegments) return STATUS_STACK_OVERFLOW;
  UCHAR* top = CreateSegment(wait);
  if (top == nullptr) return STATUS_NO_MEMORY;
  auto* control = reinterpret_cast<PKSTACK_CONTROL>(top - sizeof(KSTACK_CONTROL));
  *control = {top, top - kLargeKernelStackSize, thread->StackBase, thread->StackLimit, thread->StackControl,
              0};
  UseSegment(thread, top, top - kLargeKernelStackSize, control);
  KiSwitchKernelStackCallout(callout, parameter, control);
  UseSegment(thread, control->PreviousBase, control->PreviousLimit, control->PreviousControl);
  MmDeleteKernelStack(top);
  return STATUS_SUCCESS;
}

}  // namespace

extern "C" {

// The handler of KiSwitchKernelStackCallout's frame. An exception that leaves the routine would leave its
// segment behind: as in NT it is bug check 1E.
KI_DISPOSITION KiKernelCalloutExceptionHandler(PEXCEPTION_RECORD record, PVOID, PCONTEXT context,
                                               PDISPATCHER_CONTEXT) {
  KiUnhandledException(record, context, nullptr, nullptr);
}

/// Calls a routine with at least Size bytes of stack for it; STATUS_NO_MEMORY if they are not to be had.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/KeExpandKernelStackAndCallout.
NT_EXPORT(KeExpandKernelStackAndCallout, nt::AtMost(APC_LEVEL), Full, "KeExpandStack.*");
NTSTATUS NTAPI KeExpandKernelStackAndCallout(PEXPAND_STACK_CALLOUT Callout, PVOID Parameter, SIZE_T Size) {
  return KeExpandKernelStackAndCalloutEx(Callout, Parameter, Size, FALSE, nullptr);
}

/// KeExpandKernelStackAndCallout for any IRQL up to DISPATCH_LEVEL, where Wait must be FALSE. Wait: until
/// there is memory for the stack.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/KeExpandKernelStackAndCalloutEx.
NT_EXPORT(KeExpandKernelStackAndCalloutEx, nt::AtMost(DISPATCH_LEVEL), Full, "KeExpandStack.*");
NTSTATUS NTAPI KeExpandKernelStackAndCalloutEx(PEXPAND_STACK_CALLOUT Callout, PVOID Parameter, SIZE_T Size,
                                               BOOLEAN Wait, PVOID) {
  if (Size > MAXIMUM_EXPANSION_SIZE) return STATUS_INVALID_PARAMETER_3;
  if (Wait && KeGetCurrentIrql() >= DISPATCH_LEVEL) return STATUS_INVALID_PARAMETER_4;
  if (StackLeft(KeCurrentThread()) < Size + kReserve) return CallOnSegment(Callout, Parameter, Wait != FALSE);
  Callout(Parameter);
  return STATUS_SUCCESS;
}

}  // extern "C"
