// Plug and play's requests to device stacks.
#include "nt/export.h"
#include "pnp_internal.h"

namespace pnp {
namespace {

NTSTATUS NTAPI SignalAndKeep(PDEVICE_OBJECT, PIRP, PVOID context) {
  KeSetEvent(static_cast<PKEVENT>(context), IO_NO_INCREMENT, FALSE);
  return STATUS_MORE_PROCESSING_REQUIRED;
}

// Windows's rule: 0x20 to 0x7F without the comma.
bool IsIdCharacter(WCHAR character) {
  return character >= 0x20 && character <= 0x7F && character != L',';
}

constexpr ULONG kLongestId = 200;       // characters of one identifier
constexpr ULONG kLongestIdList = 4096;  // of a list

void CheckId(PDEVICE_OBJECT pdo, BUS_QUERY_ID_TYPE type, PCWSTR id) {
  const bool list = type == BusQueryHardwareIDs || type == BusQueryCompatibleIDs;
  const ULONG_PTR kind = static_cast<ULONG_PTR>(type) == BusQueryDeviceID ? 1
                         : type == BusQueryInstanceID                     ? 2
                         : type == BusQueryHardwareIDs                    ? 3
                                                                          : 4;
  ULONG separators = 0;
  ULONG length = 0;
  for (ULONG i = 0; i < (list ? kLongestIdList : kLongestId); ++i) {
    if (id[i] == 0) {
      if (!list || length == 0) {
        // A device identifier has exactly one backslash, an instance identifier none.
        const bool good = list || (type == BusQueryDeviceID ? separators == 1 : separators == 0);
        if (good) return;
        break;
      }
      length = 0;
      continue;
    }
    if (!IsIdCharacter(id[i]) || ++length > kLongestId) break;
    if (id[i] == L'\\') ++separators;
  }
  PnpFatalError(kFatalInvalidId, pdo, reinterpret_cast<ULONG_PTR>(id), kind);
}

PWCH QueryPointer(PDEVICE_OBJECT pdo, PIO_STACK_LOCATION stack) {
  ULONG_PTR information = 0;
  return NT_SUCCESS(Send(pdo, stack, &information)) ? reinterpret_cast<PWCH>(information) : nullptr;
}

}  // namespace

NTSTATUS Send(PDEVICE_OBJECT device, PIO_STACK_LOCATION stack, ULONG_PTR* information) {
  PDEVICE_OBJECT top = IoGetAttachedDeviceReference(device);
  PIRP irp = IoAllocateIrp(top->StackSize, FALSE);
  if (irp == nullptr) {
    ObfDereferenceObject(top);
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  KEVENT done;
  KeInitializeEvent(&done, NotificationEvent, FALSE);
  irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
  irp->IoStatus.Information = information != nullptr ? *information : 0;
  irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);
  *next = *stack;
  next->MajorFunction = IRP_MJ_PNP;
  next->Control = 0;
  IoSetCompletionRoutine(irp, SignalAndKeep, &done, TRUE, TRUE, TRUE);
  if (IofCallDriver(top, irp) == STATUS_PENDING)
    KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, nullptr);
  const NTSTATUS status = irp->IoStatus.Status;
  if (information != nullptr) *information = irp->IoStatus.Information;
  IoFreeIrp(irp);
  ObfDereferenceObject(top);
  return status;
}

NTSTATUS SendMinor(PDEVICE_OBJECT device, UCHAR minor) {
  IO_STACK_LOCATION stack = {};
  stack.MinorFunction = minor;
  return Send(device, &stack, nullptr);
}

PWCH QueryId(PDEVICE_OBJECT pdo, BUS_QUERY_ID_TYPE type) {
  IO_STACK_LOCATION stack = {};
  stack.MinorFunction = IRP_MN_QUERY_ID;
  stack.Parameters.QueryId.IdType = type;
  PWCH id = QueryPointer(pdo, &stack);
  if (id != nullptr) CheckId(pdo, type, id);
  return id;
}

PWCH QueryText(PDEVICE_OBJECT pdo, DEVICE_TEXT_TYPE type) {
  IO_STACK_LOCATION stack = {};
  stack.MinorFunction = IRP_MN_QUERY_DEVICE_TEXT;
  stack.Parameters.QueryDeviceText.DeviceTextType = type;
  stack.Parameters.QueryDeviceText.LocaleId = 0x409;  // English
  return QueryPointer(pdo, &stack);
}

NTSTATUS QueryCapabilities(PDEVICE_OBJECT device, PDEVICE_CAPABILITIES capabilities) {
  RtlZeroMemory(capabilities, sizeof(*capabilities));
  capabilities->Size = sizeof(*capabilities);
  capabilities->Version = 1;
  capabilities->Address = capabilities->UINumber = static_cast<ULONG>(-1);
  IO_STACK_LOCATION stack = {};
  stack.MinorFunction = IRP_MN_QUERY_CAPABILITIES;
  stack.Parameters.DeviceCapabilities.Capabilities = capabilities;
  return Send(device, &stack, nullptr);
}

NTSTATUS QueryRelations(PDEVICE_OBJECT device, DEVICE_RELATION_TYPE type, PDEVICE_RELATIONS* relations) {
  IO_STACK_LOCATION stack = {};
  stack.MinorFunction = IRP_MN_QUERY_DEVICE_RELATIONS;
  stack.Parameters.QueryDeviceRelations.Type = type;
  ULONG_PTR information = 0;
  const NTSTATUS status = Send(device, &stack, &information);
  *relations = NT_SUCCESS(status) ? reinterpret_cast<PDEVICE_RELATIONS>(information) : nullptr;
  return status;
}

}  // namespace pnp

/// Hands a plug and play request to the next driver and waits until the drivers below are done with it; the
/// caller has it back then. FALSE: there is no stack location left for them.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoForwardIrpSynchronously.
NT_EXPORT(IoForwardIrpSynchronously, nt::AtMost(APC_LEVEL), Full, "PnpBus.*");
extern "C" BOOLEAN NTAPI IoForwardIrpSynchronously(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
  if (Irp->CurrentLocation <= 1) return FALSE;
  KEVENT done;
  KeInitializeEvent(&done, NotificationEvent, FALSE);
  IoCopyCurrentIrpStackLocationToNext(Irp);
  IoSetCompletionRoutine(Irp, pnp::SignalAndKeep, &done, TRUE, TRUE, TRUE);
  if (IofCallDriver(DeviceObject, Irp) == STATUS_PENDING)
    KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, nullptr);
  return TRUE;
}
