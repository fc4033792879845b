// Device queues and the StartIo model on top of them.
#include "io_internal.h"
#include "nt/export.h"

/// Prepares a device queue: empty, not busy.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeDeviceQueue.
NT_EXPORT(KeInitializeDeviceQueue, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI KeInitializeDeviceQueue(PKDEVICE_QUEUE DeviceQueue) {
  RtlZeroMemory(DeviceQueue, sizeof(*DeviceQueue));
  DeviceQueue->Type = 20;  // DeviceQueueObject
  DeviceQueue->Size = sizeof(KDEVICE_QUEUE);
  InitializeListHead(&DeviceQueue->DeviceListHead);
  KeInitializeSpinLock(&DeviceQueue->Lock);
}

/// Enters an entry at the end of a busy queue; FALSE if the queue was not busy, which it is from then on.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeInsertDeviceQueue.
NT_EXPORT(KeInsertDeviceQueue, nt::Exactly(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" BOOLEAN NTAPI KeInsertDeviceQueue(PKDEVICE_QUEUE DeviceQueue,
                                             PKDEVICE_QUEUE_ENTRY DeviceQueueEntry) {
  ob::SpinGuard guard(&DeviceQueue->Lock);
  DeviceQueueEntry->Inserted = DeviceQueue->Busy;
  if (DeviceQueue->Busy) InsertTailList(&DeviceQueue->DeviceListHead, &DeviceQueueEntry->DeviceListEntry);
  DeviceQueue->Busy = TRUE;
  return DeviceQueueEntry->Inserted;
}

/// Enters an entry in the order of keys.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeInsertByKeyDeviceQueue.
NT_EXPORT(KeInsertByKeyDeviceQueue, nt::Exactly(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" BOOLEAN NTAPI KeInsertByKeyDeviceQueue(PKDEVICE_QUEUE DeviceQueue,
                                                  PKDEVICE_QUEUE_ENTRY DeviceQueueEntry, ULONG SortKey) {
  ob::SpinGuard guard(&DeviceQueue->Lock);
  DeviceQueueEntry->SortKey = SortKey;
  DeviceQueueEntry->Inserted = DeviceQueue->Busy;
  if (DeviceQueue->Busy) {
    PLIST_ENTRY before = DeviceQueue->DeviceListHead.Blink;
    while (before != &DeviceQueue->DeviceListHead &&
           CONTAINING_RECORD(before, KDEVICE_QUEUE_ENTRY, DeviceListEntry)->SortKey > SortKey) {
      before = before->Blink;
    }
    InsertHeadList(before, &DeviceQueueEntry->DeviceListEntry);
  }
  DeviceQueue->Busy = TRUE;
  return DeviceQueueEntry->Inserted;
}

/// Takes the first entry; 0 if there is none, and the queue is not busy any more.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeRemoveDeviceQueue.
NT_EXPORT(KeRemoveDeviceQueue, nt::Exactly(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" PKDEVICE_QUEUE_ENTRY NTAPI KeRemoveDeviceQueue(PKDEVICE_QUEUE DeviceQueue) {
  ob::SpinGuard guard(&DeviceQueue->Lock);
  if (IsListEmpty(&DeviceQueue->DeviceListHead)) {
    DeviceQueue->Busy = FALSE;
    return nullptr;
  }
  auto* entry =
      CONTAINING_RECORD(RemoveHeadList(&DeviceQueue->DeviceListHead), KDEVICE_QUEUE_ENTRY, DeviceListEntry);
  entry->Inserted = FALSE;
  return entry;
}

/// Takes the first entry whose key is at least SortKey, else the first.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeRemoveByKeyDeviceQueue.
NT_EXPORT(KeRemoveByKeyDeviceQueue, nt::Exactly(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" PKDEVICE_QUEUE_ENTRY NTAPI KeRemoveByKeyDeviceQueue(PKDEVICE_QUEUE DeviceQueue, ULONG SortKey) {
  ob::SpinGuard guard(&DeviceQueue->Lock);
  PLIST_ENTRY head = &DeviceQueue->DeviceListHead;
  if (IsListEmpty(head)) {
    DeviceQueue->Busy = FALSE;
    return nullptr;
  }
  PLIST_ENTRY link = head->Flink;
  while (link != head && CONTAINING_RECORD(link, KDEVICE_QUEUE_ENTRY, DeviceListEntry)->SortKey < SortKey)
    link = link->Flink;
  if (link == head) link = head->Flink;
  RemoveEntryList(link);
  auto* entry = CONTAINING_RECORD(link, KDEVICE_QUEUE_ENTRY, DeviceListEntry);
  entry->Inserted = FALSE;
  return entry;
}

/// Takes an entry out of a queue if it is in it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeRemoveEntryDeviceQueue.
NT_EXPORT(KeRemoveEntryDeviceQueue, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" BOOLEAN NTAPI KeRemoveEntryDeviceQueue(PKDEVICE_QUEUE DeviceQueue,
                                                  PKDEVICE_QUEUE_ENTRY DeviceQueueEntry) {
  ob::SpinGuard guard(&DeviceQueue->Lock);
  if (!DeviceQueueEntry->Inserted) return FALSE;
  RemoveEntryList(&DeviceQueueEntry->DeviceListEntry);
  DeviceQueueEntry->Inserted = FALSE;
  return TRUE;
}

/// Has the driver's StartIo routine handle an IRP, now or after those before it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoStartPacket.
NT_EXPORT(IoStartPacket, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoStartPacket(PDEVICE_OBJECT DeviceObject, PIRP Irp, PULONG Key,
                                    PDRIVER_CANCEL CancelFunction) {
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  KIRQL cancel_irql = irql;
  if (CancelFunction != nullptr) {
    IoAcquireCancelSpinLock(&cancel_irql);
    IoSetCancelRoutine(Irp, CancelFunction);
  }
  PKDEVICE_QUEUE_ENTRY entry = &Irp->Tail.Overlay.DeviceQueueEntry;
  const BOOLEAN queued = Key != nullptr ? KeInsertByKeyDeviceQueue(&DeviceObject->DeviceQueue, entry, *Key)
                                        : KeInsertDeviceQueue(&DeviceObject->DeviceQueue, entry);
  if (!queued) DeviceObject->CurrentIrp = Irp;
  if (CancelFunction != nullptr) IoReleaseCancelSpinLock(cancel_irql);
  if (!queued) DeviceObject->DriverObject->DriverStartIo(DeviceObject, Irp);
  KeLowerIrql(irql);
}

/// Has StartIo handle the next IRP of the queue, if there is one.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoStartNextPacket.
NT_EXPORT(IoStartNextPacket, nt::Exactly(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoStartNextPacket(PDEVICE_OBJECT DeviceObject, BOOLEAN Cancelable) {
  KIRQL irql = 0;
  if (Cancelable) IoAcquireCancelSpinLock(&irql);
  DeviceObject->CurrentIrp = nullptr;
  PKDEVICE_QUEUE_ENTRY entry = KeRemoveDeviceQueue(&DeviceObject->DeviceQueue);
  PIRP irp = entry != nullptr ? CONTAINING_RECORD(entry, IRP, Tail.Overlay.DeviceQueueEntry) : nullptr;
  DeviceObject->CurrentIrp = irp;
  if (Cancelable) IoReleaseCancelSpinLock(irql);
  if (irp != nullptr) DeviceObject->DriverObject->DriverStartIo(DeviceObject, irp);
}
