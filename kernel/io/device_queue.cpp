// Device queues.
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
  ke::SpinGuard guard(&DeviceQueue->Lock);
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
  ke::SpinGuard guard(&DeviceQueue->Lock);
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
  ke::SpinGuard guard(&DeviceQueue->Lock);
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
  ke::SpinGuard guard(&DeviceQueue->Lock);
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
  ke::SpinGuard guard(&DeviceQueue->Lock);
  if (!DeviceQueueEntry->Inserted) return FALSE;
  RemoveEntryList(&DeviceQueueEntry->DeviceListEntry);
  DeviceQueueEntry->Inserted = FALSE;
  return TRUE;
}
