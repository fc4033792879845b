// The common end of the file services: send the request, wait where the file is synchronous, return the
// result.
#include "io_internal.h"
#include "user_mode.h"

namespace {

// Waits for a request that is pending on a synchronous file.
NTSTATUS AwaitSynchronous(PFILE_OBJECT file) {
  const BOOLEAN alertable = (file->Flags & FO_ALERTABLE_IO) != 0;
  NTSTATUS status = KeWaitForSingleObject(&file->Event, Executive, KernelMode, alertable, nullptr);
  if (status == STATUS_ALERTED || status == STATUS_USER_APC) {
    // The request itself goes on; its result is waited for without interruption.
    KeWaitForSingleObject(&file->Event, Executive, KernelMode, FALSE, nullptr);
  }
  return file->FinalStatus;
}

}  // namespace

extern "C" NTSTATUS IopSynchronousServiceTail(PDEVICE_OBJECT DeviceObject, PIRP Irp, PFILE_OBJECT FileObject,
                                              BOOLEAN DeferredCompletion, KPROCESSOR_MODE,
                                              BOOLEAN SynchronousIo) {
  if (DeferredCompletion) Irp->Flags |= IRP_DEFER_IO_COMPLETION;
  ObfReferenceObject(FileObject);  // ours, while IopCompleteRequest gives the request's back
  IopQueueThreadIrp(Irp);
  NTSTATUS status = IofCallDriver(DeviceObject, Irp);
  if (DeferredCompletion && status != STATUS_PENDING) IopCompleteRequest(Irp, FileObject);
  if (SynchronousIo) {
    if (status == STATUS_PENDING) status = AwaitSynchronous(FileObject);
    IopReleaseFileObjectLock(FileObject);
  }
  ObfDereferenceObject(FileObject);
  return status;
}

namespace io {

void AbandonService(FileService* service) {
  if (service->irp != nullptr) {
    if (service->irp->Flags & IRP_DEALLOCATE_BUFFER) ExFreePool(service->irp->AssociatedIrp.SystemBuffer);
    if (service->irp->MdlAddress != nullptr) IoFreeMdl(service->irp->MdlAddress);
    if (service->irp->Tail.Overlay.AuxiliaryBuffer != nullptr)
      ExFreePoolWithTag(service->irp->Tail.Overlay.AuxiliaryBuffer, kNameTag);
    IoFreeIrp(service->irp);
  }
  if (service->synchronous) IopReleaseFileObjectLock(service->file);
  if (service->event != nullptr) ObfDereferenceObject(service->event);
  if (service->file != nullptr) ObfDereferenceObject(service->file);
}

NTSTATUS BeginService(HANDLE handle, HANDLE event, FileService* service) {
  PVOID object;
  const auto mode = static_cast<KPROCESSOR_MODE>(KeGetCurrentThread()->PreviousMode);
  NTSTATUS status = ob::ReferenceHandle(handle, IoFileObjectType, &object, &service->granted, mode);
  if (!NT_SUCCESS(status)) return status;
  service->file = static_cast<PFILE_OBJECT>(object);
  if (event != nullptr) {
    status = ob::ReferenceHandle(event, ExEventObjectType, &object, nullptr, mode);
    if (!NT_SUCCESS(status)) {
      AbandonService(service);
      return status;
    }
    service->event = static_cast<PKEVENT>(object);
    KeClearEvent(service->event);
  }
  if (service->file->Flags & FO_SYNCHRONOUS_IO) {
    status = IopAcquireFileObjectLock(service->file);
    if (status != STATUS_SUCCESS) {
      AbandonService(service);
      return status;
    }
    service->synchronous = true;
  }
  service->device = IoGetRelatedDeviceObject(service->file);
  return STATUS_SUCCESS;
}

NTSTATUS FinishWithoutIrp(FileService* service, PIO_STATUS_BLOCK iosb, const IO_STATUS_BLOCK& result,
                          ULONG flags) {
  CountRequest(flags, result.Information);
  NTSTATUS status = CopyToCaller(iosb, &result, sizeof(result));
  if (NT_SUCCESS(status)) status = result.Status;
  if (service->event != nullptr) KeSetEvent(service->event, IO_NO_INCREMENT, FALSE);
  return AbandonService(service, status);
}

PIO_STACK_LOCATION PrepareIrp(FileService* service, PIO_STATUS_BLOCK iosb, PIO_APC_ROUTINE apc,
                              PVOID apc_context, UCHAR major) {
  PIRP irp = IoAllocateIrp(service->device->StackSize, FALSE);
  if (irp == nullptr) return nullptr;
  service->irp = irp;
  KeClearEvent(&service->file->Event);
  irp->Tail.Overlay.OriginalFileObject = service->file;
  irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  irp->RequestorMode = static_cast<KPROCESSOR_MODE>(KeGetCurrentThread()->PreviousMode);
  irp->UserIosb = iosb;
  irp->UserEvent = service->event;
  irp->Overlay.AsynchronousParameters.UserApcRoutine = apc;
  irp->Overlay.AsynchronousParameters.UserApcContext = apc_context;
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = major;
  stack->FileObject = service->file;
  const auto* extension = static_cast<const FileExtension*>(service->file->FileObjectExtension);
  if (extension != nullptr && extension->priority_hint != 0)
    IoSetIoPriorityHint(irp, static_cast<IO_PRIORITY_HINT>(extension->priority_hint - 1));
  return stack;
}

NTSTATUS AttachOutput(FileService* service, PVOID buffer, ULONG length) {
  if (length == 0) return STATUS_SUCCESS;
  PVOID system = ExAllocatePoolWithTag(NonPagedPoolNx, length, kBufferTag);
  if (system == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(system, length);
  AttachInput(service, system);
  service->irp->Flags |= IRP_INPUT_OPERATION;
  service->irp->UserBuffer = buffer;
  return STATUS_SUCCESS;
}

}  // namespace io
