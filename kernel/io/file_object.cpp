// File objects: the lock of synchronous files, cleanup and close, names.
#include "io_internal.h"
#include "nt/export.h"
#include "volume_mount.h"

extern "C" NTSTATUS IopAcquireFileObjectLock(PFILE_OBJECT FileObject) {
  if (InterlockedExchange(reinterpret_cast<volatile LONG*>(&FileObject->Busy), 1) == 0) {
    ObfReferenceObject(FileObject);
    return STATUS_SUCCESS;
  }
  InterlockedIncrement(reinterpret_cast<volatile LONG*>(&FileObject->Waiters));
  NTSTATUS status = STATUS_SUCCESS;
  while (InterlockedExchange(reinterpret_cast<volatile LONG*>(&FileObject->Busy), 1) != 0) {
    const BOOLEAN alertable = (FileObject->Flags & FO_ALERTABLE_IO) != 0;
    status = KeWaitForSingleObject(&FileObject->Lock, Executive, KernelMode, alertable, nullptr);
    if (status == STATUS_ALERTED || status == STATUS_USER_APC) break;
  }
  InterlockedDecrement(reinterpret_cast<volatile LONG*>(&FileObject->Waiters));
  if (status == STATUS_ALERTED || status == STATUS_USER_APC) return status;
  ObfReferenceObject(FileObject);
  return STATUS_SUCCESS;
}

extern "C" VOID IopReleaseFileObjectLock(PFILE_OBJECT FileObject) {
  InterlockedExchange(reinterpret_cast<volatile LONG*>(&FileObject->Busy), 0);
  if (FileObject->Waiters != 0) KeSetEvent(&FileObject->Lock, IO_NO_INCREMENT, FALSE);
  ObfDereferenceObject(FileObject);
}

namespace {

void SendFileRequest(PFILE_OBJECT file, UCHAR major) {
  PDEVICE_OBJECT device = (file->Flags & FO_DIRECT_DEVICE_OPEN) ? IoGetAttachedDevice(file->DeviceObject)
                                                                : IoGetRelatedDeviceObject(file);
  PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
  if (irp == nullptr) {
    // The file system must hear of it: wait for memory.
    LARGE_INTEGER pause;
    pause.QuadPart = -1'000'000;
    do {
      KeDelayExecutionThread(KernelMode, FALSE, &pause);
      irp = IoAllocateIrp(device->StackSize, FALSE);
    } while (irp == nullptr);
  }
  irp->Tail.Overlay.OriginalFileObject = file;
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = major;
  stack->FileObject = file;
  IopCallAndFreeIrp(device, irp);
}

}  // namespace

// A handle closed: with the last one the file system cleans up.
extern "C" VOID NTAPI IopCloseFile(PEPROCESS, PVOID Object, ULONG_PTR, ULONG_PTR SystemHandleCount) {
  auto* file = static_cast<PFILE_OBJECT>(Object);
  if (SystemHandleCount != 1 || file->DeviceObject == nullptr) return;
  file->Flags |= FO_HANDLE_CREATED;
  const bool synchronous = (file->Flags & FO_SYNCHRONOUS_IO) != 0;
  if (synchronous) IopAcquireFileObjectLock(file);
  SendFileRequest(file, IRP_MJ_CLEANUP);
  file->Flags |= FO_CLEANUP_COMPLETE;
  if (synchronous) IopReleaseFileObjectLock(file);
}

// The last reference is gone.
extern "C" VOID NTAPI IopDeleteFile(PVOID Object) {
  auto* file = static_cast<PFILE_OBJECT>(Object);
  if (PDEVICE_OBJECT device = file->DeviceObject; device != nullptr) {
    // The IRP refers to an object without references: dispatch routines must not keep it, as on Windows.
    if (file->Flags & FO_FILE_OPEN) SendFileRequest(file, IRP_MJ_CLOSE);
    if (file->Vpb != nullptr) io::DereferenceVpb(file->Vpb);
    IopDecrementDeviceObjectRef(device);
  }
  if (file->FileName.Buffer != nullptr) ExFreePool(file->FileName.Buffer);
  if (file->FileObjectExtension != nullptr) ExFreePoolWithTag(file->FileObjectExtension, kFileTag);
}

extern "C" NTSTATUS NTAPI IopQueryFileName(PVOID Object, BOOLEAN, PUNICODE_STRING Prefix,
                                           PUNICODE_STRING Remaining) {
  auto* file = static_cast<PFILE_OBJECT>(Object);
  Prefix->Buffer = reinterpret_cast<PWCH>(file->DeviceObject);  // ob: the name begins with the device's
  *Remaining = file->FileName;
  return STATUS_SUCCESS;
}
