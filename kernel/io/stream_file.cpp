// File objects that file systems make themselves, and what is known of volumes by name.
#include "io_internal.h"
#include "nt/export.h"
#include "volume_mount.h"

namespace {

PFILE_OBJECT NewStreamFile(PFILE_OBJECT file, PDEVICE_OBJECT device) {
  if (file != nullptr) device = file->DeviceObject;
  if (device == nullptr) return nullptr;
  PVOID object;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  const NTSTATUS status = ObCreateObject(KernelMode, IoFileObjectType, &attributes, KernelMode, nullptr,
                                         sizeof(FILE_OBJECT), 0, 0, &object);
  if (!NT_SUCCESS(status)) return nullptr;
  auto* stream = static_cast<PFILE_OBJECT>(object);
  RtlZeroMemory(stream, sizeof(*stream));
  stream->Type = IO_TYPE_FILE;
  stream->Size = sizeof(FILE_OBJECT);
  stream->Flags = FO_STREAM_FILE;
  stream->DeviceObject = device;
  KeInitializeEvent(&stream->Lock, SynchronizationEvent, FALSE);
  KeInitializeEvent(&stream->Event, NotificationEvent, FALSE);
  KeInitializeSpinLock(&stream->IrpListLock);
  InitializeListHead(&stream->IrpList);
  InterlockedIncrement(&device->ReferenceCount);
  PVPB vpb = file != nullptr ? file->Vpb : device->Vpb;
  if (vpb != nullptr) {
    io::ReferenceVpb(vpb);
    stream->Vpb = vpb;
  }
  return stream;
}

PFILE_OBJECT NewStreamFileOrRaise(PFILE_OBJECT file, PDEVICE_OBJECT device) {
  PFILE_OBJECT stream = NewStreamFile(file, device);
  if (stream == nullptr) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
  return stream;
}

}  // namespace

/// A file object for a stream of the file system's own (metadata that it caches); the file system is sent
/// IRP_MJ_CLEANUP at once. It goes with ObDereferenceObject, which sends IRP_MJ_CLOSE. Raises
/// STATUS_INSUFFICIENT_RESOURCES.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoCreateStreamFileObject.
NT_EXPORT(IoCreateStreamFileObject, nt::AtMost(PASSIVE_LEVEL), Full, "IoFileSystems.*");
extern "C" PFILE_OBJECT NTAPI IoCreateStreamFileObject(PFILE_OBJECT FileObject, PDEVICE_OBJECT DeviceObject) {
  PFILE_OBJECT stream = NewStreamFileOrRaise(FileObject, DeviceObject);
  stream->Flags |= FO_FILE_OPEN;
  IopCloseFile(nullptr, stream, 1, 1);
  return stream;
}

/// The same without the cleanup request.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoCreateStreamFileObjectLite.
NT_EXPORT(IoCreateStreamFileObjectLite, nt::AtMost(APC_LEVEL), Full, "IoFileSystems.*");
extern "C" PFILE_OBJECT NTAPI IoCreateStreamFileObjectLite(PFILE_OBJECT FileObject,
                                                           PDEVICE_OBJECT DeviceObject) {
  PFILE_OBJECT stream = NewStreamFileOrRaise(FileObject, DeviceObject);
  stream->Flags |= FO_FILE_OPEN;
  return stream;
}

/// What the generic rights mean for files.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoGetFileObjectGenericMapping.
NT_EXPORT(IoGetFileObjectGenericMapping, nt::AtMost(PASSIVE_LEVEL), Full, "IoFileSystems.*");
extern "C" PGENERIC_MAPPING NTAPI IoGetFileObjectGenericMapping() {
  return &IoFileObjectType->TypeInfo.GenericMapping;
}

/// Whether a buffer is a well-formed list of FILE_FULL_EA_INFORMATION: STATUS_EA_LIST_INCONSISTENT if not,
/// with the offset of the first entry that is wrong.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoCheckEaBufferValidity.
NT_EXPORT(IoCheckEaBufferValidity, nt::AtMost(APC_LEVEL), Full, "IoFileSystems.*");
extern "C" NTSTATUS NTAPI IoCheckEaBufferValidity(PFILE_FULL_EA_INFORMATION EaBuffer, ULONG EaLength,
                                                  PULONG ErrorOffset) {
  constexpr ULONG kFixed = FIELD_OFFSET(FILE_FULL_EA_INFORMATION, EaName);
  const auto* bytes = reinterpret_cast<const UCHAR*>(EaBuffer);
  ULONG offset = 0;
  for (;;) {
    *ErrorOffset = offset;
    const ULONG left = EaLength - offset;
    if (left < kFixed) return STATUS_EA_LIST_INCONSISTENT;
    const auto* entry = reinterpret_cast<const FILE_FULL_EA_INFORMATION*>(bytes + offset);
    const ULONG size = kFixed + entry->EaNameLength + 1 + entry->EaValueLength;
    if (size > left || entry->EaName[entry->EaNameLength] != 0) return STATUS_EA_LIST_INCONSISTENT;
    if (entry->NextEntryOffset == 0) break;
    if (entry->NextEntryOffset != ((size + 3) & ~3u) || entry->NextEntryOffset > left)
      return STATUS_EA_LIST_INCONSISTENT;
    offset += entry->NextEntryOffset;
  }
  *ErrorOffset = 0;
  return STATUS_SUCCESS;
}
