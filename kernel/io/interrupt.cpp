// Interrupt objects over ke's lines of the I/O APIC.
#include "io_internal.h"
#include "ke/lock_trace.h"
#include "nt/export.h"

typedef struct _KINTERRUPT {
  CSHORT Type;
  CSHORT Size;
  LIST_ENTRY InterruptListEntry;
  PKSERVICE_ROUTINE ServiceRoutine;
  PVOID ServiceContext;
  KSPIN_LOCK SpinLock;
  PKSPIN_LOCK ActualLock;
  ULONG Vector;  // line of the I/O APIC
  KIRQL Irql;
  KIRQL SynchronizeIrql;
  BOOLEAN Connected;
  ULONG ServiceCount;
} KINTERRUPT;

namespace {

BOOLEAN Dispatch(PVOID context) {
  auto* interrupt = static_cast<PKINTERRUPT>(context);
  // The routine may synchronize with other, higher interrupts.
  const KIRQL irql = KfRaiseIrql(interrupt->SynchronizeIrql);
  KeAcquireSpinLockAtDpcLevel(interrupt->ActualLock);
  const BOOLEAN served = interrupt->ServiceRoutine(interrupt, interrupt->ServiceContext);
  KeReleaseSpinLockFromDpcLevel(interrupt->ActualLock);
  KeLowerIrql(irql);
  if (served) ++interrupt->ServiceCount;
  return served;
}

NTSTATUS Connect(PKINTERRUPT* result, PKSERVICE_ROUTINE routine, PVOID context, PKSPIN_LOCK lock, ULONG line,
                 KIRQL synchronize, KINTERRUPT_MODE mode) {
  *result = nullptr;
  auto* interrupt =
      static_cast<PKINTERRUPT>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(KINTERRUPT), 'tnIK'));
  if (interrupt == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(interrupt, sizeof(*interrupt));
  interrupt->Type = 22;  // InterruptObject
  interrupt->Size = sizeof(KINTERRUPT);
  interrupt->ServiceRoutine = routine;
  interrupt->ServiceContext = context;
  interrupt->Vector = line;
  interrupt->SynchronizeIrql = synchronize;
  KeInitializeSpinLock(&interrupt->SpinLock);
  interrupt->ActualLock = lock != nullptr ? lock : &interrupt->SpinLock;
  NTSTATUS status = KeConnectLine(line, mode == LevelSensitive, Dispatch, interrupt, &interrupt->Irql);
  if (!NT_SUCCESS(status)) {
    ExFreePoolWithTag(interrupt, 'tnIK');
    return status;
  }
  if (interrupt->SynchronizeIrql < interrupt->Irql) interrupt->SynchronizeIrql = interrupt->Irql;
  interrupt->Connected = TRUE;
  *result = interrupt;
  return STATUS_SUCCESS;
}

void Disconnect(PKINTERRUPT interrupt) {
  KeDisconnectLine(interrupt->Vector, Dispatch, interrupt);
  ExFreePoolWithTag(interrupt, 'tnIK');
}

}  // namespace

/// Connects a service routine to an interrupt. Vector is the line of the I/O APIC.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: vectors are lines of the I/O APIC; the affinity is ignored; Irql is what the line has.
/// Source: WDK wdm/IoConnectInterrupt.
NT_EXPORT(IoConnectInterrupt, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelIo.*");
extern "C" NTSTATUS NTAPI IoConnectInterrupt(PKINTERRUPT* InterruptObject, PKSERVICE_ROUTINE ServiceRoutine,
                                             PVOID ServiceContext, PKSPIN_LOCK SpinLock, ULONG Vector, KIRQL,
                                             KIRQL SynchronizeIrql, KINTERRUPT_MODE InterruptMode, BOOLEAN,
                                             KAFFINITY, BOOLEAN) {
  return Connect(InterruptObject, ServiceRoutine, ServiceContext, SpinLock, Vector, SynchronizeIrql,
                 InterruptMode);
}

/// Disconnects what IoConnectInterrupt connected.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoDisconnectInterrupt.
NT_EXPORT(IoDisconnectInterrupt, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoDisconnectInterrupt(PKINTERRUPT InterruptObject) {
  Disconnect(InterruptObject);
}

/// Connects a service routine: CONNECT_FULLY_SPECIFIED with a line of the I/O APIC as vector.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there are no devices with resources of their own, so line-based and message-based
/// connections answer STATUS_NOT_FOUND. Source: WDK wdm/IoConnectInterruptEx.
NT_EXPORT(IoConnectInterruptEx, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelIo.*");
extern "C" NTSTATUS NTAPI IoConnectInterruptEx(PIO_CONNECT_INTERRUPT_PARAMETERS Parameters) {
  if (Parameters->Version == CONNECT_LINE_BASED || Parameters->Version == CONNECT_MESSAGE_BASED)
    return STATUS_NOT_FOUND;
  if (Parameters->Version != CONNECT_FULLY_SPECIFIED) {
    Parameters->Version = CONNECT_FULLY_SPECIFIED;  // the newest that is understood
    return STATUS_NOT_SUPPORTED;
  }
  const auto& full = Parameters->FullySpecified;
  return Connect(full.InterruptObject, full.ServiceRoutine, full.ServiceContext, full.SpinLock, full.Vector,
                 full.SynchronizeIrql, full.InterruptMode);
}

/// Disconnects what IoConnectInterruptEx connected.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoDisconnectInterruptEx.
NT_EXPORT(IoDisconnectInterruptEx, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoDisconnectInterruptEx(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters) {
  Disconnect(Parameters->ConnectionContext.InterruptObject);
}

/// Calls a routine with the interrupt held off: at its IRQL, with its lock.
/// IRQL: <= DIRQL of the interrupt.
/// Differs from NT: none.
/// Source: WDK wdm/KeSynchronizeExecution.
NT_EXPORT(KeSynchronizeExecution, nt::AtMost(12), Full, "KeInterruptLock.*");
extern "C" BOOLEAN NTAPI KeSynchronizeExecution(PKINTERRUPT Interrupt,
                                                PKSYNCHRONIZE_ROUTINE SynchronizeRoutine,
                                                PVOID SynchronizeContext) {
  const KIRQL irql =
      KiAcquireSpinLockFor(Interrupt->ActualLock, Interrupt->SynchronizeIrql, __builtin_return_address(0));
  const BOOLEAN result = SynchronizeRoutine(SynchronizeContext);
  KeReleaseInterruptSpinLock(Interrupt, irql);
  return result;
}

/// Takes an interrupt's lock at its IRQL.
/// IRQL: <= DIRQL of the interrupt.
/// Differs from NT: none.
/// Source: WDK wdm/KeAcquireInterruptSpinLock.
NT_EXPORT(KeAcquireInterruptSpinLock, nt::AtMost(12), Full, "KeInterruptLock.*");
extern "C" KIRQL NTAPI KeAcquireInterruptSpinLock(PKINTERRUPT Interrupt) {
  return KiAcquireSpinLockFor(Interrupt->ActualLock, Interrupt->SynchronizeIrql, __builtin_return_address(0));
}

/// Releases an interrupt's lock.
/// IRQL: DIRQL of the interrupt.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseInterruptSpinLock.
NT_EXPORT(KeReleaseInterruptSpinLock, nt::AnyIrql(), Full, "KeInterruptLock.*");
extern "C" VOID NTAPI KeReleaseInterruptSpinLock(PKINTERRUPT Interrupt, KIRQL OldIrql) {
  KeReleaseSpinLockFromDpcLevel(Interrupt->ActualLock);
  KeLowerIrql(OldIrql);
}
