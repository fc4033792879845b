// Querying and setting facts of volumes.
#include "information_classes.h"
#include "io_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "user_mode.h"

namespace {

NTSTATUS AnswerDevice(io::FileService* service, PVOID buffer, PIO_STATUS_BLOCK iosb) {
  FILE_FS_DEVICE_INFORMATION information;
  const PDEVICE_OBJECT device = service->file->DeviceObject;
  information.DeviceType =
      device->DeviceType == FILE_DEVICE_DISK_FILE_SYSTEM ? FILE_DEVICE_DISK : device->DeviceType;
  information.Characteristics = device->Characteristics;
  const NTSTATUS status = io::CopyToCaller(buffer, &information, sizeof(information));
  if (!NT_SUCCESS(status)) return io::AbandonService(service, status);
  return io::FinishWithoutIrp(service, iosb, {{STATUS_SUCCESS}, sizeof(information)});
}

// Whether a driver named by the caller is in the volume's storage stack.
NTSTATUS AnswerDriverPath(io::FileService* service, PVOID buffer, ULONG length, PIO_STATUS_BLOCK iosb) {
  constexpr ULONG kFixed = FIELD_OFFSET(FILE_FS_DRIVER_PATH_INFORMATION, DriverName);
  io::CapturedBuffer captured;
  NTSTATUS status = captured.Capture(buffer, length);
  auto* path = static_cast<PFILE_FS_DRIVER_PATH_INFORMATION>(captured.get());
  if (NT_SUCCESS(status) && path->DriverNameLength > length - kFixed) status = STATUS_INVALID_PARAMETER;
  if (!NT_SUCCESS(status)) return io::AbandonService(service, status);
  const auto bytes = static_cast<USHORT>(path->DriverNameLength);
  const UNICODE_STRING name = {bytes, bytes, path->DriverName};
  path->DriverInPath = FALSE;
  PDEVICE_OBJECT base = service->file->DeviceObject;
  for (PDEVICE_OBJECT device = IoGetAttachedDeviceReference(base); device != nullptr;) {
    if (RtlEqualUnicodeString(&device->DriverObject->DriverName, &name, TRUE)) path->DriverInPath = TRUE;
    PDEVICE_OBJECT lower = IoGetLowerDeviceObject(device);
    ObfDereferenceObject(device);
    device = lower;
  }
  status = io::CopyToCaller(buffer, path, sizeof(path->DriverInPath));
  if (!NT_SUCCESS(status)) return io::AbandonService(service, status);
  return io::FinishWithoutIrp(service, iosb, {{STATUS_SUCCESS}, sizeof(path->DriverInPath)});
}

}  // namespace

/// Facts of the volume of an open file; see ZwQueryVolumeInformationFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtQueryVolumeInformationFile.
NT_EXPORT(NtQueryVolumeInformationFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoInformation.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtQueryVolumeInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FsInformation,
                             ULONG Length, FS_INFORMATION_CLASS FsInformationClass) {
  const io::ClassRule rule = io::VolumeQueryRule(FsInformationClass);
  NTSTATUS status = io::CheckQuery(rule, IoStatusBlock, FsInformation, Length);
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(rule, FileHandle, &service);
  if (status != STATUS_SUCCESS) return status;
  if (FsInformationClass == FileFsDeviceInformation)
    return AnswerDevice(&service, FsInformation, IoStatusBlock);
  if (FsInformationClass == FileFsDriverPathInformation)
    return AnswerDriverPath(&service, FsInformation, Length, IoStatusBlock);
  PIO_STACK_LOCATION stack =
      io::PrepareIrp(&service, IoStatusBlock, nullptr, nullptr, IRP_MJ_QUERY_VOLUME_INFORMATION);
  if (stack == nullptr) return io::AbandonService(&service, STATUS_INSUFFICIENT_RESOURCES);
  stack->Parameters.QueryVolume.Length = Length;
  stack->Parameters.QueryVolume.FsInformationClass = FsInformationClass;
  return io::FinishService(&service, io::AttachOutput(&service, FsInformation, Length));
}

/// Facts of the volume of an open file.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwQueryVolumeInformationFile.
NT_EXPORT(ZwQueryVolumeInformationFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoInformation.*");
extern "C" NTSTATUS NTAPI ZwQueryVolumeInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock,
                                                       PVOID FsInformation, ULONG Length,
                                                       FS_INFORMATION_CLASS FsInformationClass) {
  return ke::CallService(NtQueryVolumeInformationFile, FileHandle, IoStatusBlock, FsInformation, Length,
                         FsInformationClass);
}

/// Changes facts of a volume; see ZwSetVolumeInformationFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtSetVolumeInformationFile.
NT_EXPORT(NtSetVolumeInformationFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoInformation.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtSetVolumeInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FsInformation,
                           ULONG Length, FS_INFORMATION_CLASS FsInformationClass) {
  const io::ClassRule rule = io::VolumeSetRule(FsInformationClass);
  io::CapturedBuffer captured;
  NTSTATUS status = io::CheckSet(rule, IoStatusBlock, FsInformation, Length, &captured);
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(rule, FileHandle, &service);
  if (status != STATUS_SUCCESS) return status;
  PIO_STACK_LOCATION stack =
      io::PrepareIrp(&service, IoStatusBlock, nullptr, nullptr, IRP_MJ_SET_VOLUME_INFORMATION);
  if (stack == nullptr) return io::AbandonService(&service, STATUS_INSUFFICIENT_RESOURCES);
  stack->Parameters.SetVolume.Length = Length;
  stack->Parameters.SetVolume.FsInformationClass = FsInformationClass;
  io::AttachInput(&service, captured.Take());
  return io::FinishService(&service, STATUS_SUCCESS);
}

/// Changes facts of a volume: label, quota control, object identifier.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwSetVolumeInformationFile.
NT_EXPORT(ZwSetVolumeInformationFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoInformation.*");
extern "C" NTSTATUS NTAPI ZwSetVolumeInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock,
                                                     PVOID FsInformation, ULONG Length,
                                                     FS_INFORMATION_CLASS FsInformationClass) {
  return ke::CallService(NtSetVolumeInformationFile, FileHandle, IoStatusBlock, FsInformation, Length,
                         FsInformationClass);
}
