// Work items that keep their device (and so the driver's image) alive.
#include "ex/work_item.h"
#include "io_internal.h"
#include "nt/export.h"

typedef struct _IO_WORKITEM {
  WORK_QUEUE_ITEM WorkItem;
  PVOID Routine;
  PVOID IoObject;
  PVOID Context;
  ULONG Type;  // 0: IO_WORKITEM_ROUTINE, 1: IO_WORKITEM_ROUTINE_EX
} IO_WORKITEM;

// The worker routine of every I/O work item. What the driver's routine leaves wrong is told with that
// routine, not with this one.
extern "C" VOID NTAPI IopProcessWorkItem(PVOID Parameter) {
  auto* item = static_cast<PIO_WORKITEM>(Parameter);
  PVOID object = item->IoObject;
  PVOID context = item->Context;
  PVOID routine = item->Routine;
  // The routine may free the item.
  if (item->Type == 1) {
    reinterpret_cast<PIO_WORKITEM_ROUTINE_EX>(routine)(object, context, item);
  } else {
    reinterpret_cast<PIO_WORKITEM_ROUTINE>(routine)(static_cast<PDEVICE_OBJECT>(object), context);
  }
  ex::CheckWorkerReturn(routine, context, item);
  ObfDereferenceObject(object);
}

namespace {

constexpr ULONG_PTR kQueuedTwice = 1, kQueuedAndFreed = 2, kInvalidObject = 3;  // WORKER_INVALID, parameter 1

// Only devices and drivers can be what a work item keeps.
void Prepare(PIO_WORKITEM item, PVOID object) {
  const CSHORT type = *static_cast<CSHORT*>(object);
  if (type != IO_TYPE_DEVICE && type != IO_TYPE_DRIVER) {
    KeBugCheckEx(WORKER_INVALID, kInvalidObject, reinterpret_cast<ULONG_PTR>(item),
                 reinterpret_cast<ULONG_PTR>(object), 0);
  }
  RtlZeroMemory(item, sizeof(*item));
  item->IoObject = object;
  ExInitializeWorkItem(&item->WorkItem, IopProcessWorkItem, item);
}

void CheckNotQueued(PIO_WORKITEM item) {
  if (item->WorkItem.List.Flink == nullptr) return;
  KeBugCheckEx(WORKER_INVALID, kQueuedAndFreed, reinterpret_cast<ULONG_PTR>(item),
               reinterpret_cast<ULONG_PTR>(item->Routine), 0);
}

void InsertClaimed(PIO_WORKITEM item, PVOID routine, ULONG type, WORK_QUEUE_TYPE queue, PVOID context) {
  ObfReferenceObject(item->IoObject);
  item->Routine = routine;
  item->Context = context;
  item->Type = type;
  ExpInsertWorkItem(&item->WorkItem, queue);
}

void Queue(PIO_WORKITEM item, PVOID routine, ULONG type, WORK_QUEUE_TYPE queue, PVOID context) {
  if (!ExpClaimWorkItem(&item->WorkItem)) {
    KeBugCheckEx(WORKER_INVALID, kQueuedTwice, reinterpret_cast<ULONG_PTR>(item), static_cast<ULONG>(queue),
                 0);
  }
  InsertClaimed(item, routine, type, queue, context);
}

}  // namespace

/// A work item for a device; 0 without memory.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoAllocateWorkItem.
NT_EXPORT(IoAllocateWorkItem, nt::AtMost(DISPATCH_LEVEL), Full, "IoWorkItem.*");
extern "C" PIO_WORKITEM NTAPI IoAllocateWorkItem(PDEVICE_OBJECT DeviceObject) {
  auto* item = static_cast<PIO_WORKITEM>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(IO_WORKITEM), 'tWoI'));
  if (item == nullptr) return nullptr;
  Prepare(item, DeviceObject);
  return item;
}

/// Frees a work item that is not queued.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoFreeWorkItem.
NT_EXPORT(IoFreeWorkItem, nt::AtMost(DISPATCH_LEVEL), Full, "IoWorkItem.*");
extern "C" VOID NTAPI IoFreeWorkItem(PIO_WORKITEM IoWorkItem) {
  CheckNotQueued(IoWorkItem);
  ExFreePoolWithTag(IoWorkItem, 'tWoI');
}

/// Has a system worker call the routine at PASSIVE_LEVEL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoQueueWorkItem.
NT_EXPORT(IoQueueWorkItem, nt::AtMost(DISPATCH_LEVEL), Full, "IoWorkItem.*");
extern "C" VOID NTAPI IoQueueWorkItem(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE WorkerRoutine,
                                      WORK_QUEUE_TYPE QueueType, PVOID Context) {
  Queue(IoWorkItem, reinterpret_cast<PVOID>(WorkerRoutine), 0, QueueType, Context);
}

/// The same; the routine gets the work item too.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoQueueWorkItemEx.
NT_EXPORT(IoQueueWorkItemEx, nt::AtMost(DISPATCH_LEVEL), Full, "IoWorkItem.*");
extern "C" VOID NTAPI IoQueueWorkItemEx(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE_EX WorkerRoutine,
                                        WORK_QUEUE_TYPE QueueType, PVOID Context) {
  Queue(IoWorkItem, reinterpret_cast<PVOID>(WorkerRoutine), 1, QueueType, Context);
}

/// As IoQueueWorkItemEx, but FALSE if the item is still queued.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoTryQueueWorkItem.
NT_EXPORT(IoTryQueueWorkItem, nt::AtMost(DISPATCH_LEVEL), Full, "IoWorkItem.*");
extern "C" BOOLEAN NTAPI IoTryQueueWorkItem(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE_EX WorkerRoutine,
                                            WORK_QUEUE_TYPE QueueType, PVOID Context) {
  if (!ExpClaimWorkItem(&IoWorkItem->WorkItem)) return FALSE;
  InsertClaimed(IoWorkItem, reinterpret_cast<PVOID>(WorkerRoutine), 1, QueueType, Context);
  return TRUE;
}

/// The size of IO_WORKITEM, for drivers that allocate it themselves.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/IoSizeofWorkItem.
NT_EXPORT(IoSizeofWorkItem, nt::AnyIrql(), Full, "IoWorkItem.*");
extern "C" ULONG NTAPI IoSizeofWorkItem() {
  return sizeof(IO_WORKITEM);
}

/// Prepares a work item in memory of the driver, for a device or a driver object.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/IoInitializeWorkItem.
NT_EXPORT(IoInitializeWorkItem, nt::AnyIrql(), Full, "IoWorkItem.*");
extern "C" VOID NTAPI IoInitializeWorkItem(PVOID IoObject, PIO_WORKITEM IoWorkItem) {
  Prepare(IoWorkItem, IoObject);
}

/// Ends the use of a work item that IoInitializeWorkItem prepared.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/IoUninitializeWorkItem.
NT_EXPORT(IoUninitializeWorkItem, nt::AnyIrql(), Full, "IoWorkItem.*");
extern "C" VOID NTAPI IoUninitializeWorkItem(PIO_WORKITEM IoWorkItem) {
  CheckNotQueued(IoWorkItem);
  IoWorkItem->IoObject = nullptr;
}
