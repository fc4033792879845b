// Work items that keep their device (and so the driver's image) alive.
#include "io_internal.h"
#include "nt/export.h"

typedef struct _IO_WORKITEM {
  WORK_QUEUE_ITEM WorkItem;
  PVOID Routine;
  PVOID IoObject;
  PVOID Context;
  ULONG Type;  // 0: IO_WORKITEM_ROUTINE, 1: IO_WORKITEM_ROUTINE_EX
} IO_WORKITEM;

namespace {

VOID NTAPI ProcessWorkItem(PVOID parameter) {
  auto* item = static_cast<PIO_WORKITEM>(parameter);
  PVOID object = item->IoObject;
  PVOID context = item->Context;
  PVOID routine = item->Routine;
  // The routine may free the item.
  if (item->Type == 1) {
    reinterpret_cast<PIO_WORKITEM_ROUTINE_EX>(routine)(object, context, item);
  } else {
    reinterpret_cast<PIO_WORKITEM_ROUTINE>(routine)(static_cast<PDEVICE_OBJECT>(object), context);
  }
  ObfDereferenceObject(object);
}

void Queue(PIO_WORKITEM item, PVOID object, PVOID routine, ULONG type, WORK_QUEUE_TYPE queue, PVOID context) {
  ObfReferenceObject(object);
  item->Routine = routine;
  item->IoObject = object;
  item->Context = context;
  item->Type = type;
  ExInitializeWorkItem(&item->WorkItem, ProcessWorkItem, item);
  ExQueueWorkItem(&item->WorkItem, queue);
}

}  // namespace

/// A work item for a device; 0 without memory.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoAllocateWorkItem.
NT_EXPORT(IoAllocateWorkItem, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" PIO_WORKITEM NTAPI IoAllocateWorkItem(PDEVICE_OBJECT DeviceObject) {
  auto* item = static_cast<PIO_WORKITEM>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(IO_WORKITEM), 'tWoI'));
  if (item == nullptr) return nullptr;
  RtlZeroMemory(item, sizeof(*item));
  item->IoObject = DeviceObject;
  return item;
}

/// Frees a work item that is not queued.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoFreeWorkItem.
NT_EXPORT(IoFreeWorkItem, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoFreeWorkItem(PIO_WORKITEM IoWorkItem) {
  ExFreePoolWithTag(IoWorkItem, 'tWoI');
}

/// Has a system worker call the routine at PASSIVE_LEVEL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoQueueWorkItem.
NT_EXPORT(IoQueueWorkItem, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoQueueWorkItem(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE WorkerRoutine,
                                      WORK_QUEUE_TYPE QueueType, PVOID Context) {
  Queue(IoWorkItem, IoWorkItem->IoObject, reinterpret_cast<PVOID>(WorkerRoutine), 0, QueueType, Context);
}

/// The same; the routine gets the work item too.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoQueueWorkItemEx.
NT_EXPORT(IoQueueWorkItemEx, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoQueueWorkItemEx(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE_EX WorkerRoutine,
                                        WORK_QUEUE_TYPE QueueType, PVOID Context) {
  Queue(IoWorkItem, IoWorkItem->IoObject, reinterpret_cast<PVOID>(WorkerRoutine), 1, QueueType, Context);
}

/// The size of IO_WORKITEM, for drivers that allocate it themselves.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/IoSizeofWorkItem.
NT_EXPORT(IoSizeofWorkItem, nt::AnyIrql(), Full, "KernelIo.*");
extern "C" ULONG NTAPI IoSizeofWorkItem() {
  return sizeof(IO_WORKITEM);
}

/// Prepares a work item in memory of the driver, for a device or a driver object.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/IoInitializeWorkItem.
NT_EXPORT(IoInitializeWorkItem, nt::AnyIrql(), Full, "KernelIo.*");
extern "C" VOID NTAPI IoInitializeWorkItem(PVOID IoObject, PIO_WORKITEM IoWorkItem) {
  RtlZeroMemory(IoWorkItem, sizeof(*IoWorkItem));
  IoWorkItem->IoObject = IoObject;
}

/// Ends the use of a work item that IoInitializeWorkItem prepared.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/IoUninitializeWorkItem.
NT_EXPORT(IoUninitializeWorkItem, nt::AnyIrql(), Full, "KernelIo.*");
extern "C" VOID NTAPI IoUninitializeWorkItem(PIO_WORKITEM IoWorkItem) {
  IoWorkItem->IoObject = nullptr;
}
