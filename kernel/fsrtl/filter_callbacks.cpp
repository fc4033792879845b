// Acquiring files for the memory and cache managers: every driver of the volume's stack that registered
// callbacks is asked on the way down and told on the way up; below them the file system's own callback, its
// obsolete fast I/O routine, or the resources of its header.
#include "fsrtl_internal.h"

namespace fsrtl {
namespace {

// One kind of acquisition or release: which callbacks, and what happens where the file system has none.
struct Operation {
  UCHAR code;
  bool releases;  // cannot be refused
  PFS_FILTER_CALLBACK FS_FILTER_CALLBACKS::* pre;
  PFS_FILTER_COMPLETION_CALLBACK FS_FILTER_CALLBACKS::* post;
  NTSTATUS (*bottom)(PFILE_OBJECT file, PFS_FILTER_CALLBACK_DATA data);
};

// The key of the drivers' copies of their callbacks.
constexpr CHAR kCallbacksKey = 0;

const FS_FILTER_CALLBACKS* CallbacksOf(PDRIVER_OBJECT driver) {
  return static_cast<const FS_FILTER_CALLBACKS*>(
      IoGetDriverObjectExtension(driver, const_cast<PCHAR>(&kCallbacksKey)));
}

const FAST_IO_DISPATCH* FastIoOf(PDEVICE_OBJECT device, ULONG offset) {
  const FAST_IO_DISPATCH* table = device->DriverObject->FastIoDispatch;
  return table != nullptr && table->SizeOfFastIoDispatch >= offset + sizeof(PVOID) ? table : nullptr;
}

PERESOURCE MainResource(PFILE_OBJECT file) {
  auto* header = static_cast<PFSRTL_COMMON_FCB_HEADER>(file->FsContext);
  return header != nullptr ? header->Resource : nullptr;
}

PERESOURCE PagingResource(PFILE_OBJECT file) {
  auto* header = static_cast<PFSRTL_COMMON_FCB_HEADER>(file->FsContext);
  return header != nullptr ? header->PagingIoResource : nullptr;
}

void ReleaseIfHeld(PERESOURCE resource) {
  if (resource != nullptr && ExIsResourceAcquiredSharedLite(resource) != 0) ExReleaseResourceLite(resource);
}

NTSTATUS AcquireForSection(PFILE_OBJECT file, PFS_FILTER_CALLBACK_DATA data) {
  const FAST_IO_DISPATCH* table =
      FastIoOf(data->DeviceObject, FIELD_OFFSET(FAST_IO_DISPATCH, AcquireFileForNtCreateSection));
  if (table != nullptr && table->AcquireFileForNtCreateSection != nullptr) {
    table->AcquireFileForNtCreateSection(file);
  } else if (MainResource(file) != nullptr) {
    ExAcquireResourceExclusiveLite(MainResource(file), TRUE);
  }
  return STATUS_SUCCESS;
}

NTSTATUS ReleaseForSection(PFILE_OBJECT file, PFS_FILTER_CALLBACK_DATA data) {
  const FAST_IO_DISPATCH* table =
      FastIoOf(data->DeviceObject, FIELD_OFFSET(FAST_IO_DISPATCH, ReleaseFileForNtCreateSection));
  if (table != nullptr && table->ReleaseFileForNtCreateSection != nullptr) {
    table->ReleaseFileForNtCreateSection(file);
  } else {
    ReleaseIfHeld(MainResource(file));
  }
  return STATUS_SUCCESS;
}

// Who flushes may hold the stream already, exclusive or shared.
NTSTATUS AcquireForFlush(PFILE_OBJECT file, PFS_FILTER_CALLBACK_DATA data) {
  const FAST_IO_DISPATCH* table =
      FastIoOf(data->DeviceObject, FIELD_OFFSET(FAST_IO_DISPATCH, AcquireForCcFlush));
  if (table != nullptr && table->AcquireForCcFlush != nullptr)
    return table->AcquireForCcFlush(file, data->DeviceObject);
  if (PERESOURCE resource = MainResource(file); resource != nullptr) {
    if (ExIsResourceAcquiredSharedLite(resource) != 0) {
      ExAcquireResourceSharedLite(resource, TRUE);
    } else {
      ExAcquireResourceExclusiveLite(resource, TRUE);
    }
  }
  if (PagingResource(file) != nullptr) ExAcquireResourceSharedLite(PagingResource(file), TRUE);
  return STATUS_SUCCESS;
}

NTSTATUS ReleaseForFlush(PFILE_OBJECT file, PFS_FILTER_CALLBACK_DATA data) {
  const FAST_IO_DISPATCH* table =
      FastIoOf(data->DeviceObject, FIELD_OFFSET(FAST_IO_DISPATCH, ReleaseForCcFlush));
  if (table != nullptr && table->ReleaseForCcFlush != nullptr)
    return table->ReleaseForCcFlush(file, data->DeviceObject);
  ReleaseIfHeld(PagingResource(file));
  ReleaseIfHeld(MainResource(file));
  return STATUS_SUCCESS;
}

// Never waits: the writer of modified pages holds locks of mm.
NTSTATUS AcquireForModWrite(PFILE_OBJECT file, PFS_FILTER_CALLBACK_DATA data) {
  auto& parameters = data->Parameters.AcquireForModifiedPageWriter;
  const FAST_IO_DISPATCH* table =
      FastIoOf(data->DeviceObject, FIELD_OFFSET(FAST_IO_DISPATCH, AcquireForModWrite));
  if (table != nullptr && table->AcquireForModWrite != nullptr)
    return table->AcquireForModWrite(file, parameters.EndingOffset, parameters.ResourceToRelease,
                                     data->DeviceObject);
  PERESOURCE resource = PagingResource(file) != nullptr ? PagingResource(file) : MainResource(file);
  if (resource != nullptr && !ExAcquireResourceSharedLite(resource, FALSE)) return STATUS_CANT_WAIT;
  *parameters.ResourceToRelease = resource;
  return STATUS_SUCCESS;
}

NTSTATUS ReleaseForModWrite(PFILE_OBJECT file, PFS_FILTER_CALLBACK_DATA data) {
  PERESOURCE resource = data->Parameters.ReleaseForModifiedPageWriter.ResourceToRelease;
  const FAST_IO_DISPATCH* table =
      FastIoOf(data->DeviceObject, FIELD_OFFSET(FAST_IO_DISPATCH, ReleaseForModWrite));
  if (table != nullptr && table->ReleaseForModWrite != nullptr)
    return table->ReleaseForModWrite(file, resource, data->DeviceObject);
  if (resource != nullptr) ExReleaseResourceLite(resource);
  return STATUS_SUCCESS;
}

using Callbacks = FS_FILTER_CALLBACKS;
constexpr Operation kAcquireSection = {FS_FILTER_ACQUIRE_FOR_SECTION_SYNCHRONIZATION, false,
                                       &Callbacks::PreAcquireForSectionSynchronization,
                                       &Callbacks::PostAcquireForSectionSynchronization, AcquireForSection};
constexpr Operation kReleaseSection = {FS_FILTER_RELEASE_FOR_SECTION_SYNCHRONIZATION, true,
                                       &Callbacks::PreReleaseForSectionSynchronization,
                                       &Callbacks::PostReleaseForSectionSynchronization, ReleaseForSection};
constexpr Operation kAcquireFlush = {FS_FILTER_ACQUIRE_FOR_CC_FLUSH, false, &Callbacks::PreAcquireForCcFlush,
                                     &Callbacks::PostAcquireForCcFlush, AcquireForFlush};
constexpr Operation kReleaseFlush = {FS_FILTER_RELEASE_FOR_CC_FLUSH, true, &Callbacks::PreReleaseForCcFlush,
                                     &Callbacks::PostReleaseForCcFlush, ReleaseForFlush};
constexpr Operation kAcquireModWrite = {FS_FILTER_ACQUIRE_FOR_MOD_WRITE, false,
                                        &Callbacks::PreAcquireForModifiedPageWriter,
                                        &Callbacks::PostAcquireForModifiedPageWriter, AcquireForModWrite};
constexpr Operation kReleaseModWrite = {FS_FILTER_RELEASE_FOR_MOD_WRITE, true,
                                        &Callbacks::PreReleaseForModifiedPageWriter,
                                        &Callbacks::PostReleaseForModifiedPageWriter, ReleaseForModWrite};

// A device and all below it. A depth of the stack is a depth of calls: no memory is needed, so a release
// always comes through.
NTSTATUS Pass(const Operation& operation, PFS_FILTER_CALLBACK_DATA data, PDEVICE_OBJECT device) {
  const FS_FILTER_CALLBACKS* callbacks = CallbacksOf(device->DriverObject);
  data->DeviceObject = device;
  PVOID context = nullptr;
  if (callbacks != nullptr && callbacks->*operation.pre != nullptr) {
    const NTSTATUS asked = (callbacks->*operation.pre)(data, &context);
    // A refusal, or the file system's word that it has done it (STATUS_FSFILTER_OP_COMPLETED_SUCCESSFULLY,
    // STATUS_FILE_LOCKED_WITH_...).
    const bool over =
        operation.releases ? asked == STATUS_FSFILTER_OP_COMPLETED_SUCCESSFULLY : asked != STATUS_SUCCESS;
    if (over) return asked;
  }
  PDEVICE_OBJECT lower = IoGetLowerDeviceObject(device);
  const NTSTATUS status =
      lower != nullptr ? Pass(operation, data, lower) : operation.bottom(data->FileObject, data);
  if (lower != nullptr) ObfDereferenceObject(lower);
  data->DeviceObject = device;
  if (callbacks != nullptr && callbacks->*operation.post != nullptr)
    (callbacks->*operation.post)(data, NT_SUCCESS(status) ? STATUS_SUCCESS : status, context);
  return status;
}

NTSTATUS Perform(const Operation& operation, PFILE_OBJECT file, PFS_FILTER_CALLBACK_DATA data) {
  data->SizeOfFsFilterCallbackData = sizeof(*data);
  data->Operation = operation.code;
  data->FileObject = file;
  return Pass(operation, data, IoGetRelatedDeviceObject(file));
}

// The owner of what is acquired must not be interrupted by an APC that wants it too.
NTSTATUS Acquire(const Operation& operation, PFILE_OBJECT file, PFS_FILTER_CALLBACK_DATA data) {
  KeEnterCriticalRegion();
  const NTSTATUS status = Perform(operation, file, data);
  if (!NT_SUCCESS(status)) KeLeaveCriticalRegion();
  return status;
}

void Release(const Operation& operation, PFILE_OBJECT file, PFS_FILTER_CALLBACK_DATA data) {
  Perform(operation, file, data);
  KeLeaveCriticalRegion();
}

NTSTATUS AcquireSection(PFILE_OBJECT file, FS_FILTER_SECTION_SYNC_TYPE type, ULONG protection) {
  FS_FILTER_CALLBACK_DATA data = {};
  data.Parameters.AcquireForSectionSynchronization.SyncType = type;
  data.Parameters.AcquireForSectionSynchronization.PageProtection = protection;
  return Acquire(kAcquireSection, file, &data);
}

}  // namespace
}  // namespace fsrtl

// For mm and cc, which lie below.
extern "C" NTSTATUS FsRtlAcquireToCreateMappedSection(PFILE_OBJECT FileObject, ULONG PageProtection) {
  return fsrtl::AcquireSection(FileObject, SyncTypeCreateSection, PageProtection);
}

extern "C" NTSTATUS FsRtlAcquireFileForCcFlushEx(PFILE_OBJECT FileObject) {
  FS_FILTER_CALLBACK_DATA data = {};
  return fsrtl::Acquire(fsrtl::kAcquireFlush, FileObject, &data);
}

extern "C" VOID FsRtlReleaseFileForCcFlush(PFILE_OBJECT FileObject) {
  FS_FILTER_CALLBACK_DATA data = {};
  fsrtl::Release(fsrtl::kReleaseFlush, FileObject, &data);
}

extern "C" NTSTATUS FsRtlAcquireFileForModWriteEx(PFILE_OBJECT FileObject, PLARGE_INTEGER EndingOffset,
                                                  PERESOURCE* ResourceToRelease) {
  FS_FILTER_CALLBACK_DATA data = {};
  *ResourceToRelease = nullptr;
  data.Parameters.AcquireForModifiedPageWriter.EndingOffset = EndingOffset;
  data.Parameters.AcquireForModifiedPageWriter.ResourceToRelease = ResourceToRelease;
  return fsrtl::Acquire(fsrtl::kAcquireModWrite, FileObject, &data);
}

extern "C" VOID FsRtlReleaseFileForModWrite(PFILE_OBJECT FileObject, PERESOURCE ResourceToRelease) {
  FS_FILTER_CALLBACK_DATA data = {};
  data.Parameters.ReleaseForModifiedPageWriter.ResourceToRelease = ResourceToRelease;
  fsrtl::Release(fsrtl::kReleaseModWrite, FileObject, &data);
}

/// Registers a driver's callbacks around the acquisitions of files: for sections, the cache's flushes and the
/// writing of modified pages. They are called for files of the stacks in which the driver has a device.
/// Returns: STATUS_INVALID_PARAMETER for a structure of another size; STATUS_INSUFFICIENT_RESOURCES.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: PreQueryOpen is not called: there is no query by name without an open.
/// Source: WDK ntifs/FsRtlRegisterFileSystemFilterCallbacks.
NT_EXPORT(FsRtlRegisterFileSystemFilterCallbacks, nt::Exactly(PASSIVE_LEVEL), Full, "FsRtlFilterCallbacks.*");
extern "C" NTSTATUS NTAPI FsRtlRegisterFileSystemFilterCallbacks(PDRIVER_OBJECT FilterDriverObject,
                                                                 PFS_FILTER_CALLBACKS Callbacks) {
  constexpr ULONG kOldest = FIELD_OFFSET(FS_FILTER_CALLBACKS, PreAcquireForModifiedPageWriter);
  if (FilterDriverObject == nullptr || Callbacks == nullptr || Callbacks->SizeOfFsFilterCallbacks < kOldest)
    return STATUS_INVALID_PARAMETER;
  const auto key = const_cast<PCHAR>(&fsrtl::kCallbacksKey);
  PVOID copy;
  NTSTATUS status = IoAllocateDriverObjectExtension(FilterDriverObject, key, sizeof(*Callbacks), &copy);
  if (status == STATUS_OBJECT_NAME_COLLISION) {  // registered anew
    copy = IoGetDriverObjectExtension(FilterDriverObject, key);
    status = STATUS_SUCCESS;
  }
  if (!NT_SUCCESS(status)) return status;
  const SIZE_T given = Callbacks->SizeOfFsFilterCallbacks;
  RtlCopyMemory(copy, Callbacks, given < sizeof(*Callbacks) ? given : sizeof(*Callbacks));
  return STATUS_SUCCESS;
}

/// Acquires a file exclusively, as for a section that must not be made meanwhile; the callbacks see
/// SyncTypeOther.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: exported and used by file-system filters without a page; WDK
/// ntifs/FsRtlRegisterFileSystemFilterCallbacks says what is called.
NT_EXPORT(FsRtlAcquireFileExclusive, nt::AtMost(APC_LEVEL), Full, "FsRtlFilterCallbacks.*");
extern "C" VOID NTAPI FsRtlAcquireFileExclusive(PFILE_OBJECT FileObject) {
  if (!NT_SUCCESS(fsrtl::AcquireSection(FileObject, SyncTypeOther, 0)))
    KeEnterCriticalRegion();  // a refusal has no meaning here; FsRtlReleaseFile follows
}

/// Releases a file that was acquired for a section.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: as FsRtlAcquireFileExclusive.
NT_EXPORT(FsRtlReleaseFile, nt::AtMost(APC_LEVEL), Full, "FsRtlFilterCallbacks.*");
extern "C" VOID NTAPI FsRtlReleaseFile(PFILE_OBJECT FileObject) {
  FS_FILTER_CALLBACK_DATA data = {};
  fsrtl::Release(fsrtl::kReleaseSection, FileObject, &data);
}
