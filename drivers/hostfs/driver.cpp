// hostfs.sys: the machine's C: drive is a folder of the host, reached through QEMU's 9P server. A file-system
// driver on the public WDM and IFS interfaces alone. All dispatch code is pageable, as in the file systems of
// Windows.
#include "volume.h"

namespace hostfs {
namespace {

constexpr WCHAR kDeviceName[] = L"\\Device\\HostFsVolume";
constexpr WCHAR kDriveName[] = L"\\DosDevices\\C:";

struct DeviceExtension {
  Volume volume;
};

}  // namespace

#pragma code_seg("PAGE")

Volume* VolumeOf(PDEVICE_OBJECT device) {
  auto* extension = static_cast<DeviceExtension*>(device->DeviceExtension);
  return extension != nullptr ? &extension->volume : nullptr;
}

NTSTATUS Complete(PIRP irp, NTSTATUS status, ULONG_PTR information) {
  irp->IoStatus.Status = status;
  irp->IoStatus.Information = NT_ERROR(status) ? 0 : information;
  IoCompleteRequest(irp, IO_DISK_INCREMENT);
  return status;
}

// MmProbeAndLockPages reports by an exception.
static NTSTATUS LockMdl(PMDL mdl, KPROCESSOR_MODE mode, LOCK_OPERATION operation) {
  __try {
    MmProbeAndLockPages(mdl, mode, operation);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return static_cast<NTSTATUS>(_exception_code());
  }
  return STATUS_SUCCESS;
}

NTSTATUS HoldBuffer(PIRP irp, ULONG length, LOCK_OPERATION operation, HeldBuffer* buffer) {
  *buffer = {irp->AssociatedIrp.SystemBuffer, nullptr};
  if (buffer->address == nullptr && irp->MdlAddress != nullptr) {
    buffer->address = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
  }
  if (buffer->address != nullptr) return STATUS_SUCCESS;
  if (irp->UserBuffer == nullptr || length == 0) {
    buffer->address = irp->UserBuffer;
    return irp->UserBuffer != nullptr ? STATUS_SUCCESS : STATUS_INVALID_USER_BUFFER;
  }
  buffer->mdl = IoAllocateMdl(irp->UserBuffer, length, FALSE, FALSE, nullptr);
  if (buffer->mdl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  NTSTATUS status = LockMdl(buffer->mdl, irp->RequestorMode, operation);
  if (NT_SUCCESS(status)) {
    // System addresses show the locked pages in every process; a program's do so only to that program.
    buffer->address = irp->UserBuffer >= MmSystemRangeStart
                          ? irp->UserBuffer
                          : MmGetSystemAddressForMdlSafe(buffer->mdl, NormalPagePriority);
    if (buffer->address != nullptr) return STATUS_SUCCESS;
    MmUnlockPages(buffer->mdl);
    status = STATUS_INSUFFICIENT_RESOURCES;
  }
  IoFreeMdl(buffer->mdl);
  *buffer = {};
  return status;
}

void ReleaseBuffer(HeldBuffer* buffer) {
  if (buffer->mdl == nullptr) return;
  MmUnlockPages(buffer->mdl);
  IoFreeMdl(buffer->mdl);
  *buffer = {};
}

NTSTATUS KeepBuffer(PIRP irp, ULONG length, LOCK_OPERATION operation) {
  const bool has_none = irp->UserBuffer == nullptr || length == 0;
  if (has_none || irp->AssociatedIrp.SystemBuffer != nullptr || irp->MdlAddress != nullptr)
    return STATUS_SUCCESS;
  PMDL mdl = IoAllocateMdl(irp->UserBuffer, length, FALSE, FALSE, irp);
  if (mdl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  const NTSTATUS status = LockMdl(mdl, irp->RequestorMode, operation);
  if (NT_SUCCESS(status)) return STATUS_SUCCESS;
  irp->MdlAddress = nullptr;
  IoFreeMdl(mdl);
  return status;
}

NTSTATUS NTAPI HostFsShutdown(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  NTSTATUS status = STATUS_SUCCESS;
  if (volume != nullptr) {
    volume->Lock();
    status = volume->FlushAll();
    volume->Unlock();
  }
  return Complete(irp, status, 0);
}

NTSTATUS NTAPI HostFsUnsupported(PDEVICE_OBJECT, PIRP irp) {
  return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}

NTSTATUS NTAPI HostFsNoExtendedAttributes(PDEVICE_OBJECT, PIRP irp) {
  return Complete(irp, STATUS_EAS_NOT_SUPPORTED, 0);
}

// No file is open when a driver is unloaded, so there is nothing left to write.
static VOID NTAPI HostFsUnload(PDRIVER_OBJECT driver) {
  UNICODE_STRING drive;
  RtlInitUnicodeString(&drive, kDriveName);
  IoDeleteSymbolicLink(&drive);
  PDEVICE_OBJECT device = driver->DeviceObject;
  if (device == nullptr) return;
  IoUnregisterFileSystem(device);
  VolumeOf(device)->Dismount();
  IoUnregisterShutdownNotification(device);
  IoDeleteDevice(device);
}

static FAST_IO_DISPATCH g_fast_io;

#pragma code_seg("INIT")

static void SetDispatch(PDRIVER_OBJECT driver) {
  g_fast_io.SizeOfFastIoDispatch = sizeof(g_fast_io);
  g_fast_io.FastIoWrite = HostFsFastWrite;
  driver->FastIoDispatch = &g_fast_io;
  for (ULONG i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; ++i) driver->MajorFunction[i] = HostFsUnsupported;
  driver->MajorFunction[IRP_MJ_CREATE] = HostFsCreate;
  driver->MajorFunction[IRP_MJ_CLEANUP] = HostFsCleanup;
  driver->MajorFunction[IRP_MJ_CLOSE] = HostFsClose;
  driver->MajorFunction[IRP_MJ_READ] = HostFsRead;
  driver->MajorFunction[IRP_MJ_WRITE] = HostFsWrite;
  driver->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = HostFsFlushBuffers;
  driver->MajorFunction[IRP_MJ_LOCK_CONTROL] = HostFsLockControl;
  driver->MajorFunction[IRP_MJ_QUERY_INFORMATION] = HostFsQueryInformation;
  driver->MajorFunction[IRP_MJ_SET_INFORMATION] = HostFsSetInformation;
  driver->MajorFunction[IRP_MJ_DIRECTORY_CONTROL] = HostFsDirectoryControl;
  driver->MajorFunction[IRP_MJ_QUERY_VOLUME_INFORMATION] = HostFsQueryVolumeInformation;
  driver->MajorFunction[IRP_MJ_FILE_SYSTEM_CONTROL] = HostFsFileSystemControl;
  driver->MajorFunction[IRP_MJ_QUERY_EA] = HostFsNoExtendedAttributes;
  driver->MajorFunction[IRP_MJ_SET_EA] = HostFsNoExtendedAttributes;
  driver->MajorFunction[IRP_MJ_SHUTDOWN] = HostFsShutdown;
  driver->DriverUnload = HostFsUnload;
}

// Where the virtio slots' interrupts are, as the machine's firmware would tell.
static NTSTATUS ReadFirstLine(PUNICODE_STRING registry_path, PULONG line) {
  RTL_QUERY_REGISTRY_TABLE query[2] = {};
  query[0].Flags = RTL_QUERY_REGISTRY_DIRECT | RTL_QUERY_REGISTRY_REQUIRED;
  query[0].Name = const_cast<PWSTR>(L"FirstInterruptLine");
  query[0].EntryContext = line;
  return RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, registry_path->Buffer, query, nullptr, nullptr);
}

extern "C" NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path) {
  UNICODE_STRING name;
  UNICODE_STRING drive;
  RtlInitUnicodeString(&name, kDeviceName);
  RtlInitUnicodeString(&drive, kDriveName);
  PDEVICE_OBJECT device = nullptr;
  NTSTATUS status =
      IoCreateDevice(driver, sizeof(DeviceExtension), &name, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &device);
  if (!NT_SUCCESS(status)) return status;
  SetDispatch(driver);
  auto* volume = &static_cast<DeviceExtension*>(device->DeviceExtension)->volume;
  ULONG first_line;
  status = ReadFirstLine(registry_path, &first_line);
  if (NT_SUCCESS(status)) status = volume->Mount(first_line);
  if (NT_SUCCESS(status)) {
    status = IoRegisterShutdownNotification(device);
    if (NT_SUCCESS(status)) {
      status = IoCreateSymbolicLink(&drive, &name);
      if (!NT_SUCCESS(status)) IoUnregisterShutdownNotification(device);
    }
    if (!NT_SUCCESS(status)) volume->Dismount();
  }
  if (!NT_SUCCESS(status)) {
    DbgPrint("hostfs: no C: drive: %08lX\n", status);
    IoDeleteDevice(device);
    return status;
  }
  device->Flags &= ~static_cast<ULONG>(DO_DEVICE_INITIALIZING);
  // The control device is the volume: a filter that attaches to it sees every request for C:. It mounts
  // nothing else, so it is asked last.
  device->Flags |= DO_LOW_PRIORITY_FILESYSTEM;
  IoRegisterFileSystem(device);
  return STATUS_SUCCESS;
}

}  // namespace hostfs
