// Filter callbacks and what volumes' devices are asked, through the ABI. Oracle: the WDK pages of
// FsRtlRegisterFileSystemFilterCallbacks and FsRtlGetSectorSizeInformation; not yet run on a real NT.
#include "cached_stream.h"
#include "ddi_fs.h"
#include "nt_test.h"

#include <mountdev.h>
#include <ntdddisk.h>
#include <ntddstor.h>

namespace {

// What the callbacks saw, in order: P before, Q after; the operation; U the filter, L the file system.
struct Call {
  CHAR when;
  UCHAR operation;
  PDEVICE_OBJECT device;
  NTSTATUS status;
};
Call g_calls[16];
ULONG g_count;
PDEVICE_OBJECT g_filter;
NTSTATUS g_filter_answer;
NTSTATUS g_file_system_answer;
FS_FILTER_SECTION_SYNC_TYPE g_type;
ULONG g_protection;

void Note(CHAR when, PFS_FILTER_CALLBACK_DATA data, NTSTATUS status) {
  if (g_count < RTL_NUMBER_OF(g_calls))
    g_calls[g_count] = {when, data->Operation, data->DeviceObject, status};
  ++g_count;
  NT_EXPECT_EQ(data->SizeOfFsFilterCallbackData, sizeof(FS_FILTER_CALLBACK_DATA));
}

NTSTATUS NTAPI Before(PFS_FILTER_CALLBACK_DATA data, PVOID* context) {
  Note('P', data, STATUS_SUCCESS);
  *context = data->DeviceObject;
  if (data->Operation == FS_FILTER_ACQUIRE_FOR_SECTION_SYNCHRONIZATION) {
    g_type = data->Parameters.AcquireForSectionSynchronization.SyncType;
    g_protection = data->Parameters.AcquireForSectionSynchronization.PageProtection;
  }
  return data->DeviceObject == g_filter ? g_filter_answer : g_file_system_answer;
}

VOID NTAPI After(PFS_FILTER_CALLBACK_DATA data, NTSTATUS status, PVOID context) {
  Note('Q', data, status);
  NT_EXPECT_TRUE(context == data->DeviceObject);
}

NTSTATUS NTAPI AnswerStandard(PDEVICE_OBJECT, PIRP irp) {
  auto* info = static_cast<PFILE_STANDARD_INFORMATION>(irp->AssociatedIrp.SystemBuffer);
  *info = {};
  info->EndOfFile.QuadPart = info->AllocationSize.QuadPart = cached::kDiskSize;
  info->NumberOfLinks = 1;
  return cached::Finish(irp, STATUS_SUCCESS, sizeof(*info));
}

// A stream with a resource, and a filter's device above its file system's (of the same driver).
struct Filtered : cached::Stream {
  FSRTL_COMMON_FCB_HEADER header = {};
  ERESOURCE resource;
  ERESOURCE paging;
  explicit Filtered(const FS_FILTER_CALLBACKS& callbacks) {
    ExInitializeResourceLite(&resource);
    ExInitializeResourceLite(&paging);
    header.Resource = &resource;
    header.PagingIoResource = &paging;
    file->FsContext = &header;
    nt_test::driver->MajorFunction[IRP_MJ_QUERY_INFORMATION] = AnswerStandard;
    FS_FILTER_CALLBACKS copy = callbacks;
    copy.SizeOfFsFilterCallbacks = sizeof(copy);
    NT_EXPECT_SUCCESS(FsRtlRegisterFileSystemFilterCallbacks(nt_test::driver, &copy));
    NT_EXPECT_SUCCESS(
        IoCreateDevice(nt_test::driver, 0, nullptr, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &g_filter));
    g_filter->Flags &= ~DO_DEVICE_INITIALIZING;
    IoAttachDeviceToDeviceStack(g_filter, device);
    g_filter_answer = g_file_system_answer = STATUS_SUCCESS;
    g_count = 0;
  }
  ~Filtered() {
    IoDetachDevice(device);
    IoDeleteDevice(g_filter);
    Close();
    FS_FILTER_CALLBACKS none = {};
    none.SizeOfFsFilterCallbacks = sizeof(none);
    NT_EXPECT_SUCCESS(FsRtlRegisterFileSystemFilterCallbacks(nt_test::driver, &none));
    ExDeleteResourceLite(&resource);
    ExDeleteResourceLite(&paging);
  }
  bool Saw(ULONG index, CHAR when, UCHAR operation, bool filter, NTSTATUS status = STATUS_SUCCESS) {
    const Call& call = g_calls[index];
    return index < g_count && call.when == when && call.operation == operation &&
           call.device == (filter ? g_filter : device) && call.status == status;
  }
};

FS_FILTER_CALLBACKS SectionCallbacks() {
  FS_FILTER_CALLBACKS callbacks = {};
  callbacks.PreAcquireForSectionSynchronization = callbacks.PreReleaseForSectionSynchronization = Before;
  callbacks.PostAcquireForSectionSynchronization = callbacks.PostReleaseForSectionSynchronization = After;
  return callbacks;
}

constexpr UCHAR kAcquire = FS_FILTER_ACQUIRE_FOR_SECTION_SYNCHRONIZATION;
constexpr UCHAR kRelease = FS_FILTER_RELEASE_FOR_SECTION_SYNCHRONIZATION;

}  // namespace

NT_TEST(FsRtlFilterCallbacks, AroundAnAcquisitionDownAndUp) {
  Filtered stream(SectionCallbacks());
  FsRtlAcquireFileExclusive(stream.file);
  NT_EXPECT_TRUE(ExIsResourceAcquiredExclusiveLite(&stream.resource));
  NT_EXPECT_EQ(g_count, 4);
  NT_EXPECT_TRUE(stream.Saw(0, 'P', kAcquire, true));
  NT_EXPECT_TRUE(stream.Saw(1, 'P', kAcquire, false));
  NT_EXPECT_TRUE(stream.Saw(2, 'Q', kAcquire, false));
  NT_EXPECT_TRUE(stream.Saw(3, 'Q', kAcquire, true));
  NT_EXPECT_EQ(g_type, SyncTypeOther);
  NT_EXPECT_EQ(g_protection, 0);
  NT_EXPECT_TRUE(KeAreApcsDisabled());
  FsRtlReleaseFile(stream.file);
  NT_EXPECT_TRUE(!KeAreApcsDisabled());
  NT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(&stream.resource), 0);
  NT_EXPECT_EQ(g_count, 8);
  NT_EXPECT_TRUE(stream.Saw(4, 'P', kRelease, true));
  NT_EXPECT_TRUE(stream.Saw(7, 'Q', kRelease, true));
}

NT_TEST(FsRtlFilterCallbacks, TheFileSystemDoesItItself) {
  Filtered stream(SectionCallbacks());
  g_file_system_answer = STATUS_FSFILTER_OP_COMPLETED_SUCCESSFULLY;
  FsRtlAcquireFileExclusive(stream.file);
  NT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(&stream.resource), 0);  // its business
  NT_EXPECT_EQ(g_count, 3);
  NT_EXPECT_TRUE(stream.Saw(2, 'Q', kAcquire, true));
  FsRtlReleaseFile(stream.file);
  NT_EXPECT_EQ(g_count, 6);
}

NT_TEST(FsRtlFilterCallbacks, ASectionsCreationCanBeRefused) {
  Filtered stream(SectionCallbacks());
  PVOID section;
  NT_ASSERT_SUCCESS(MmCreateSection(&section, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_READONLY, SEC_COMMIT,
                                    nullptr, stream.file));
  NT_EXPECT_EQ(g_count, 8);
  NT_EXPECT_EQ(g_type, SyncTypeCreateSection);
  NT_EXPECT_EQ(g_protection, PAGE_READONLY);
  NT_EXPECT_TRUE(stream.Saw(7, 'Q', kRelease, true));
  NT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(&stream.resource), 0);
  ObDereferenceObject(section);
  g_count = 0;
  g_filter_answer = STATUS_SHARING_VIOLATION;
  NT_EXPECT_EQ(MmCreateSection(&section, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_READONLY, SEC_COMMIT,
                               nullptr, stream.file),
               STATUS_SHARING_VIOLATION);
  NT_EXPECT_EQ(g_count, 1);  // nobody below heard of it, and there is nothing to release
  NT_EXPECT_TRUE(!KeAreApcsDisabled());
  g_count = 0;
  g_filter_answer = STATUS_SUCCESS;
  g_file_system_answer = STATUS_FILE_LOCK_CONFLICT;
  NT_EXPECT_EQ(MmCreateSection(&section, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_READONLY, SEC_COMMIT,
                               nullptr, stream.file),
               STATUS_FILE_LOCK_CONFLICT);
  NT_EXPECT_EQ(g_count, 3);
  NT_EXPECT_TRUE(stream.Saw(2, 'Q', kAcquire, true, STATUS_FILE_LOCK_CONFLICT));
}

NT_TEST(FsRtlFilterCallbacks, AroundTheCachesFlush) {
  FS_FILTER_CALLBACKS callbacks = {};
  callbacks.PreAcquireForCcFlush = callbacks.PreReleaseForCcFlush = Before;
  callbacks.PostAcquireForCcFlush = callbacks.PostReleaseForCcFlush = After;
  Filtered stream(callbacks);
  UCHAR bytes[16] = {1};
  CcSetAdditionalCacheAttributes(stream.file, FALSE, TRUE);
  NT_EXPECT_TRUE(stream.Write(0x100, bytes, sizeof bytes));
  NT_EXPECT_SUCCESS(stream.Flush());
  NT_EXPECT_EQ(cached::g_writes, 1);
  NT_EXPECT_EQ(g_count, 8);
  NT_EXPECT_TRUE(stream.Saw(0, 'P', FS_FILTER_ACQUIRE_FOR_CC_FLUSH, true));
  NT_EXPECT_TRUE(stream.Saw(7, 'Q', FS_FILTER_RELEASE_FOR_CC_FLUSH, true));
  // Who holds the stream, even shared, can flush it.
  KeEnterCriticalRegion();
  ExAcquireResourceSharedLite(&stream.resource, TRUE);
  NT_EXPECT_SUCCESS(stream.Flush());
  NT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(&stream.resource), 1);
  ExReleaseResourceLite(&stream.resource);
  KeLeaveCriticalRegion();
  NT_EXPECT_TRUE(stream.Write(0x100, bytes, sizeof bytes));
  g_filter_answer = STATUS_CANT_WAIT;
  NT_EXPECT_EQ(stream.Flush(), STATUS_CANT_WAIT);
  NT_EXPECT_EQ(cached::g_writes, 1);
  g_filter_answer = STATUS_SUCCESS;
  NT_EXPECT_SUCCESS(stream.Flush());
  NT_EXPECT_EQ(cached::g_writes, 2);
}

NT_TEST(FsRtlFilterCallbacks, RegistrationChecksItsStructure) {
  FS_FILTER_CALLBACKS callbacks = {};
  NT_EXPECT_EQ(FsRtlRegisterFileSystemFilterCallbacks(nt_test::driver, &callbacks), STATUS_INVALID_PARAMETER);
  callbacks.SizeOfFsFilterCallbacks = sizeof callbacks;
  NT_EXPECT_EQ(FsRtlRegisterFileSystemFilterCallbacks(nullptr, &callbacks), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(FsRtlRegisterFileSystemFilterCallbacks(nt_test::driver, nullptr), STATUS_INVALID_PARAMETER);
}

namespace {

// A disk of the test's own.
STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR g_alignment;
DISK_GEOMETRY g_geometry;
constexpr GUID kStable = {0x11223344, 0x5566, 0x7788, {1, 2, 3, 4, 5, 6, 7, 8}};

template <typename T>
NTSTATUS Put(PIRP irp, const T& value) {
  const ULONG room = IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.OutputBufferLength;
  if (room < sizeof(T)) return cached::Finish(irp, STATUS_BUFFER_TOO_SMALL, 0);
  *static_cast<T*>(irp->AssociatedIrp.SystemBuffer) = value;
  return cached::Finish(irp, STATUS_SUCCESS, sizeof(T));
}

NTSTATUS NTAPI Control(PDEVICE_OBJECT, PIRP irp) {
  switch (IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_STORAGE_QUERY_PROPERTY:
      if (g_alignment.BytesPerLogicalSector != 0) return Put(irp, g_alignment);
      break;
    case IOCTL_DISK_GET_DRIVE_GEOMETRY:
      if (g_geometry.BytesPerSector != 0) return Put(irp, g_geometry);
      break;
    case IOCTL_MOUNTDEV_QUERY_STABLE_GUID:
      if (g_geometry.BytesPerSector != 0) return Put(irp, MOUNTDEV_STABLE_GUID{kStable});
      break;
  }
  return cached::Finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}

struct Disk {
  PDEVICE_OBJECT device = nullptr;
  Disk() {
    g_alignment = {};
    g_geometry = {};
    nt_test::driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    NT_EXPECT_SUCCESS(IoCreateDevice(nt_test::driver, 0, nullptr, FILE_DEVICE_DISK, 0, FALSE, &device));
    device->Flags &= ~DO_DEVICE_INITIALIZING;
  }
  ~Disk() { IoDeleteDevice(device); }
};

}  // namespace

NT_TEST(FsRtlSectors, FromAlignmentGeometryOrTheDevice) {
  Disk disk;
  FILE_FS_SECTOR_SIZE_INFORMATION info = {};
  g_alignment.BytesPerLogicalSector = 512;
  g_alignment.BytesPerPhysicalSector = 8192;
  NT_EXPECT_SUCCESS(FsRtlGetSectorSizeInformation(disk.device, &info));
  NT_EXPECT_EQ(info.LogicalBytesPerSector, 512);
  NT_EXPECT_EQ(info.PhysicalBytesPerSectorForAtomicity, 8192);
  NT_EXPECT_EQ(info.PhysicalBytesPerSectorForPerformance, 8192);
  NT_EXPECT_EQ(info.FileSystemEffectivePhysicalBytesPerSectorForAtomicity, PAGE_SIZE);
  NT_EXPECT_EQ(info.ByteOffsetForSectorAlignment, 0);
  NT_EXPECT_TRUE(info.Flags & SSINFO_FLAGS_ALIGNED_DEVICE);
  g_alignment.BytesOffsetForSectorAlignment = 512;
  NT_EXPECT_SUCCESS(FsRtlGetSectorSizeInformation(disk.device, &info));
  NT_EXPECT_EQ(info.ByteOffsetForSectorAlignment, 512);
  NT_EXPECT_TRUE(!(info.Flags & SSINFO_FLAGS_ALIGNED_DEVICE));
  g_alignment.BytesPerLogicalSector = 513;
  NT_EXPECT_EQ(FsRtlGetSectorSizeInformation(disk.device, &info), STATUS_BAD_DEVICE_TYPE);
  g_alignment = {};
  g_geometry.BytesPerSector = 2048;
  NT_EXPECT_SUCCESS(FsRtlGetSectorSizeInformation(disk.device, &info));
  NT_EXPECT_EQ(info.LogicalBytesPerSector, 2048);
  NT_EXPECT_EQ(info.PhysicalBytesPerSectorForAtomicity, 2048);
  NT_EXPECT_EQ(info.ByteOffsetForSectorAlignment, SSINFO_OFFSET_UNKNOWN);
  g_geometry = {};
  disk.device->SectorSize = 1024;
  NT_EXPECT_SUCCESS(FsRtlGetSectorSizeInformation(disk.device, &info));
  NT_EXPECT_EQ(info.LogicalBytesPerSector, 1024);
  disk.device->SectorSize = 0;
  NT_EXPECT_EQ(FsRtlGetSectorSizeInformation(disk.device, &info), STATUS_BAD_DEVICE_TYPE);
}

NT_TEST(FsRtlVolumeEvents, ACorrelationIdIsTheStableGuid) {
  Disk disk;
  GUID id = {};
  NT_EXPECT_EQ(FsRtlVolumeDeviceToCorrelationId(disk.device, &id), STATUS_INVALID_DEVICE_REQUEST);
  g_geometry.BytesPerSector = 512;
  NT_EXPECT_SUCCESS(FsRtlVolumeDeviceToCorrelationId(disk.device, &id));
  NT_EXPECT_EQ(RtlCompareMemory(&id, &kStable, sizeof id), sizeof id);
}

NT_TEST(FsRtlVolumeEvents, DiskIoIsChargedToTheCurrentProcess) {
  // Nobody can query the counts: two words of the process object grow by just these numbers.
  constexpr ULONG64 kRead = 0x1234567890;
  constexpr ULONG64 kWritten = 0x9876543210;
  constexpr ULONG kWords = 0x600 / sizeof(ULONG64);
  auto* process = reinterpret_cast<const volatile ULONG64*>(IoGetCurrentProcess());
  static ULONG64 before[kWords];
  for (ULONG i = 0; i < kWords; ++i) before[i] = process[i];
  FsRtlUpdateDiskCounters(kRead, kWritten);
  ULONG read = 0;
  ULONG written = 0;
  for (ULONG i = 0; i < kWords; ++i) {
    if (process[i] - before[i] == kRead) ++read;
    if (process[i] - before[i] == kWritten) ++written;
  }
  NT_EXPECT_EQ(read, 1);
  NT_EXPECT_EQ(written, 1);
}
