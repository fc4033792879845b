// Change notification on C:. Oracles: the WDK pages of NtNotifyChangeDirectoryFile and
// FILE_NOTIFY_INFORMATION; [MS-FSA] for who hears what.
#include "ddi_fs.h"
#include "drive_files.h"
#include "nt_test.h"

using namespace drive;

namespace {

constexpr ULONG kNames = FILE_NOTIFY_CHANGE_FILE_NAME | FILE_NOTIFY_CHANGE_DIR_NAME;
constexpr WCHAR kRoot[] = L"\\??\\C:\\notify";

// A watched directory, with an asynchronous handle.
struct Watcher {
  HANDLE handle = nullptr;
  HANDLE event = nullptr;
  IO_STATUS_BLOCK io = {};
  alignas(8) UCHAR buffer[512];

  explicit Watcher(PCWSTR path = kRoot) {
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES object;
    RtlInitUnicodeString(&name, path);
    InitializeObjectAttributes(&object, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
    IO_STATUS_BLOCK opened;
    NT_EXPECT_SUCCESS(ZwCreateFile(&handle, FILE_LIST_DIRECTORY, &object, &opened, nullptr, 0, kShareAll,
                                   FILE_OPEN_IF, FILE_DIRECTORY_FILE, nullptr, 0));
    InitializeObjectAttributes(&object, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
    NT_EXPECT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &object, NotificationEvent, FALSE));
  }
  ~Watcher() {
    Close();
    ZwClose(event);
  }
  void Close() {
    if (handle != nullptr) ZwClose(handle);
    handle = nullptr;
  }
  NTSTATUS Watch(ULONG filter, BOOLEAN tree = FALSE, ULONG length = sizeof buffer) {
    RtlZeroMemory(buffer, sizeof buffer);
    io = {};
    io.Status = STATUS_PENDING;
    return NtNotifyChangeDirectoryFile(handle, event, nullptr, nullptr, &io, length != 0 ? buffer : nullptr,
                                       length, filter, tree);
  }
  NTSTATUS Wait() {
    ZwWaitForSingleObject(event, FALSE, nullptr);
    return io.Status;
  }
  // The entry behind `after` (0: the first) is this one.
  const FILE_NOTIFY_INFORMATION* Entry(const FILE_NOTIFY_INFORMATION* after = nullptr) const {
    if (after == nullptr) return reinterpret_cast<const FILE_NOTIFY_INFORMATION*>(buffer);
    return after->NextEntryOffset == 0 ? nullptr
                                       : reinterpret_cast<const FILE_NOTIFY_INFORMATION*>(
                                             reinterpret_cast<const UCHAR*>(after) + after->NextEntryOffset);
  }
};

bool Is(const FILE_NOTIFY_INFORMATION* entry, ULONG action, PCWSTR name) {
  const ULONG bytes = static_cast<ULONG>(wcslen(name) * sizeof(WCHAR));
  return entry != nullptr && entry->Action == action && entry->FileNameLength == bytes &&
         RtlCompareMemory(entry->FileName, name, bytes) == bytes;
}

NTSTATUS RenameTo(PCWSTR path, PCWSTR name) {
  const Opened file = Open(path, DELETE, FILE_OPEN, 0);
  if (!NT_SUCCESS(file.status)) return file.status;
  const NTSTATUS status = Rename(file.handle, name, FALSE);
  ZwClose(file.handle);
  return status;
}

}  // namespace

NT_TEST(HostFsNotify, CreationRenameAndDeletionAreTold) {
  Watcher watcher;
  NT_EXPECT_EQ(watcher.Watch(kNames), STATUS_PENDING);
  NT_EXPECT_SUCCESS(Put(L"\\??\\C:\\notify\\a.txt", "x"));
  NT_EXPECT_EQ(watcher.Wait(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(Is(watcher.Entry(), FILE_ACTION_ADDED, L"a.txt"));
  NT_EXPECT_EQ(watcher.io.Information, 12 + 10);
  NT_EXPECT_EQ(watcher.Watch(kNames), STATUS_PENDING);
  NT_EXPECT_SUCCESS(RenameTo(L"\\??\\C:\\notify\\a.txt", L"b.txt"));
  NT_EXPECT_EQ(watcher.Wait(), STATUS_SUCCESS);
  const auto* old = watcher.Entry();
  NT_EXPECT_TRUE(Is(old, FILE_ACTION_RENAMED_OLD_NAME, L"a.txt"));
  NT_EXPECT_TRUE(Is(watcher.Entry(old), FILE_ACTION_RENAMED_NEW_NAME, L"b.txt"));
  NT_EXPECT_EQ(watcher.Watch(kNames), STATUS_PENDING);
  NT_EXPECT_SUCCESS(Delete(L"\\??\\C:\\notify\\b.txt"));
  NT_EXPECT_EQ(watcher.Wait(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(Is(watcher.Entry(), FILE_ACTION_REMOVED, L"b.txt"));
}

NT_TEST(HostFsNotify, FiltersAndTreesChoose) {
  MakeDirectory(kRoot);
  MakeDirectory(L"\\??\\C:\\notify\\sub");
  Watcher files, directories, tree;
  NT_EXPECT_EQ(files.Watch(FILE_NOTIFY_CHANGE_FILE_NAME), STATUS_PENDING);
  NT_EXPECT_EQ(directories.Watch(FILE_NOTIFY_CHANGE_DIR_NAME), STATUS_PENDING);
  NT_EXPECT_EQ(tree.Watch(kNames, TRUE), STATUS_PENDING);
  NT_EXPECT_SUCCESS(Put(L"\\??\\C:\\notify\\sub\\deep.txt", "x"));
  NT_EXPECT_EQ(tree.Wait(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(Is(tree.Entry(), FILE_ACTION_ADDED, L"sub\\deep.txt"));
  NT_EXPECT_EQ(files.io.Status, STATUS_PENDING);
  MakeDirectory(L"\\??\\C:\\notify\\made");
  NT_EXPECT_EQ(directories.Wait(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(Is(directories.Entry(), FILE_ACTION_ADDED, L"made"));
  NT_EXPECT_EQ(files.io.Status, STATUS_PENDING);
  // Into another directory: gone from one, new in the other.
  NT_EXPECT_SUCCESS(RenameTo(L"\\??\\C:\\notify\\sub\\deep.txt", L"\\??\\C:\\notify\\up.txt"));
  NT_EXPECT_EQ(files.Wait(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(Is(files.Entry(), FILE_ACTION_ADDED, L"up.txt"));
  NT_EXPECT_EQ(tree.Watch(kNames, TRUE), STATUS_PENDING);
  NT_EXPECT_EQ(tree.Wait(), STATUS_SUCCESS);  // what was remembered
  const auto* first = tree.Entry();
  NT_EXPECT_TRUE(Is(first, FILE_ACTION_ADDED, L"made"));
  const auto* second = tree.Entry(first);
  NT_EXPECT_TRUE(Is(second, FILE_ACTION_REMOVED, L"sub\\deep.txt"));
  NT_EXPECT_TRUE(second != nullptr && Is(tree.Entry(second), FILE_ACTION_ADDED, L"up.txt"));
  NT_EXPECT_SUCCESS(Delete(L"\\??\\C:\\notify\\up.txt"));
  NT_EXPECT_SUCCESS(Delete(L"\\??\\C:\\notify\\made"));
  NT_EXPECT_SUCCESS(Delete(L"\\??\\C:\\notify\\sub"));
}

NT_TEST(HostFsNotify, WritesSizesAndAttributes) {
  MakeDirectory(kRoot);
  NT_EXPECT_SUCCESS(Put(L"\\??\\C:\\notify\\w.txt", "abc"));
  const Opened file = Open(L"\\??\\C:\\notify\\w.txt", GENERIC_WRITE, FILE_OPEN, FILE_NON_DIRECTORY_FILE);
  NT_ASSERT_SUCCESS(file.status);
  Watcher size, written, attributes;
  NT_EXPECT_EQ(size.Watch(FILE_NOTIFY_CHANGE_SIZE), STATUS_PENDING);
  NT_EXPECT_EQ(written.Watch(FILE_NOTIFY_CHANGE_LAST_WRITE), STATUS_PENDING);
  NT_EXPECT_EQ(attributes.Watch(FILE_NOTIFY_CHANGE_ATTRIBUTES), STATUS_PENDING);
  char bytes[] = "xyz";
  LARGE_INTEGER at = {};
  IO_STATUS_BLOCK io;
  NT_EXPECT_SUCCESS(ZwWriteFile(file.handle, nullptr, nullptr, nullptr, &io, bytes, 3, &at, nullptr));
  NT_EXPECT_EQ(written.Wait(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(Is(written.Entry(), FILE_ACTION_MODIFIED, L"w.txt"));
  NT_EXPECT_EQ(size.io.Status, STATUS_PENDING);
  FILE_END_OF_FILE_INFORMATION end = {};
  end.EndOfFile.QuadPart = 100;
  NT_EXPECT_SUCCESS(ZwSetInformationFile(file.handle, &io, &end, sizeof end, FileEndOfFileInformation));
  NT_EXPECT_EQ(size.Wait(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(Is(size.Entry(), FILE_ACTION_MODIFIED, L"w.txt"));
  NT_EXPECT_EQ(attributes.io.Status, STATUS_PENDING);
  FILE_BASIC_INFORMATION basic = {};
  basic.FileAttributes = FILE_ATTRIBUTE_READONLY;
  NT_EXPECT_SUCCESS(ZwSetInformationFile(file.handle, &io, &basic, sizeof basic, FileBasicInformation));
  NT_EXPECT_EQ(attributes.Wait(), STATUS_SUCCESS);
  basic.FileAttributes = FILE_ATTRIBUTE_NORMAL;
  NT_EXPECT_SUCCESS(ZwSetInformationFile(file.handle, &io, &basic, sizeof basic, FileBasicInformation));
  ZwClose(file.handle);
  NT_EXPECT_SUCCESS(Delete(L"\\??\\C:\\notify\\w.txt"));
}

NT_TEST(HostFsNotify, TooManyChangesAskForAListing) {
  static const PCWSTR kFour[] = {L"\\??\\C:\\notify\\one.txt", L"\\??\\C:\\notify\\two.txt",
                                 L"\\??\\C:\\notify\\three.txt", L"\\??\\C:\\notify\\four.txt"};
  Watcher watcher;
  NT_EXPECT_EQ(watcher.Watch(kNames, FALSE, 64), STATUS_PENDING);
  NT_EXPECT_SUCCESS(Put(L"\\??\\C:\\notify\\one.txt", ""));
  NT_EXPECT_EQ(watcher.Wait(), STATUS_SUCCESS);
  for (ULONG i = 1; i < RTL_NUMBER_OF(kFour); ++i) NT_EXPECT_SUCCESS(Put(kFour[i], ""));
  NT_EXPECT_EQ(watcher.Watch(kNames, FALSE, 64), STATUS_PENDING);
  NT_EXPECT_EQ(watcher.Wait(), STATUS_NOTIFY_ENUM_DIR);
  NT_EXPECT_EQ(watcher.io.Information, 0);
  NT_EXPECT_EQ(watcher.Watch(kNames, FALSE, 64), STATUS_PENDING);
  for (PCWSTR path : kFour) NT_EXPECT_SUCCESS(Delete(path));
  NT_EXPECT_EQ(watcher.Wait(), STATUS_SUCCESS);
  Watcher blind;  // reads no names
  NT_EXPECT_EQ(blind.Watch(kNames, FALSE, 0), STATUS_PENDING);
  NT_EXPECT_SUCCESS(Put(L"\\??\\C:\\notify\\one.txt", ""));
  NT_EXPECT_EQ(blind.Wait(), STATUS_NOTIFY_ENUM_DIR);
  NT_EXPECT_SUCCESS(Delete(L"\\??\\C:\\notify\\one.txt"));
}

NT_TEST(HostFsNotify, RequestsEndWithHandleDirectoryAndCancel) {
  Watcher closed, cancelled;
  NT_EXPECT_EQ(closed.Watch(kNames), STATUS_PENDING);
  closed.Close();
  NT_EXPECT_EQ(closed.Wait(), STATUS_NOTIFY_CLEANUP);
  MakeDirectory(L"\\??\\C:\\notify\\doomed");
  Watcher doomed(L"\\??\\C:\\notify\\doomed");
  NT_EXPECT_EQ(doomed.Watch(kNames), STATUS_PENDING);
  NT_EXPECT_SUCCESS(Delete(L"\\??\\C:\\notify\\doomed"));
  NT_EXPECT_EQ(doomed.Wait(), STATUS_DELETE_PENDING);
  NT_EXPECT_EQ(doomed.Watch(kNames), STATUS_DELETE_PENDING);
  NT_EXPECT_EQ(cancelled.Watch(0), STATUS_INVALID_PARAMETER);
  const Opened file = Open(L"\\??\\C:\\notify\\plain", FILE_READ_DATA, FILE_OPEN_IF, FILE_DELETE_ON_CLOSE);
  if (NT_SUCCESS(file.status)) ZwClose(file.handle);
  PFILE_OBJECT object;
  NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(cancelled.handle, 0, *IoFileObjectType, KernelMode,
                                              reinterpret_cast<PVOID*>(&object), nullptr));
  // A driver's own request, which it can cancel.
  PDEVICE_OBJECT device = IoGetRelatedDeviceObject(object);
  KEVENT done;
  KeInitializeEvent(&done, NotificationEvent, FALSE);
  PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
  alignas(8) static UCHAR buffer[64];
  irp->UserBuffer = buffer;
  irp->Tail.Overlay.Thread = PsGetCurrentThread();
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = IRP_MJ_DIRECTORY_CONTROL;
  stack->MinorFunction = IRP_MN_NOTIFY_CHANGE_DIRECTORY;
  stack->FileObject = object;
  stack->Parameters.NotifyDirectory.Length = sizeof buffer;
  stack->Parameters.NotifyDirectory.CompletionFilter = kNames;
  IoSetCompletionRoutine(
      irp,
      [](PDEVICE_OBJECT, PIRP, PVOID context) -> NTSTATUS {
        KeSetEvent(static_cast<PKEVENT>(context), IO_NO_INCREMENT, FALSE);
        return STATUS_MORE_PROCESSING_REQUIRED;
      },
      &done, TRUE, TRUE, TRUE);
  NT_EXPECT_EQ(IoCallDriver(device, irp), STATUS_PENDING);
  NT_EXPECT_TRUE(IoCancelIrp(irp));
  KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, nullptr);
  NT_EXPECT_EQ(irp->IoStatus.Status, STATUS_CANCELLED);
  if (irp->MdlAddress != nullptr) {
    MmUnlockPages(irp->MdlAddress);
    IoFreeMdl(irp->MdlAddress);
  }
  IoFreeIrp(irp);
  ObDereferenceObject(object);
}

NT_TEST(HostFsNotify, ARenamedDirectoryIsStillWatched) {
  MakeDirectory(L"\\??\\C:\\notify\\before");
  Watcher watcher(L"\\??\\C:\\notify\\before");
  NT_EXPECT_EQ(watcher.Watch(kNames), STATUS_PENDING);
  NT_EXPECT_SUCCESS(RenameTo(L"\\??\\C:\\notify\\before", L"after"));
  NT_EXPECT_SUCCESS(Put(L"\\??\\C:\\notify\\after\\in.txt", ""));
  NT_EXPECT_EQ(watcher.Wait(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(Is(watcher.Entry(), FILE_ACTION_ADDED, L"in.txt"));
  NT_EXPECT_SUCCESS(Delete(L"\\??\\C:\\notify\\after\\in.txt"));
  watcher.Close();
  NT_EXPECT_SUCCESS(Delete(L"\\??\\C:\\notify\\after"));
}
