// The StartIo model on top of a device's queue. A driver may ask that its routine is not called while it
// runs: then StartIoCount counts the call that runs and those that it asked for, which follow it one by one.
#include "io_internal.h"
#include "nt/export.h"

namespace {

PIRP IrpOf(PKDEVICE_QUEUE_ENTRY entry) {
  return entry != nullptr ? CONTAINING_RECORD(entry, IRP, Tail.Overlay.DeviceQueueEntry) : nullptr;
}

void StartNext(PDEVICE_OBJECT device, bool cancelable, bool by_key, ULONG key) {
  KIRQL irql = 0;
  if (cancelable) IoAcquireCancelSpinLock(&irql);
  device->CurrentIrp = nullptr;
  PIRP irp = IrpOf(by_key ? KeRemoveByKeyDeviceQueue(&device->DeviceQueue, key)
                          : KeRemoveDeviceQueue(&device->DeviceQueue));
  device->CurrentIrp = irp;
  const bool keep = (IopDeviceExtension(device)->StartIoFlags & kStartIoNonCancelable) != 0;
  if (irp != nullptr && cancelable && keep) IoSetCancelRoutine(irp, nullptr);
  if (cancelable) IoReleaseCancelSpinLock(irql);
  if (irp != nullptr) device->DriverObject->DriverStartIo(device, irp);
}

// The calls that were asked for while one was running; the caller's own call has ended.
void RunDeferred(PDEVICE_OBJECT device, bool cancelable) {
  PEXTENDED_DEVOBJ_EXTENSION extension = IopDeviceExtension(device);
  while (InterlockedDecrement(&extension->StartIoCount) != 0) {
    StartNext(device, cancelable, (extension->StartIoFlags & kStartIoByKey) != 0, extension->StartIoKey);
  }
}

void StartNextOrDefer(PDEVICE_OBJECT device, bool cancelable, bool by_key, ULONG key) {
  PEXTENDED_DEVOBJ_EXTENSION extension = IopDeviceExtension(device);
  if ((extension->StartIoFlags & kStartIoDeferred) == 0) return StartNext(device, cancelable, by_key, key);
  extension->StartIoKey = key;
  extension->StartIoFlags = (extension->StartIoFlags & ~kStartIoByKey) | (by_key ? kStartIoByKey : 0);
  if (InterlockedIncrement(&extension->StartIoCount) > 1) return;
  StartNext(device, cancelable, by_key, key);
  RunDeferred(device, cancelable);
}

}  // namespace

/// Has the driver's StartIo routine handle an IRP, now or after those before it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoStartPacket.
NT_EXPORT(IoStartPacket, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.* IoStartIo.*");
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
  PEXTENDED_DEVOBJ_EXTENSION extension = IopDeviceExtension(DeviceObject);
  const bool deferred = !queued && (extension->StartIoFlags & kStartIoDeferred) != 0;
  if (!queued) {
    DeviceObject->CurrentIrp = Irp;
    const bool keep = (extension->StartIoFlags & kStartIoNonCancelable) != 0;
    if (CancelFunction != nullptr && keep) IoSetCancelRoutine(Irp, nullptr);
  }
  if (CancelFunction != nullptr) IoReleaseCancelSpinLock(cancel_irql);
  if (deferred) InterlockedIncrement(&extension->StartIoCount);
  if (!queued) DeviceObject->DriverObject->DriverStartIo(DeviceObject, Irp);
  if (deferred) RunDeferred(DeviceObject, CancelFunction != nullptr);
  KeLowerIrql(irql);
}

/// Has StartIo handle the next IRP of the queue, if there is one.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoStartNextPacket.
NT_EXPORT(IoStartNextPacket, nt::Exactly(DISPATCH_LEVEL), Full, "KernelIo.* IoStartIo.*");
extern "C" VOID NTAPI IoStartNextPacket(PDEVICE_OBJECT DeviceObject, BOOLEAN Cancelable) {
  StartNextOrDefer(DeviceObject, Cancelable != FALSE, false, 0);
}

/// Has StartIo handle the IRP of the queue whose key is at least Key, else the first, if there is one.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoStartNextPacketByKey.
NT_EXPORT(IoStartNextPacketByKey, nt::AtMost(DISPATCH_LEVEL), Full, "IoStartIo.*");
extern "C" VOID NTAPI IoStartNextPacketByKey(PDEVICE_OBJECT DeviceObject, BOOLEAN Cancelable, ULONG Key) {
  StartNextOrDefer(DeviceObject, Cancelable != FALSE, true, Key);
}

/// Says how StartIo is to be called: not while it runs, and with requests that can no longer be cancelled.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/IoSetStartIoAttributes.
NT_EXPORT(IoSetStartIoAttributes, nt::AnyIrql(), Full, "IoStartIo.*");
extern "C" VOID NTAPI IoSetStartIoAttributes(PDEVICE_OBJECT DeviceObject, BOOLEAN DeferredStartIo,
                                             BOOLEAN NonCancelable) {
  IopDeviceExtension(DeviceObject)->StartIoFlags =
      (DeferredStartIo ? kStartIoDeferred : 0) | (NonCancelable ? kStartIoNonCancelable : 0);
}
