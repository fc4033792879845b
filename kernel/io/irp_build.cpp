// IRPs that drivers build for requests of their own.
#include "io_internal.h"
#include "nt/export.h"

namespace {

// The data buffer of a read or write, as the device wants it: system buffer, MDL, or the address as it is.
NTSTATUS AttachBuffer(PIRP irp, PDEVICE_OBJECT device, PVOID buffer, ULONG length, bool write) {
  if (device->Flags & DO_BUFFERED_IO) {
    irp->AssociatedIrp.SystemBuffer = ExAllocatePoolWithTag(NonPagedPoolNx, length, kBufferTag);
    if (irp->AssociatedIrp.SystemBuffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
    if (write) {
      RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, buffer, length);
    } else {
      irp->Flags |= IRP_INPUT_OPERATION;
      irp->UserBuffer = buffer;
    }
  } else if (device->Flags & DO_DIRECT_IO) {
    PMDL mdl = IoAllocateMdl(buffer, length, FALSE, FALSE, irp);
    if (mdl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    MmProbeAndLockPages(mdl, KernelMode, write ? IoReadAccess : IoWriteAccess);
  } else {
    irp->UserBuffer = buffer;
  }
  return STATUS_SUCCESS;
}

PIRP BuildFsd(ULONG major, PDEVICE_OBJECT device, PVOID buffer, ULONG length, PLARGE_INTEGER offset,
              PIO_STATUS_BLOCK iosb) {
  PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
  if (irp == nullptr) return nullptr;
  irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  irp->UserIosb = iosb;
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = static_cast<UCHAR>(major);
  if (major != IRP_MJ_READ && major != IRP_MJ_WRITE) return irp;
  if (buffer != nullptr && !NT_SUCCESS(AttachBuffer(irp, device, buffer, length, major == IRP_MJ_WRITE))) {
    IoFreeIrp(irp);
    return nullptr;
  }
  irp->Flags |= major == IRP_MJ_READ ? IRP_READ_OPERATION : IRP_WRITE_OPERATION;
  stack->Parameters.Read.Length = length;  // Write's members lie at the same places
  if (offset != nullptr) stack->Parameters.Read.ByteOffset = *offset;
  return irp;
}

}  // namespace

/// An IRP for a read, write, flush, shutdown or PnP request that the caller sends and does not wait for; the
/// sender's completion routine frees it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoBuildAsynchronousFsdRequest.
NT_EXPORT(IoBuildAsynchronousFsdRequest, nt::AtMost(APC_LEVEL), Full, "KernelIo.*");
extern "C" PIRP NTAPI IoBuildAsynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject,
                                                    PVOID Buffer, ULONG Length, PLARGE_INTEGER StartingOffset,
                                                    PIO_STATUS_BLOCK IoStatusBlock) {
  return BuildFsd(MajorFunction, DeviceObject, Buffer, Length, StartingOffset, IoStatusBlock);
}

/// The same for a request that the caller waits for: the event is set when the I/O manager has completed and
/// freed it.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoBuildSynchronousFsdRequest.
NT_EXPORT(IoBuildSynchronousFsdRequest, nt::AtMost(APC_LEVEL), Full, "KernelIo.*");
extern "C" PIRP NTAPI IoBuildSynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject,
                                                   PVOID Buffer, ULONG Length, PLARGE_INTEGER StartingOffset,
                                                   PKEVENT Event, PIO_STATUS_BLOCK IoStatusBlock) {
  PIRP irp = BuildFsd(MajorFunction, DeviceObject, Buffer, Length, StartingOffset, IoStatusBlock);
  if (irp == nullptr) return nullptr;
  irp->UserEvent = Event;
  IopQueueThreadIrp(irp);
  return irp;
}

namespace {

NTSTATUS AttachControlBuffers(PIRP irp, ULONG code, PVOID input, ULONG input_length, PVOID output,
                              ULONG output_length) {
  const ULONG method = code & 3;
  if (method == METHOD_NEITHER) {
    irp->UserBuffer = output;
    IoGetNextIrpStackLocation(irp)->Parameters.DeviceIoControl.Type3InputBuffer = input;
    return STATUS_SUCCESS;
  }
  const ULONG system_length =
      method == METHOD_BUFFERED && output_length > input_length ? output_length : input_length;
  if (system_length != 0) {
    irp->AssociatedIrp.SystemBuffer = ExAllocatePoolWithTag(NonPagedPoolNx, system_length, kBufferTag);
    if (irp->AssociatedIrp.SystemBuffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    if (input != nullptr) RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, input, input_length);
    irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
  }
  if (method == METHOD_BUFFERED) {
    irp->UserBuffer = output;
    if (output != nullptr) irp->Flags |= IRP_INPUT_OPERATION;
    return STATUS_SUCCESS;
  }
  if (output == nullptr || output_length == 0) return STATUS_SUCCESS;
  PMDL mdl = IoAllocateMdl(output, output_length, FALSE, FALSE, irp);
  if (mdl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  MmProbeAndLockPages(mdl, KernelMode, method == METHOD_IN_DIRECT ? IoReadAccess : IoWriteAccess);
  return STATUS_SUCCESS;
}

}  // namespace

/// An IRP for a device control request that the caller waits for by an event; the I/O manager frees it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoBuildDeviceIoControlRequest.
NT_EXPORT(IoBuildDeviceIoControlRequest, nt::AtMost(APC_LEVEL), Full, "KernelIo.*");
extern "C" PIRP NTAPI IoBuildDeviceIoControlRequest(ULONG IoControlCode, PDEVICE_OBJECT DeviceObject,
                                                    PVOID InputBuffer, ULONG InputBufferLength,
                                                    PVOID OutputBuffer, ULONG OutputBufferLength,
                                                    BOOLEAN InternalDeviceIoControl, PKEVENT Event,
                                                    PIO_STATUS_BLOCK IoStatusBlock) {
  PIRP irp = IoAllocateIrp(DeviceObject->StackSize, FALSE);
  if (irp == nullptr) return nullptr;
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = InternalDeviceIoControl ? IRP_MJ_INTERNAL_DEVICE_CONTROL : IRP_MJ_DEVICE_CONTROL;
  stack->Parameters.DeviceIoControl.IoControlCode = IoControlCode;
  stack->Parameters.DeviceIoControl.InputBufferLength = InputBufferLength;
  stack->Parameters.DeviceIoControl.OutputBufferLength = OutputBufferLength;
  NTSTATUS status = AttachControlBuffers(irp, IoControlCode, InputBuffer, InputBufferLength, OutputBuffer,
                                         OutputBufferLength);
  if (!NT_SUCCESS(status)) {
    if (irp->Flags & IRP_DEALLOCATE_BUFFER) ExFreePool(irp->AssociatedIrp.SystemBuffer);
    IoFreeIrp(irp);
    return nullptr;
  }
  irp->UserIosb = IoStatusBlock;
  irp->UserEvent = Event;
  irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  IopQueueThreadIrp(irp);
  return irp;
}
