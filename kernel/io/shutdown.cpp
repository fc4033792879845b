// Devices that want to hear of the shutdown.
#include "cm/cm.h"
#include "io_internal.h"
#include "nt/export.h"
#include "po_internal.h"

namespace {

struct Registration {
  LIST_ENTRY link;
  PDEVICE_OBJECT device;
};

KSPIN_LOCK g_lock;
LIST_ENTRY g_first = {&g_first, &g_first};
LIST_ENTRY g_last = {&g_last, &g_last};

NTSTATUS Register(PDEVICE_OBJECT device, LIST_ENTRY* list) {
  auto* entry =
      static_cast<Registration*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Registration), 'hSoI'));
  if (entry == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  ObfReferenceObject(device);
  entry->device = device;
  ke::SpinGuard guard(&g_lock);
  InsertHeadList(list, &entry->link);  // last come, first served
  device->Flags |= DO_SHUTDOWN_REGISTERED;
  return STATUS_SUCCESS;
}

Registration* TakeLocked(LIST_ENTRY* list, PDEVICE_OBJECT device) {
  for (LIST_ENTRY* link = list->Flink; link != list; link = link->Flink) {
    auto* entry = CONTAINING_RECORD(link, Registration, link);
    if (device != nullptr && entry->device != device) continue;
    RemoveEntryList(link);
    return entry;
  }
  return nullptr;
}

Registration* Take(LIST_ENTRY* list, PDEVICE_OBJECT device) {
  ke::SpinGuard guard(&g_lock);
  return TakeLocked(list, device);
}

void NotifyAll(LIST_ENTRY* list) {
  while (Registration* entry = Take(list, nullptr)) {
    PDEVICE_OBJECT top = IoGetAttachedDevice(entry->device);
    if (PIRP irp = IoAllocateIrp(top->StackSize, FALSE); irp != nullptr) {
      IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_SHUTDOWN;
      IopCallAndFreeIrp(top, irp);
    }
    ObfDereferenceObject(entry->device);
    ExFreePoolWithTag(entry, 'hSoI');
  }
}

}  // namespace

// The registry is written before the file systems hear of the shutdown, and once more if a driver changed it
// then.
extern "C" VOID IoShutdownSystem() {
  CmFlushHives();
  NotifyAll(&g_first);
  CmFlushHives();
  po::ShutDownDevices();
  NotifyAll(&g_last);
}

/// Asks for an IRP_MJ_SHUTDOWN when the system goes down, before the registry and the file systems are
/// written out.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoRegisterShutdownNotification.
NT_EXPORT(IoRegisterShutdownNotification, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI IoRegisterShutdownNotification(PDEVICE_OBJECT DeviceObject) {
  return Register(DeviceObject, &g_first);
}

/// The same, after them.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoRegisterLastChanceShutdownNotification.
NT_EXPORT(IoRegisterLastChanceShutdownNotification, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI IoRegisterLastChanceShutdownNotification(PDEVICE_OBJECT DeviceObject) {
  return Register(DeviceObject, &g_last);
}

/// Takes the registrations of a device back.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoUnregisterShutdownNotification.
NT_EXPORT(IoUnregisterShutdownNotification, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoUnregisterShutdownNotification(PDEVICE_OBJECT DeviceObject) {
  LIST_ENTRY* const lists[] = {&g_first, &g_last};
  for (LIST_ENTRY* list : lists) {
    while (Registration* entry = Take(list, DeviceObject)) {
      ObfDereferenceObject(DeviceObject);
      ExFreePoolWithTag(entry, 'hSoI');
    }
  }
  DeviceObject->Flags &= ~DO_SHUTDOWN_REGISTERED;
}
