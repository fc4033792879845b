// IRP_MJ_QUERY_VOLUME_INFORMATION.
#include "volume.h"

#pragma code_seg("PAGE")

namespace hostfs {
namespace {

constexpr WCHAR kLabel[] = L"Bugcheck";
constexpr WCHAR kFileSystem[] = L"NTFS";  // what drivers compare with; the volume is the host's folder
constexpr ULONG kLabelBytes = sizeof(kLabel) - sizeof(WCHAR);
constexpr ULONG kFileSystemBytes = sizeof(kFileSystem) - sizeof(WCHAR);
constexpr ULONG kSectorSize = 512;

NTSTATUS PutName(const WCHAR* name, ULONG bytes, PUCHAR out, ULONG fixed, ULONG length, ULONG* used) {
  const ULONG room = length - fixed;
  const ULONG copied = bytes < room ? bytes : room & ~1u;
  RtlCopyMemory(out + fixed, name, copied);
  *used = fixed + copied;
  return copied < bytes ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

NTSTATUS Volumes(const p9::Statistics& statistics, PVOID buffer, ULONG length, ULONG* used) {
  constexpr ULONG kFixed = FIELD_OFFSET(FILE_FS_VOLUME_INFORMATION, VolumeLabel);
  if (length < kFixed) return STATUS_INFO_LENGTH_MISMATCH;
  auto* out = static_cast<FILE_FS_VOLUME_INFORMATION*>(buffer);
  out->VolumeCreationTime.QuadPart = 0;
  out->VolumeSerialNumber = static_cast<ULONG>(statistics.id);
  out->VolumeLabelLength = kLabelBytes;
  out->SupportsObjects = FALSE;
  return PutName(kLabel, kLabelBytes, static_cast<PUCHAR>(buffer), kFixed, length, used);
}

NTSTATUS Attributes(const p9::Statistics& statistics, PVOID buffer, ULONG length, ULONG* used) {
  constexpr ULONG kFixed = FIELD_OFFSET(FILE_FS_ATTRIBUTE_INFORMATION, FileSystemName);
  if (length < kFixed) return STATUS_INFO_LENGTH_MISMATCH;
  auto* out = static_cast<FILE_FS_ATTRIBUTE_INFORMATION*>(buffer);
  out->FileSystemAttributes = FILE_CASE_PRESERVED_NAMES | FILE_UNICODE_ON_DISK;
  out->MaximumComponentNameLength =
      statistics.name_length < 255 ? static_cast<LONG>(statistics.name_length) : 255;
  out->FileSystemNameLength = kFileSystemBytes;
  return PutName(kFileSystem, kFileSystemBytes, static_cast<PUCHAR>(buffer), kFixed, length, used);
}

NTSTATUS QueryLocked(Volume& volume, FS_INFORMATION_CLASS kind, PVOID buffer, ULONG length, ULONG* used) {
  p9::Statistics statistics = {};
  if (kind == FileFsDeviceInformation) {
    FILE_FS_DEVICE_INFORMATION info = {};
    info.DeviceType = FILE_DEVICE_DISK;
    return PutInformation(info, buffer, length, used);
  }
  const NTSTATUS status = volume.client().GetStatistics(&statistics);
  if (!NT_SUCCESS(status)) return status;
  const ULONG sectors = statistics.block_size >= kSectorSize ? statistics.block_size / kSectorSize : 1;
  switch (kind) {
    case FileFsVolumeInformation:
      return Volumes(statistics, buffer, length, used);
    case FileFsAttributeInformation:
      return Attributes(statistics, buffer, length, used);
    case FileFsSizeInformation: {
      FILE_FS_SIZE_INFORMATION info = {};
      info.TotalAllocationUnits.QuadPart = static_cast<LONGLONG>(statistics.blocks);
      info.AvailableAllocationUnits.QuadPart = static_cast<LONGLONG>(statistics.available);
      info.SectorsPerAllocationUnit = sectors;
      info.BytesPerSector = kSectorSize;
      return PutInformation(info, buffer, length, used);
    }
    case FileFsFullSizeInformation: {
      FILE_FS_FULL_SIZE_INFORMATION info = {};
      info.TotalAllocationUnits.QuadPart = static_cast<LONGLONG>(statistics.blocks);
      info.CallerAvailableAllocationUnits.QuadPart = static_cast<LONGLONG>(statistics.available);
      info.ActualAvailableAllocationUnits.QuadPart = static_cast<LONGLONG>(statistics.free);
      info.SectorsPerAllocationUnit = sectors;
      info.BytesPerSector = kSectorSize;
      return PutInformation(info, buffer, length, used);
    }
    case FileFsSectorSizeInformation: {
      FILE_FS_SECTOR_SIZE_INFORMATION info = {};
      info.LogicalBytesPerSector = kSectorSize;
      info.PhysicalBytesPerSectorForAtomicity = kSectorSize;
      info.PhysicalBytesPerSectorForPerformance = kSectorSize;
      info.FileSystemEffectivePhysicalBytesPerSectorForAtomicity = kSectorSize;
      info.ByteOffsetForSectorAlignment = SSINFO_OFFSET_UNKNOWN;
      info.ByteOffsetForPartitionAlignment = SSINFO_OFFSET_UNKNOWN;
      return PutInformation(info, buffer, length, used);
    }
    default:
      return STATUS_INVALID_INFO_CLASS;
  }
}

}  // namespace

NTSTATUS NTAPI HostFsQueryVolumeInformation(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  HeldBuffer buffer;
  if (volume == nullptr) return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
  NTSTATUS status = HoldBuffer(irp, stack->Parameters.QueryVolume.Length, IoWriteAccess, &buffer);
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  ULONG used = 0;
  volume->Lock();
  status = QueryLocked(*volume, stack->Parameters.QueryVolume.FsInformationClass, buffer.address,
                       stack->Parameters.QueryVolume.Length, &used);
  volume->Unlock();
  ReleaseBuffer(&buffer);
  return Complete(irp, status, used);
}

}  // namespace hostfs
