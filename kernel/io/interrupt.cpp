// Interrupt objects over ke's lines of the I/O APIC.
#include "io_internal.h"
#include "ke/line_target.h"
#include "ke/lock_trace.h"
#include "nt/export.h"
#include "pnp_internal.h"

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
  PKMESSAGE_SERVICE_ROUTINE MessageServiceRoutine;  // of a message, Vector is then the system's
  ULONG MessageIndex;
} KINTERRUPT;

namespace {

BOOLEAN Dispatch(PVOID context) {
  auto* interrupt = static_cast<PKINTERRUPT>(context);
  // The routine may synchronize with other, higher interrupts.
  const KIRQL irql = KfRaiseIrql(interrupt->SynchronizeIrql);
  KeAcquireSpinLockAtDpcLevel(interrupt->ActualLock);
  const BOOLEAN served =
      interrupt->MessageServiceRoutine != nullptr
          ? interrupt->MessageServiceRoutine(interrupt, interrupt->ServiceContext, interrupt->MessageIndex)
          : interrupt->ServiceRoutine(interrupt, interrupt->ServiceContext);
  KeReleaseSpinLockFromDpcLevel(interrupt->ActualLock);
  KeLowerIrql(irql);
  if (served) ++interrupt->ServiceCount;
  return served;
}

constexpr ULONG kInterruptTag = 'tnIK';

PKINTERRUPT NewInterrupt(PVOID context, PKSPIN_LOCK lock, KIRQL synchronize) {
  auto* interrupt =
      static_cast<PKINTERRUPT>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(KINTERRUPT), kInterruptTag));
  if (interrupt == nullptr) return nullptr;
  RtlZeroMemory(interrupt, sizeof(*interrupt));
  interrupt->Type = 22;  // InterruptObject
  interrupt->Size = sizeof(KINTERRUPT);
  interrupt->ServiceContext = context;
  interrupt->SynchronizeIrql = synchronize;
  KeInitializeSpinLock(&interrupt->SpinLock);
  interrupt->ActualLock = lock != nullptr ? lock : &interrupt->SpinLock;
  return interrupt;
}

NTSTATUS Finish(PKINTERRUPT interrupt, NTSTATUS status, PKINTERRUPT* result) {
  if (!NT_SUCCESS(status)) {
    ExFreePoolWithTag(interrupt, kInterruptTag);
    return status;
  }
  if (interrupt->SynchronizeIrql < interrupt->Irql) interrupt->SynchronizeIrql = interrupt->Irql;
  interrupt->Connected = TRUE;
  *result = interrupt;
  return STATUS_SUCCESS;
}

// A vector of translated resources, or a line of the I/O APIC, which is below all vectors.
ULONG LineOf(ULONG vector) {
  const LONG line = KeLineOfVector(vector);
  return line >= 0 ? static_cast<ULONG>(line) : vector;
}

NTSTATUS Connect(PKINTERRUPT* result, PKSERVICE_ROUTINE routine, PVOID context, PKSPIN_LOCK lock,
                 ULONG vector, KIRQL synchronize, KINTERRUPT_MODE mode, KAFFINITY affinity) {
  *result = nullptr;
  PKINTERRUPT interrupt = NewInterrupt(context, lock, synchronize);
  if (interrupt == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  interrupt->ServiceRoutine = routine;
  interrupt->Vector = LineOf(vector);
  const NTSTATUS status =
      KeConnectLine(interrupt->Vector, mode == LevelSensitive, Dispatch, interrupt, &interrupt->Irql);
  if (NT_SUCCESS(status)) KeTargetLine(interrupt->Vector, affinity);
  return Finish(interrupt, status, result);
}

NTSTATUS ConnectMessage(PKINTERRUPT* result, const IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS& wanted,
                        UCHAR vector, ULONG index) {
  PKINTERRUPT interrupt = NewInterrupt(wanted.ServiceContext, wanted.SpinLock, wanted.SynchronizeIrql);
  if (interrupt == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  interrupt->MessageServiceRoutine = wanted.MessageServiceRoutine;
  interrupt->MessageIndex = index;
  interrupt->Vector = vector;
  interrupt->Irql = static_cast<KIRQL>(vector >> 4);
  return Finish(interrupt, KeConnectMessage(vector, Dispatch, interrupt), result);
}

void Disconnect(PKINTERRUPT interrupt) {
  if (interrupt->MessageServiceRoutine != nullptr) {
    KeDisconnectMessage(static_cast<UCHAR>(interrupt->Vector));
  } else {
    KeDisconnectLine(interrupt->Vector, Dispatch, interrupt);
  }
  KeFlushQueuedDpcs();  // an interrupt that runs on another processor ends before its DPC interrupt is served
  ExFreePoolWithTag(interrupt, kInterruptTag);
}

// The translated interrupts that a device was given: `visit(descriptor, number)` for those of one kind.
template <typename Visit>
ULONG VisitInterrupts(PDEVICE_OBJECT pdo, bool messages, Visit visit) {
  const CM_RESOURCE_LIST* resources = pnp::NodeOfPdo(pdo)->ResourceListTranslated;
  if (resources == nullptr) return 0;
  ULONG count = 0;
  const auto& list = resources->List[0].PartialResourceList;
  for (ULONG i = 0; i < list.Count; ++i) {
    const auto& descriptor = list.PartialDescriptors[i];
    const bool message = (descriptor.Flags & CM_RESOURCE_INTERRUPT_MESSAGE) != 0;
    if (descriptor.Type == CmResourceTypeInterrupt && message == messages) visit(descriptor, count++);
  }
  return count;
}

NTSTATUS ConnectLineOf(PDEVICE_OBJECT pdo, PKINTERRUPT* result, PKSERVICE_ROUTINE routine, PVOID context,
                       PKSPIN_LOCK lock, KIRQL synchronize) {
  CM_PARTIAL_RESOURCE_DESCRIPTOR found;
  const ULONG lines =
      VisitInterrupts(pdo, false, [&](const CM_PARTIAL_RESOURCE_DESCRIPTOR& at, ULONG number) {
        if (number == 0) found = at;
      });
  if (lines == 0) return STATUS_NOT_FOUND;
  const KINTERRUPT_MODE mode = found.Flags & CM_RESOURCE_INTERRUPT_LATCHED ? Latched : LevelSensitive;
  return Connect(result, routine, context, lock, found.u.Interrupt.Vector, synchronize, mode,
                 found.u.Interrupt.Affinity);
}

void DisconnectTable(PIO_INTERRUPT_MESSAGE_INFO table) {
  for (ULONG i = 0; i < table->MessageCount; ++i) Disconnect(table->MessageInfo[i].InterruptObject);
  ExFreePoolWithTag(table, kInterruptTag);
}

NTSTATUS FillTable(PIO_INTERRUPT_MESSAGE_INFO table,
                   const IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS& wanted) {
  NTSTATUS status = STATUS_SUCCESS;
  VisitInterrupts(wanted.PhysicalDeviceObject, true,
                  [&](const CM_PARTIAL_RESOURCE_DESCRIPTOR& at, ULONG number) {
                    if (!NT_SUCCESS(status)) return;
                    IO_INTERRUPT_MESSAGE_INFO_ENTRY& entry = table->MessageInfo[number];
                    const auto vector = static_cast<UCHAR>(at.u.MessageInterrupt.Translated.Vector);
                    ULONG64 address;
                    KeDescribeMessage(vector, &address, &entry.MessageData);
                    entry.MessageAddress.QuadPart = static_cast<LONGLONG>(address);
                    entry.TargetProcessorSet = at.u.MessageInterrupt.Translated.Affinity;
                    entry.Vector = vector;
                    entry.Irql = static_cast<KIRQL>(vector >> 4);
                    entry.Mode = Latched;
                    entry.Polarity = InterruptPolarityUnknown;
                    status = ConnectMessage(&entry.InterruptObject, wanted, vector, number);
                    if (!NT_SUCCESS(status)) return;
                    table->MessageCount = number + 1;
                    if (entry.Irql > table->UnifiedIrql) table->UnifiedIrql = entry.Irql;
                  });
  return status;
}

// All of a device's messages; without any its line, if there is a routine for that.
NTSTATUS ConnectMessages(PIO_CONNECT_INTERRUPT_PARAMETERS parameters) {
  const auto& wanted = parameters->MessageBased;
  const ULONG count = VisitInterrupts(wanted.PhysicalDeviceObject, true, [](const auto&, ULONG) {});
  if (count == 0) {
    if (wanted.FallBackServiceRoutine == nullptr) return STATUS_NOT_FOUND;
    parameters->Version = CONNECT_LINE_BASED;
    return ConnectLineOf(wanted.PhysicalDeviceObject, wanted.ConnectionContext.InterruptObject,
                         wanted.FallBackServiceRoutine, wanted.ServiceContext, wanted.SpinLock,
                         wanted.SynchronizeIrql);
  }
  const SIZE_T size =
      FIELD_OFFSET(IO_INTERRUPT_MESSAGE_INFO, MessageInfo) + count * sizeof(IO_INTERRUPT_MESSAGE_INFO_ENTRY);
  auto* table =
      static_cast<PIO_INTERRUPT_MESSAGE_INFO>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kInterruptTag));
  if (table == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(table, size);
  const NTSTATUS status = FillTable(table, wanted);
  if (NT_SUCCESS(status)) {
    *wanted.ConnectionContext.InterruptMessageTable = table;
  } else {
    DisconnectTable(table);
  }
  return status;
}

}  // namespace

/// Connects a service routine to the interrupt of a vector.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: a line's interrupts come to the first processor of the affinity alone, those of a shared
/// line where its first routine wanted them; a vector below all that translated resources have is taken as a
/// line of the I/O APIC.
/// Source: WDK wdm/IoConnectInterrupt.
NT_EXPORT(IoConnectInterrupt, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* EduInterrupt.*");
extern "C" NTSTATUS NTAPI IoConnectInterrupt(PKINTERRUPT* InterruptObject, PKSERVICE_ROUTINE ServiceRoutine,
                                             PVOID ServiceContext, PKSPIN_LOCK SpinLock, ULONG Vector, KIRQL,
                                             KIRQL SynchronizeIrql, KINTERRUPT_MODE InterruptMode, BOOLEAN,
                                             KAFFINITY ProcessorEnableMask, BOOLEAN) {
  return Connect(InterruptObject, ServiceRoutine, ServiceContext, SpinLock, Vector, SynchronizeIrql,
                 InterruptMode, ProcessorEnableMask);
}

/// Disconnects what IoConnectInterrupt connected.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoDisconnectInterrupt.
NT_EXPORT(IoDisconnectInterrupt, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoDisconnectInterrupt(PKINTERRUPT InterruptObject) {
  Disconnect(InterruptObject);
}

/// Connects a service routine to an interrupt: of a vector that is given, to the device's line, or to all of
/// the device's messages (with the line as a fallback, which Version tells then).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: a line's interrupts come to the first processor of the affinity alone, messages to
/// processor 0; there is one group.
/// Source: WDK wdm/IoConnectInterruptEx.
NT_EXPORT(IoConnectInterruptEx, nt::AtMost(PASSIVE_LEVEL), Full, "PnpInterrupt.* KernelIo.* EduInterrupt.*");
extern "C" NTSTATUS NTAPI IoConnectInterruptEx(PIO_CONNECT_INTERRUPT_PARAMETERS Parameters) {
  switch (Parameters->Version) {
    case CONNECT_MESSAGE_BASED:
      return ConnectMessages(Parameters);
    case CONNECT_LINE_BASED: {
      const auto& line = Parameters->LineBased;
      return ConnectLineOf(line.PhysicalDeviceObject, line.InterruptObject, line.ServiceRoutine,
                           line.ServiceContext, line.SpinLock, line.SynchronizeIrql);
    }
    case CONNECT_FULLY_SPECIFIED: {
      const auto& full = Parameters->FullySpecified;
      return Connect(full.InterruptObject, full.ServiceRoutine, full.ServiceContext, full.SpinLock,
                     full.Vector, full.SynchronizeIrql, full.InterruptMode, full.ProcessorEnableMask);
    }
    default:
      Parameters->Version = CONNECT_FULLY_SPECIFIED;  // the newest that is understood
      return STATUS_NOT_SUPPORTED;
  }
}

/// Disconnects what IoConnectInterruptEx connected, by the version that it returned; another is bug check
/// 0xCA.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoDisconnectInterruptEx.
NT_EXPORT(IoDisconnectInterruptEx, nt::AtMost(PASSIVE_LEVEL), Full, "PnpInterrupt.* KernelIo.*");
extern "C" VOID NTAPI IoDisconnectInterruptEx(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters) {
  switch (Parameters->Version) {
    case CONNECT_MESSAGE_BASED:
      DisconnectTable(Parameters->ConnectionContext.InterruptMessageTable);
      break;
    case CONNECT_LINE_BASED:
    case CONNECT_FULLY_SPECIFIED:
      Disconnect(Parameters->ConnectionContext.InterruptObject);
      break;
    default:
      PnpFatalError(kFatalBadDisconnect,
                    reinterpret_cast<PVOID>(static_cast<ULONG_PTR>(Parameters->Version)));
  }
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
