// The services of byte-range locks and of directory notification, over a device of the test's own that uses
// FsRtl. Oracle: the WDK pages; not yet run on a real NT.
#include "ddi_fs.h"
#include "nt_test.h"

namespace {

FILE_LOCK g_lock;
PNOTIFY_SYNC g_sync;
LIST_ENTRY g_list;

NTSTATUS Finish(PIRP irp, NTSTATUS status) {
  irp->IoStatus.Status = status;
  irp->IoStatus.Information = 0;
  IoCompleteRequest(irp, IO_NO_INCREMENT);
  return status;
}
NTSTATUS NTAPI Succeed(PDEVICE_OBJECT, PIRP irp) {
  return Finish(irp, STATUS_SUCCESS);
}
NTSTATUS NTAPI Lock(PDEVICE_OBJECT, PIRP irp) {
  return FsRtlProcessFileLock(&g_lock, irp, nullptr);
}
NTSTATUS NTAPI Directory(PDEVICE_OBJECT, PIRP irp) {
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  if (stack->MinorFunction != IRP_MN_NOTIFY_CHANGE_DIRECTORY)
    return Finish(irp, STATUS_INVALID_DEVICE_REQUEST);
  static STRING root = {1, 1, const_cast<PCHAR>("\\")};
  FsRtlNotifyFullChangeDirectory(g_sync, &g_list, stack->FileObject, &root,
                                 (stack->Flags & SL_WATCH_TREE) != 0, FALSE,
                                 stack->Parameters.NotifyDirectory.CompletionFilter, irp, nullptr, nullptr);
  return STATUS_PENDING;
}
NTSTATUS NTAPI Cleanup(PDEVICE_OBJECT, PIRP irp) {
  PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
  FsRtlFastUnlockAll(&g_lock, file, IoGetRequestorProcess(irp), nullptr);
  FsRtlNotifyCleanup(g_sync, &g_list, file);
  return Finish(irp, STATUS_SUCCESS);
}

constexpr WCHAR kName[] = L"\\Device\\FsTestLocks";

struct World {
  PDEVICE_OBJECT device = nullptr;
  World() {
    FsRtlInitializeFileLock(&g_lock, nullptr, nullptr);
    FsRtlNotifyInitializeSync(&g_sync);
    InitializeListHead(&g_list);
    nt_test::driver->MajorFunction[IRP_MJ_CREATE] = Succeed;
    nt_test::driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    nt_test::driver->MajorFunction[IRP_MJ_CLOSE] = Succeed;
    nt_test::driver->MajorFunction[IRP_MJ_LOCK_CONTROL] = Lock;
    nt_test::driver->MajorFunction[IRP_MJ_DIRECTORY_CONTROL] = Directory;
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, kName);
    NT_EXPECT_SUCCESS(IoCreateDevice(nt_test::driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device));
    device->Flags &= ~DO_DEVICE_INITIALIZING;
  }
  ~World() {
    IoDeleteDevice(device);
    FsRtlNotifyUninitializeSync(&g_sync);
    FsRtlUninitializeFileLock(&g_lock);
  }
};

struct File {
  HANDLE handle = nullptr;
  explicit File(ACCESS_MASK access = FILE_READ_DATA | FILE_WRITE_DATA) {
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, kName);
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, nullptr, nullptr);
    IO_STATUS_BLOCK iosb;
    NT_EXPECT_SUCCESS(ZwOpenFile(&handle, access, &attributes, &iosb, 7, 0));
  }
  ~File() { Close(); }
  void Close() {
    if (handle != nullptr) ZwClose(handle);
    handle = nullptr;
  }
  NTSTATUS LockRange(LONGLONG offset, LONGLONG length, BOOLEAN exclusive, BOOLEAN at_once, HANDLE event,
                     PIO_STATUS_BLOCK iosb) {
    LARGE_INTEGER o, l;
    o.QuadPart = offset;
    l.QuadPart = length;
    return ZwLockFile(handle, event, nullptr, nullptr, iosb, &o, &l, 0, at_once, exclusive);
  }
  NTSTATUS Unlock(LONGLONG offset, LONGLONG length) {
    LARGE_INTEGER o, l;
    o.QuadPart = offset;
    l.QuadPart = length;
    IO_STATUS_BLOCK iosb;
    return ZwUnlockFile(handle, &iosb, &o, &l, 0);
  }
};

HANDLE NewEvent() {
  HANDLE event = nullptr;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  NT_EXPECT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE));
  return event;
}

}  // namespace

NT_TEST(IoLocks, RangesAreLockedAndUnlocked) {
  World world;
  File first, second;
  IO_STATUS_BLOCK iosb = {};
  NT_EXPECT_EQ(first.LockRange(0, 10, TRUE, TRUE, nullptr, &iosb), STATUS_SUCCESS);
  NT_EXPECT_EQ(second.LockRange(5, 1, FALSE, TRUE, nullptr, &iosb), STATUS_LOCK_NOT_GRANTED);
  NT_EXPECT_EQ(second.LockRange(10, 1, FALSE, TRUE, nullptr, &iosb), STATUS_SUCCESS);
  NT_EXPECT_EQ(first.LockRange(10, 1, FALSE, TRUE, nullptr, &iosb), STATUS_SUCCESS);
  NT_EXPECT_EQ(first.Unlock(0, 9), STATUS_RANGE_NOT_LOCKED);
  NT_EXPECT_EQ(first.Unlock(0, 10), STATUS_SUCCESS);
  NT_EXPECT_EQ(second.LockRange(5, 1, TRUE, TRUE, nullptr, &iosb), STATUS_SUCCESS);
  NT_EXPECT_EQ(first.LockRange(-1, 1, TRUE, TRUE, nullptr, &iosb), STATUS_INVALID_PARAMETER);
  File attributes(FILE_READ_ATTRIBUTES | SYNCHRONIZE);
  NT_EXPECT_EQ(attributes.LockRange(100, 1, TRUE, TRUE, nullptr, &iosb), STATUS_ACCESS_DENIED);
}

NT_TEST(IoLocks, WaitingLocksAreGrantedWhenTheHandleCloses) {
  World world;
  File first, second;
  IO_STATUS_BLOCK iosb = {};
  HANDLE event = NewEvent();
  NT_EXPECT_EQ(first.LockRange(0, 10, TRUE, TRUE, nullptr, &iosb), STATUS_SUCCESS);
  NT_EXPECT_EQ(second.LockRange(0, 10, TRUE, FALSE, event, &iosb), STATUS_PENDING);
  first.Close();
  NT_EXPECT_EQ(ZwWaitForSingleObject(event, FALSE, nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(iosb.Status, STATUS_SUCCESS);
  NT_EXPECT_EQ(second.Unlock(0, 10), STATUS_SUCCESS);
  ZwClose(event);
}

NT_TEST(IoLocks, DirectoriesTellOfChanges) {
  World world;
  File directory(FILE_LIST_DIRECTORY | SYNCHRONIZE);
  alignas(8) UCHAR buffer[128] = {};
  IO_STATUS_BLOCK iosb = {};
  HANDLE event = NewEvent();
  NT_EXPECT_EQ(NtNotifyChangeDirectoryFile(directory.handle, event, nullptr, nullptr, &iosb, buffer,
                                           sizeof buffer, 0, TRUE),
               STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(NtNotifyChangeDirectoryFile(directory.handle, event, nullptr, nullptr, &iosb, buffer,
                                           sizeof buffer, FILE_NOTIFY_CHANGE_FILE_NAME, TRUE),
               STATUS_PENDING);
  STRING target;
  RtlInitString(&target, "\\new");
  FsRtlNotifyFullReportChange(g_sync, &g_list, &target, 1, nullptr, nullptr, FILE_NOTIFY_CHANGE_FILE_NAME,
                              FILE_ACTION_ADDED, nullptr);
  NT_EXPECT_EQ(ZwWaitForSingleObject(event, FALSE, nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(iosb.Status, STATUS_SUCCESS);
  NT_EXPECT_EQ(iosb.Information, 12 + 6);
  const auto* change = reinterpret_cast<PFILE_NOTIFY_INFORMATION>(buffer);
  NT_EXPECT_EQ(change->Action, FILE_ACTION_ADDED);
  NT_EXPECT_EQ(change->FileNameLength, 6);
  NT_EXPECT_EQ(change->FileName[0], L'n');
  NT_EXPECT_EQ(NtNotifyChangeDirectoryFile(directory.handle, event, nullptr, nullptr, &iosb, buffer,
                                           sizeof buffer, FILE_NOTIFY_CHANGE_FILE_NAME, TRUE),
               STATUS_PENDING);
  directory.Close();
  NT_EXPECT_EQ(ZwWaitForSingleObject(event, FALSE, nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(iosb.Status, STATUS_NOTIFY_CLEANUP);
  ZwClose(event);
}

NT_TEST(IoLocks, FilesOfTheDriveHaveLocks) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"\\??\\C:\\locked.txt");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  IO_STATUS_BLOCK iosb = {};
  HANDLE handles[2];
  for (HANDLE& handle : handles)
    NT_ASSERT_SUCCESS(ZwCreateFile(&handle, FILE_READ_DATA | FILE_WRITE_DATA | DELETE | SYNCHRONIZE,
                                   &attributes, &iosb, nullptr, 0, 7, FILE_OPEN_IF,
                                   FILE_SYNCHRONOUS_IO_NONALERT | FILE_DELETE_ON_CLOSE, nullptr, 0));
  LARGE_INTEGER zero = {}, ten = {};
  ten.QuadPart = 10;
  UCHAR bytes[16] = {};
  NT_EXPECT_EQ(ZwWriteFile(handles[0], nullptr, nullptr, nullptr, &iosb, bytes, 16, &zero, nullptr),
               STATUS_SUCCESS);
  NT_EXPECT_EQ(ZwLockFile(handles[0], nullptr, nullptr, nullptr, &iosb, &zero, &ten, 0, TRUE, TRUE),
               STATUS_SUCCESS);
  NT_EXPECT_EQ(ZwReadFile(handles[1], nullptr, nullptr, nullptr, &iosb, bytes, 4, &zero, nullptr),
               STATUS_FILE_LOCK_CONFLICT);
  NT_EXPECT_EQ(ZwWriteFile(handles[1], nullptr, nullptr, nullptr, &iosb, bytes, 4, &zero, nullptr),
               STATUS_FILE_LOCK_CONFLICT);
  NT_EXPECT_EQ(ZwReadFile(handles[1], nullptr, nullptr, nullptr, &iosb, bytes, 4, &ten, nullptr),
               STATUS_SUCCESS);
  NT_EXPECT_EQ(ZwReadFile(handles[0], nullptr, nullptr, nullptr, &iosb, bytes, 4, &zero, nullptr),
               STATUS_SUCCESS);
  ZwClose(handles[0]);  // its locks go
  NT_EXPECT_EQ(ZwReadFile(handles[1], nullptr, nullptr, nullptr, &iosb, bytes, 4, &zero, nullptr),
               STATUS_SUCCESS);
  ZwClose(handles[1]);
}
