// What file systems tell of their volumes, and ask of the devices below.
#include <initguid.h>  // this file holds the GUIDs of <ioevent.h>

#include "fsrtl_internal.h"

#include <ioevent.h>
#include <mountdev.h>
#include <ntdddisk.h>
#include <ntddstor.h>

// In io: the PDO of the device below an open file, referenced. PASSIVE_LEVEL.
extern "C" NTSTATUS IoGetRelatedTargetDevice(PFILE_OBJECT FileObject, PDEVICE_OBJECT* DeviceObject);

namespace fsrtl {
namespace {

// Missing in mingw-w64's <ioevent.h>.
constexpr GUID kNeedChkdsk = {0x799a0960, 0x0a0b, 0x4e03, {0xad, 0x88, 0x2f, 0xa7, 0xc6, 0xce, 0x74, 0x8a}};
constexpr GUID kWormNearFull = {0xf3bfff82, 0xf3de, 0x48d2, {0xaf, 0x95, 0x45, 0x7f, 0x80, 0xb7, 0x63, 0xf2}};
constexpr GUID kWearingOut = {0x873113ca, 0x1486, 0x4508, {0x82, 0xac, 0xc3, 0xb2, 0xe5, 0x29, 0x7a, 0xaa}};
constexpr GUID kForceClosed = {0x411ad84f, 0x433e, 0x4dc2, {0xa5, 0xae, 0x4a, 0x2d, 0x1a, 0x2d, 0xe6, 0x54}};
constexpr GUID kMakeCompat = {0x3ab9a0d2, 0xef80, 0x45cf, {0x8c, 0xdc, 0xcb, 0xe0, 0x2a, 0x21, 0x29, 0x06}};
constexpr GUID kPreparingEject = {
    0xc79eb16e, 0x0dac, 0x4e7a, {0xa8, 0x6c, 0xb2, 0x5c, 0xee, 0xaa, 0x88, 0xf6}};
constexpr GUID kChangeSize = {0x3a1625be, 0xad03, 0x49f1, {0x8e, 0xf8, 0x6b, 0xba, 0xc1, 0x82, 0xd1, 0xfd}};
constexpr GUID kBackgroundFormat = {
    0xa2e5fc86, 0xd5cd, 0x4038, {0xb2, 0xe3, 0x44, 0x45, 0x06, 0x5c, 0x23, 0x77}};

// By FSRTL_VOLUME_*.
constexpr const GUID* kEvents[] = {
    nullptr,
    &GUID_IO_VOLUME_DISMOUNT,
    &GUID_IO_VOLUME_DISMOUNT_FAILED,
    &GUID_IO_VOLUME_LOCK,
    &GUID_IO_VOLUME_LOCK_FAILED,
    &GUID_IO_VOLUME_UNLOCK,
    &GUID_IO_VOLUME_MOUNT,
    &kNeedChkdsk,
    &kWormNearFull,
    &kWearingOut,
    &kForceClosed,
    &kMakeCompat,
    &kPreparingEject,
    &kChangeSize,
    &kBackgroundFormat,
};
static_assert(RTL_NUMBER_OF(kEvents) == FSRTL_VOLUME_BACKGROUND_FORMAT + 1);

// A lock or dismount is announced so that those who have the volume open close their handles: they have heard
// of it before the file system looks for open files.
bool IsAnnouncement(ULONG code) {
  return code == FSRTL_VOLUME_LOCK || code == FSRTL_VOLUME_DISMOUNT;
}

// The same for an answer that must come whole.
NTSTATUS Ask(PDEVICE_OBJECT device, ULONG code, PVOID input, ULONG input_bytes, PVOID output,
             ULONG output_bytes) {
  ULONG_PTR written = 0;
  const NTSTATUS status = SendControl(device, code, input, input_bytes, output, output_bytes, &written);
  return NT_SUCCESS(status) && written < output_bytes ? STATUS_DEVICE_PROTOCOL_ERROR : status;
}

bool IsSectorSize(ULONG bytes) {
  return bytes >= 512 && bytes <= PAGE_SIZE * 16 && (bytes & (bytes - 1)) == 0;
}

}  // namespace

NTSTATUS SendControl(PDEVICE_OBJECT device, ULONG code, PVOID input, ULONG input_bytes, PVOID output,
                     ULONG output_bytes, PULONG_PTR written) {
  KEVENT event;
  IO_STATUS_BLOCK iosb = {};
  KeInitializeEvent(&event, NotificationEvent, FALSE);
  PIRP irp = IoBuildDeviceIoControlRequest(code, device, input, input_bytes, output, output_bytes, FALSE,
                                           &event, &iosb);
  if (irp == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  NTSTATUS status = IofCallDriver(device, irp);
  if (status == STATUS_PENDING) {
    KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, nullptr);
    status = iosb.Status;
  }
  *written = iosb.Information;
  return status;
}

}  // namespace fsrtl

/// Tells those who registered for the device of a volume of an event (FSRTL_VOLUME_...), with a notification
/// of the caller's own, whose Event is filled in. A lock or dismount is told before the routine returns,
/// other events in order by a worker.
/// Returns: STATUS_INVALID_PARAMETER for an unknown code; why the volume's device is not found.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNotifyVolumeEventEx.
NT_EXPORT(FsRtlNotifyVolumeEventEx, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlVolumeEvents.*");
extern "C" NTSTATUS NTAPI FsRtlNotifyVolumeEventEx(PFILE_OBJECT FileObject, ULONG EventCode,
                                                   PTARGET_DEVICE_CUSTOM_NOTIFICATION Event) {
  if (EventCode == 0 || EventCode >= RTL_NUMBER_OF(fsrtl::kEvents)) return STATUS_INVALID_PARAMETER;
  PDEVICE_OBJECT pdo;
  NTSTATUS status = IoGetRelatedTargetDevice(FileObject, &pdo);
  if (!NT_SUCCESS(status)) return status;
  Event->Event = *fsrtl::kEvents[EventCode];
  status = fsrtl::IsAnnouncement(EventCode)
               ? IoReportTargetDeviceChange(pdo, Event)
               : IoReportTargetDeviceChangeAsynchronous(pdo, Event, nullptr, nullptr);
  ObfDereferenceObject(pdo);
  return status == STATUS_PENDING ? STATUS_SUCCESS : status;
}

/// Tells those who registered for the device of a volume of an event.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNotifyVolumeEvent.
NT_EXPORT(FsRtlNotifyVolumeEvent, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlVolumeEvents.*");
extern "C" NTSTATUS NTAPI FsRtlNotifyVolumeEvent(PFILE_OBJECT FileObject, ULONG EventCode) {
  TARGET_DEVICE_CUSTOM_NOTIFICATION event = {};
  event.Version = 1;
  event.Size = sizeof(event);
  event.NameBufferOffset = -1;
  return FsRtlNotifyVolumeEventEx(FileObject, EventCode, &event);
}

/// A file system has dismounted a volume, or failed to: a dismount is counted in
/// KUSER_SHARED_DATA.DismountCount, by which programs notice that directories they hold are gone.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the routine has no page; nothing else is done.
/// Source: ntifs.h, and ntddk/KUSER_SHARED_DATA.
NT_EXPORT(FsRtlDismountComplete, nt::AtMost(APC_LEVEL), Full, "FsRtlVolumeEvents.*");
extern "C" VOID NTAPI FsRtlDismountComplete(PDEVICE_OBJECT, NTSTATUS DismountStatus) {
  if (!NT_SUCCESS(DismountStatus)) return;
  auto* data = const_cast<KUSER_SHARED_DATA*>(SharedUserData);
  InterlockedIncrement(reinterpret_cast<volatile LONG*>(const_cast<volatile ULONG*>(&data->DismountCount)));
}

/// The sectors of a storage device: what it says of their alignment, else of its geometry's sector, which is
/// logical and physical then.
/// Returns: STATUS_BAD_DEVICE_TYPE for a size that is no power of two from 512 bytes on.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlGetSectorSizeInformation.
NT_EXPORT(FsRtlGetSectorSizeInformation, nt::Exactly(PASSIVE_LEVEL), Full, "FsRtlSectors.*");
extern "C" NTSTATUS NTAPI FsRtlGetSectorSizeInformation(PDEVICE_OBJECT DeviceObject,
                                                        PFILE_FS_SECTOR_SIZE_INFORMATION SectorSizeInfo) {
  STORAGE_PROPERTY_QUERY query = {};
  query.PropertyId = StorageAccessAlignmentProperty;
  query.QueryType = PropertyStandardQuery;
  STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR alignment = {};
  NTSTATUS status = fsrtl::Ask(DeviceObject, IOCTL_STORAGE_QUERY_PROPERTY, &query, sizeof(query), &alignment,
                               sizeof(alignment));
  if (status == STATUS_INSUFFICIENT_RESOURCES) return status;
  const bool aligned = NT_SUCCESS(status);
  if (!aligned) {
    DISK_GEOMETRY geometry = {};
    status = fsrtl::Ask(DeviceObject, IOCTL_DISK_GET_DRIVE_GEOMETRY, nullptr, 0, &geometry, sizeof(geometry));
    if (!NT_SUCCESS(status)) geometry.BytesPerSector = DeviceObject->SectorSize;
    alignment.BytesPerLogicalSector = alignment.BytesPerPhysicalSector = geometry.BytesPerSector;
  }
  const ULONG logical = alignment.BytesPerLogicalSector;
  const ULONG physical = alignment.BytesPerPhysicalSector;
  if (!fsrtl::IsSectorSize(logical) || !fsrtl::IsSectorSize(physical) || physical < logical)
    return STATUS_BAD_DEVICE_TYPE;
  const ULONG offset = aligned ? alignment.BytesOffsetForSectorAlignment : 0;
  *SectorSizeInfo = {};
  SectorSizeInfo->LogicalBytesPerSector = logical;
  SectorSizeInfo->PhysicalBytesPerSectorForAtomicity = physical;
  SectorSizeInfo->PhysicalBytesPerSectorForPerformance = physical;
  SectorSizeInfo->FileSystemEffectivePhysicalBytesPerSectorForAtomicity =
      physical < PAGE_SIZE ? physical : PAGE_SIZE;
  if (aligned) {
    SectorSizeInfo->ByteOffsetForSectorAlignment = offset;
    if (offset % physical == 0) SectorSizeInfo->Flags |= SSINFO_FLAGS_ALIGNED_DEVICE;
  } else {
    SectorSizeInfo->ByteOffsetForSectorAlignment = SSINFO_OFFSET_UNKNOWN;
  }
  SectorSizeInfo->ByteOffsetForPartitionAlignment = SSINFO_OFFSET_UNKNOWN;
  return STATUS_SUCCESS;
}

/// A number by which traces know a volume: its stable GUID, which its device tells.
/// Returns: why it does not (STATUS_INVALID_DEVICE_REQUEST: no such request).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the routine has no page. There is no mount manager that would name a volume whose device
/// has no stable GUID.
/// Source: ntifs.h; IOCTL_MOUNTDEV_QUERY_STABLE_GUID.
NT_EXPORT(FsRtlVolumeDeviceToCorrelationId, nt::AtMost(PASSIVE_LEVEL), Partial, "FsRtlVolumeEvents.*");
extern "C" NTSTATUS NTAPI FsRtlVolumeDeviceToCorrelationId(PDEVICE_OBJECT VolumeDeviceObject, GUID* Guid) {
  MOUNTDEV_STABLE_GUID stable = {};
  const NTSTATUS status =
      fsrtl::Ask(VolumeDeviceObject, IOCTL_MOUNTDEV_QUERY_STABLE_GUID, nullptr, 0, &stable, sizeof(stable));
  if (NT_SUCCESS(status)) *Guid = stable.StableGuid;
  return status;
}

/// Charges the current process with disk I/O of a file system: bytes, and one operation for each direction
/// that has any.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: the routine has no page.
/// Source: ntifs.h; WDK ntifs/PsUpdateDiskCounters.
NT_EXPORT(FsRtlUpdateDiskCounters, nt::AtMost(DISPATCH_LEVEL), Partial, "FsRtlVolumeEvents.*");
extern "C" VOID NTAPI FsRtlUpdateDiskCounters(ULONG64 BytesRead, ULONG64 BytesWritten) {
  PsUpdateDiskCounters(IoGetCurrentProcess(), BytesRead, BytesWritten, BytesRead != 0, BytesWritten != 0, 0);
}
