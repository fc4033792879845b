// Registered file systems, mounting, stream files, through the ABI: the test is a disk and a file system.
// Oracle: the WDK pages of Io*; not yet run on a real NT.
#include "ddi_fs.h"
#include "nt_test.h"

namespace {

PDEVICE_OBJECT g_disk;
PDEVICE_OBJECT g_file_system;
PDEVICE_OBJECT g_volume;
volatile LONG g_mounts;
volatile LONG g_verifies;
volatile LONG g_volume_creates;
volatile LONG g_disk_creates;
volatile LONG g_cleanups;
volatile LONG g_closes;
NTSTATUS g_mount_answer;
NTSTATUS g_verify_answer;

NTSTATUS Finish(PIRP irp, NTSTATUS status, ULONG_PTR information = 0) {
  irp->IoStatus.Status = status;
  irp->IoStatus.Information = information;
  IoCompleteRequest(irp, IO_NO_INCREMENT);
  return status;
}

NTSTATUS Mount(PIO_STACK_LOCATION stack) {
  InterlockedIncrement(&g_mounts);
  if (!NT_SUCCESS(g_mount_answer)) return g_mount_answer;
  NT_EXPECT_TRUE(stack->Parameters.MountVolume.DeviceObject == g_disk);
  stack->Parameters.MountVolume.Vpb->DeviceObject = g_volume;
  stack->Parameters.MountVolume.Vpb->SerialNumber = 0x1234;
  return STATUS_SUCCESS;
}

NTSTATUS NTAPI Control(PDEVICE_OBJECT device, PIRP irp) {
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  if (stack->MinorFunction == IRP_MN_MOUNT_VOLUME && device == g_file_system)
    return Finish(irp, Mount(stack));
  if (stack->MinorFunction == IRP_MN_VERIFY_VOLUME && device == g_volume) {
    InterlockedIncrement(&g_verifies);
    return Finish(irp, g_verify_answer);
  }
  return Finish(irp, STATUS_INVALID_DEVICE_REQUEST);
}

NTSTATUS NTAPI Create(PDEVICE_OBJECT device, PIRP irp) {
  PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
  InterlockedIncrement(device == g_volume ? &g_volume_creates : &g_disk_creates);
  if (device == g_volume) {
    NT_EXPECT_TRUE(file->Vpb == g_disk->Vpb);
    NT_EXPECT_TRUE(file->DeviceObject == g_disk);
    // "\moved" is "\there": as a filter redirects opens.
    if (file->FileName.Length == 12 && file->FileName.Buffer[1] == L'm') {
      constexpr WCHAR kThere[] = L"\\Device\\FsTestDisk\\there";
      ExFreePool(file->FileName.Buffer);
      file->FileName.Buffer = static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof kThere, 'mNoI'));
      RtlCopyMemory(file->FileName.Buffer, kThere, sizeof kThere);
      file->FileName.MaximumLength = sizeof kThere;
      file->FileName.Length = sizeof kThere - sizeof(WCHAR);
      return Finish(irp, STATUS_REPARSE, IO_REPARSE);
    }
  }
  return Finish(irp, STATUS_SUCCESS, FILE_OPENED);
}
NTSTATUS NTAPI Cleanup(PDEVICE_OBJECT, PIRP irp) {
  InterlockedIncrement(&g_cleanups);
  return Finish(irp, STATUS_SUCCESS);
}
NTSTATUS NTAPI Close(PDEVICE_OBJECT, PIRP irp) {
  InterlockedIncrement(&g_closes);
  return Finish(irp, STATUS_SUCCESS);
}

UNICODE_STRING Wide(const WCHAR* text) {
  UNICODE_STRING string;
  RtlInitUnicodeString(&string, text);
  return string;
}

NTSTATUS Open(const WCHAR* path, ACCESS_MASK access, PHANDLE handle) {
  UNICODE_STRING name = Wide(path);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  IO_STATUS_BLOCK iosb;
  return ZwOpenFile(handle, access, &attributes, &iosb, FILE_SHARE_READ | FILE_SHARE_WRITE, 0);
}
NTSTATUS OpenAndClose(const WCHAR* path, ACCESS_MASK access) {
  HANDLE handle;
  const NTSTATUS status = Open(path, access, &handle);
  if (NT_SUCCESS(status)) ZwClose(handle);
  return status;
}

// The disk \Device\FsTestDisk, the file system's control device, and the device of the volume to be.
struct World {
  World() {
    volatile LONG* const counters[] = {&g_mounts,       &g_verifies, &g_volume_creates,
                                       &g_disk_creates, &g_cleanups, &g_closes};
    for (volatile LONG* counter : counters) *counter = 0;
    g_mount_answer = g_verify_answer = STATUS_SUCCESS;
    nt_test::driver->MajorFunction[IRP_MJ_CREATE] = Create;
    nt_test::driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    nt_test::driver->MajorFunction[IRP_MJ_CLOSE] = Close;
    nt_test::driver->MajorFunction[IRP_MJ_FILE_SYSTEM_CONTROL] = Control;
    UNICODE_STRING name = Wide(L"\\Device\\FsTestDisk");
    NT_EXPECT_SUCCESS(IoCreateDevice(nt_test::driver, 0, &name, FILE_DEVICE_DISK, 0, FALSE, &g_disk));
    NT_EXPECT_SUCCESS(
        IoCreateDevice(nt_test::driver, 0, nullptr, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &g_file_system));
    NT_EXPECT_SUCCESS(
        IoCreateDevice(nt_test::driver, 0, nullptr, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &g_volume));
    g_disk->Flags &= ~DO_DEVICE_INITIALIZING;
    IoRegisterFileSystem(g_file_system);
  }
  ~World() {
    IoUnregisterFileSystem(g_file_system);
    IoDeleteDevice(g_disk);
    IoDeleteDevice(g_volume);
    IoDeleteDevice(g_file_system);
  }
};

volatile LONG g_active;
volatile LONG g_inactive;
volatile LONG g_seen;
VOID NTAPI OnFileSystem(PDEVICE_OBJECT device, BOOLEAN active) {
  InterlockedIncrement(active ? &g_active : &g_inactive);
  if (device == g_file_system) InterlockedIncrement(&g_seen);
}

}  // namespace

NT_TEST(IoFileSystems, AVolumeIsMountedByItsFirstOpen) {
  World world;
  NT_EXPECT_TRUE(!(g_disk->Vpb->Flags & VPB_MOUNTED));
  NT_EXPECT_EQ(OpenAndClose(L"\\Device\\FsTestDisk", FILE_READ_ATTRIBUTES), STATUS_SUCCESS);  // the device
  NT_EXPECT_EQ(g_mounts, 0);
  NT_EXPECT_EQ(g_disk_creates, 1);
  NT_EXPECT_EQ(OpenAndClose(L"\\Device\\FsTestDisk\\file", FILE_READ_DATA), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_mounts, 1);
  NT_EXPECT_EQ(g_volume_creates, 1);
  NT_EXPECT_TRUE((g_disk->Vpb->Flags & VPB_MOUNTED) != 0);
  NT_EXPECT_EQ(g_disk->Vpb->SerialNumber, 0x1234);
  NT_EXPECT_EQ(g_volume->StackSize, g_disk->StackSize + 1);
  NT_EXPECT_EQ(OpenAndClose(L"\\Device\\FsTestDisk\\file", FILE_READ_DATA), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_mounts, 1);
  NT_EXPECT_EQ(g_cleanups, 3);
  NT_EXPECT_EQ(g_closes, 3);
  NT_EXPECT_EQ(g_disk->Vpb->ReferenceCount, 0);
}

NT_TEST(IoFileSystems, OpenFilesBelongToTheVolume) {
  World world;
  HANDLE handle;
  NT_ASSERT_SUCCESS(Open(L"\\Device\\FsTestDisk\\file", FILE_READ_DATA, &handle));
  PFILE_OBJECT file;
  NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(handle, 0, *IoFileObjectType, KernelMode,
                                              reinterpret_cast<PVOID*>(&file), nullptr));
  NT_EXPECT_EQ(g_disk->Vpb->ReferenceCount, 1);
  NT_EXPECT_TRUE(IoGetRelatedDeviceObject(file) == g_volume);
  NT_EXPECT_TRUE(IoGetBaseFileSystemDeviceObject(file) == g_volume);
  ObDereferenceObject(file);
  ZwClose(handle);
}

NT_TEST(IoFileSystems, UnknownMediaAreTheDevicesOwn) {
  World world;
  g_mount_answer = STATUS_UNRECOGNIZED_VOLUME;
  NT_EXPECT_EQ(OpenAndClose(L"\\Device\\FsTestDisk", FILE_READ_DATA), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_disk_creates, 1);
  NT_EXPECT_EQ(OpenAndClose(L"\\Device\\FsTestDisk\\file", FILE_READ_DATA), STATUS_UNRECOGNIZED_VOLUME);
  g_mount_answer = STATUS_DISK_CORRUPT_ERROR;
  NT_EXPECT_EQ(OpenAndClose(L"\\Device\\FsTestDisk\\file", FILE_READ_DATA), STATUS_DISK_CORRUPT_ERROR);
  NT_EXPECT_EQ(g_volume_creates, 0);
}

NT_TEST(IoFileSystems, RegistrationsAreTold) {
  World world;
  g_active = 0;
  g_inactive = 0;
  g_seen = 0;
  NT_EXPECT_EQ(IoRegisterFsRegistrationChange(nt_test::driver, OnFileSystem), STATUS_SUCCESS);
  NT_EXPECT_TRUE(g_active >= 2);  // C:'s and this one
  NT_EXPECT_EQ(g_seen, 1);
  NT_EXPECT_EQ(IoRegisterFsRegistrationChange(nt_test::driver, OnFileSystem), STATUS_DEVICE_ALREADY_ATTACHED);
  IoUnregisterFileSystem(g_file_system);
  NT_EXPECT_EQ(g_inactive, 1);
  IoRegisterFileSystem(g_file_system);
  NT_EXPECT_EQ(g_seen, 3);
  IoUnregisterFsRegistrationChange(nt_test::driver, OnFileSystem);
  IoUnregisterFileSystem(g_file_system);
  NT_EXPECT_EQ(g_inactive, 1);
}

NT_TEST(IoFileSystems, VerifyAsksTheFileSystemAndMountsAnew) {
  World world;
  NT_EXPECT_EQ(OpenAndClose(L"\\Device\\FsTestDisk\\file", FILE_READ_DATA), STATUS_SUCCESS);
  PVPB first = g_disk->Vpb;
  g_disk->Flags |= DO_VERIFY_VOLUME;
  NT_EXPECT_EQ(IoVerifyVolume(g_disk, FALSE), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_verifies, 1);
  NT_EXPECT_TRUE(!(g_disk->Flags & DO_VERIFY_VOLUME));
  NT_EXPECT_TRUE(g_disk->Vpb == first);
  HANDLE handle;
  NT_ASSERT_SUCCESS(Open(L"\\Device\\FsTestDisk\\file", FILE_READ_DATA, &handle));
  g_verify_answer = STATUS_WRONG_VOLUME;
  NT_EXPECT_EQ(IoVerifyVolume(g_disk, FALSE), STATUS_WRONG_VOLUME);
  NT_EXPECT_TRUE(g_disk->Vpb != first);  // the open file keeps the old one
  NT_EXPECT_EQ(g_mounts, 2);
  ZwClose(handle);
}

NT_TEST(IoFileSystems, TheDeviceToVerifyIsTheThreads) {
  World world;
  PETHREAD thread = PsGetCurrentThread();
  NT_EXPECT_TRUE(IoGetDeviceToVerify(thread) == nullptr);
  PIRP irp = IoAllocateIrp(1, FALSE);
  irp->Tail.Overlay.Thread = thread;
  IoSetHardErrorOrVerifyDevice(irp, g_disk);
  NT_EXPECT_TRUE(IoGetDeviceToVerify(thread) == g_disk);
  IoSetDeviceToVerify(thread, nullptr);
  NT_EXPECT_TRUE(IoGetDeviceToVerify(thread) == nullptr);
  IoFreeIrp(irp);
}

NT_TEST(IoFileSystems, VpbLockRaisesToDispatchLevel) {
  KIRQL irql;
  IoAcquireVpbSpinLock(&irql);
  NT_EXPECT_EQ(KeGetCurrentIrql(), DISPATCH_LEVEL);
  NT_EXPECT_EQ(irql, PASSIVE_LEVEL);
  IoReleaseVpbSpinLock(irql);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

NT_TEST(IoFileSystems, StreamFilesAreCleanedUpAtOnce) {
  World world;
  PFILE_OBJECT stream = IoCreateStreamFileObject(nullptr, g_volume);
  NT_EXPECT_TRUE((stream->Flags & FO_STREAM_FILE) != 0);
  NT_EXPECT_TRUE((stream->Flags & FO_CLEANUP_COMPLETE) != 0);
  NT_EXPECT_TRUE(stream->DeviceObject == g_volume);
  NT_EXPECT_EQ(g_cleanups, 1);
  NT_EXPECT_EQ(g_closes, 0);
  PFILE_OBJECT lite = IoCreateStreamFileObjectLite(stream, nullptr);
  NT_EXPECT_TRUE(lite->DeviceObject == g_volume);
  NT_EXPECT_EQ(g_cleanups, 1);
  ObDereferenceObject(lite);
  ObDereferenceObject(stream);
  NT_EXPECT_EQ(g_closes, 2);
}

NT_TEST(IoFileSystems, EaListsAreChecked) {
  struct {
    FILE_FULL_EA_INFORMATION first;
    UCHAR rest[64];
  } list;
  RtlZeroMemory(&list, sizeof list);
  ULONG wrong = 99;
  list.first.EaNameLength = 3;
  list.first.EaValueLength = 4;
  RtlCopyMemory(list.first.EaName, "abc", 4);
  const ULONG size = FIELD_OFFSET(FILE_FULL_EA_INFORMATION, EaName) + 3 + 1 + 4;
  NT_EXPECT_EQ(IoCheckEaBufferValidity(&list.first, size, &wrong), STATUS_SUCCESS);
  NT_EXPECT_EQ(IoCheckEaBufferValidity(&list.first, size - 1, &wrong), STATUS_EA_LIST_INCONSISTENT);
  NT_EXPECT_EQ(wrong, 0);
  list.first.EaName[3] = 'x';
  NT_EXPECT_EQ(IoCheckEaBufferValidity(&list.first, size, &wrong), STATUS_EA_LIST_INCONSISTENT);
  list.first.EaName[3] = 0;
  list.first.NextEntryOffset = (size + 3) & ~3u;
  NT_EXPECT_EQ(IoCheckEaBufferValidity(&list.first, list.first.NextEntryOffset + 4, &wrong),
               STATUS_EA_LIST_INCONSISTENT);
  NT_EXPECT_EQ(wrong, list.first.NextEntryOffset);
  list.first.NextEntryOffset = 4;
  NT_EXPECT_EQ(IoCheckEaBufferValidity(&list.first, sizeof list, &wrong), STATUS_EA_LIST_INCONSISTENT);
}

NT_TEST(IoFileSystems, TheGenericMappingIsThatOfFiles) {
  PGENERIC_MAPPING mapping = IoGetFileObjectGenericMapping();
  NT_EXPECT_EQ(mapping->GenericRead, FILE_GENERIC_READ);
  NT_EXPECT_EQ(mapping->GenericWrite, FILE_GENERIC_WRITE);
  NT_EXPECT_EQ(mapping->GenericExecute, FILE_GENERIC_EXECUTE);
  NT_EXPECT_EQ(mapping->GenericAll, FILE_ALL_ACCESS);
}

NT_TEST(IoFiles, ReparsedOpensGoOnWithTheNewName) {
  World world;
  HANDLE handle;
  NT_ASSERT_SUCCESS(Open(L"\\Device\\FsTestDisk\\moved", FILE_READ_DATA, &handle));
  PFILE_OBJECT file;
  NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(handle, 0, *IoFileObjectType, KernelMode,
                                              reinterpret_cast<PVOID*>(&file), nullptr));
  NT_EXPECT_EQ(g_volume_creates, 2);
  NT_EXPECT_EQ(file->FileName.Length, 12);
  NT_EXPECT_EQ(file->FileName.Buffer[1], L't');
  ObDereferenceObject(file);
  ZwClose(handle);
}

NT_TEST(IoFiles, HintsMustBeOfTheStack) {
  World world;
  UNICODE_STRING name = Wide(L"\\Device\\FsTestDisk\\file");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  IO_STATUS_BLOCK iosb;
  HANDLE handle;
  NT_EXPECT_EQ(IoCreateFileSpecifyDeviceObjectHint(&handle, FILE_READ_DATA, &attributes, &iosb, nullptr, 0, 0,
                                                   FILE_OPEN, 0, nullptr, 0, CreateFileTypeNone, nullptr, 0,
                                                   g_file_system),
               STATUS_INVALID_DEVICE_OBJECT_PARAMETER);
  NT_ASSERT_SUCCESS(IoCreateFileSpecifyDeviceObjectHint(&handle, FILE_READ_DATA, &attributes, &iosb, nullptr,
                                                        0, 0, FILE_OPEN, 0, nullptr, 0, CreateFileTypeNone,
                                                        nullptr, 0, g_volume));
  NT_EXPECT_EQ(g_volume_creates, 1);
  ZwClose(handle);
}
