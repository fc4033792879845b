// Directory change notification through the ABI. Oracle: the WDK pages of FsRtlNotify*; not yet run on a real
// NT.
#include "ddi_fs.h"
#include "nt_test.h"

namespace {

STRING Text(const char* text) {
  STRING string;
  RtlInitString(&string, text);
  return string;
}

// A notification request as a dispatch routine has it; a completion routine keeps the IRP.
struct Request {
  PIRP irp;
  volatile LONG completed = 0;
  alignas(8) UCHAR buffer[128] = {};

  static NTSTATUS NTAPI OnComplete(PDEVICE_OBJECT, PIRP, PVOID context) {
    InterlockedIncrement(&static_cast<Request*>(context)->completed);
    return STATUS_MORE_PROCESSING_REQUIRED;
  }
  explicit Request(ULONG length = 128) : irp(IoAllocateIrp(2, FALSE)) {
    IoSetNextIrpStackLocation(irp);
    IoSetCompletionRoutine(irp, OnComplete, this, TRUE, TRUE, TRUE);
    IoSetNextIrpStackLocation(irp);
    IoGetCurrentIrpStackLocation(irp)->Parameters.NotifyDirectory.Length = length;
    irp->AssociatedIrp.SystemBuffer = buffer;
  }
  ~Request() { IoFreeIrp(irp); }
  PFILE_NOTIFY_INFORMATION First() { return reinterpret_cast<PFILE_NOTIFY_INFORMATION>(buffer); }
  bool Is(PFILE_NOTIFY_INFORMATION entry, ULONG action, const WCHAR* name) {
    UNICODE_STRING wanted;
    RtlInitUnicodeString(&wanted, name);
    return entry->Action == action && entry->FileNameLength == wanted.Length &&
           RtlCompareMemory(entry->FileName, wanted.Buffer, wanted.Length) == wanted.Length;
  }
};

struct Volume {
  PNOTIFY_SYNC sync = nullptr;
  LIST_ENTRY list;
  Volume() {
    FsRtlNotifyInitializeSync(&sync);
    InitializeListHead(&list);
  }
  ~Volume() {
    FsRtlNotifyCleanupAll(sync, &list);
    FsRtlNotifyUninitializeSync(&sync);
    NT_EXPECT_TRUE(sync == nullptr);
  }
  void Watch(PVOID context, STRING* directory, BOOLEAN tree, Request* request, ULONG filter = 0xFFF) {
    FsRtlNotifyFullChangeDirectory(sync, &list, context, directory, tree, FALSE, filter, request->irp,
                                   nullptr, nullptr);
  }
  void Report(const char* path, USHORT name_offset, ULONG action = FILE_ACTION_ADDED,
              ULONG filter = FILE_NOTIFY_CHANGE_FILE_NAME) {
    STRING target = Text(path);
    FsRtlNotifyFullReportChange(sync, &list, &target, name_offset, nullptr, nullptr, filter, action, nullptr);
  }
};

volatile LONG g_asked;
bool g_let_through;
BOOLEAN NTAPI Ask(PVOID, PVOID target, PSECURITY_SUBJECT_CONTEXT) {
  InterlockedIncrement(&g_asked);
  return target == &g_let_through && g_let_through;
}
BOOLEAN NTAPI Filter(PVOID, PVOID context) {
  InterlockedIncrement(&g_asked);
  return context == &g_let_through;
}

}  // namespace

NT_TEST(FsRtlNotify, AChangeCompletesTheRequestThatWaits) {
  Volume volume;
  STRING directory = Text("\\dir");
  Request request;
  volume.Watch(&request, &directory, FALSE, &request);
  NT_EXPECT_EQ(request.completed, 0);
  volume.Report("\\other\\file", 7);
  volume.Report("\\dir2\\file", 6);
  volume.Report("\\dir\\sub\\file", 9);  // no tree
  volume.Report("\\dir\\file", 5, FILE_ACTION_ADDED, 0x1000);
  NT_EXPECT_EQ(request.completed, 0);
  volume.Report("\\dir\\file", 5);
  NT_EXPECT_EQ(request.completed, 1);
  NT_EXPECT_EQ(request.irp->IoStatus.Status, STATUS_SUCCESS);
  NT_EXPECT_EQ(request.irp->IoStatus.Information, 12 + 8);
  NT_EXPECT_TRUE(request.Is(request.First(), FILE_ACTION_ADDED, L"file"));
  NT_EXPECT_EQ(request.First()->NextEntryOffset, 0);
}

NT_TEST(FsRtlNotify, TreesAndRootsSeeWhatLiesBelow) {
  Volume volume;
  STRING root = Text("\\");
  STRING directory = Text("\\dir");
  Request of_root, of_tree;
  volume.Watch(&of_root, &root, TRUE, &of_root);
  volume.Watch(&of_tree, &directory, TRUE, &of_tree);
  volume.Report("\\dir\\sub\\file", 9, FILE_ACTION_REMOVED);
  NT_EXPECT_TRUE(of_root.Is(of_root.First(), FILE_ACTION_REMOVED, L"dir\\sub\\file"));
  NT_EXPECT_TRUE(of_tree.Is(of_tree.First(), FILE_ACTION_REMOVED, L"sub\\file"));
}

NT_TEST(FsRtlNotify, ChangesBetweenRequestsAreRemembered) {
  Volume volume;
  STRING directory = Text("\\dir");
  Request first, second;
  volume.Watch(&volume, &directory, FALSE, &first);
  volume.Report("\\dir\\a", 5);
  NT_EXPECT_EQ(first.completed, 1);
  volume.Report("\\dir\\old", 5, FILE_ACTION_RENAMED_OLD_NAME);
  volume.Report("\\dir\\new", 5, FILE_ACTION_RENAMED_NEW_NAME);
  volume.Watch(&volume, &directory, FALSE, &second);
  NT_EXPECT_EQ(second.completed, 1);
  NT_EXPECT_TRUE(second.Is(second.First(), FILE_ACTION_RENAMED_OLD_NAME, L"old"));
  const ULONG next = second.First()->NextEntryOffset;
  NT_EXPECT_EQ(next, 20);  // 12 and 6 bytes, rounded
  NT_EXPECT_TRUE(second.Is(reinterpret_cast<PFILE_NOTIFY_INFORMATION>(second.buffer + next),
                           FILE_ACTION_RENAMED_NEW_NAME, L"new"));
}

NT_TEST(FsRtlNotify, TooManyChangesAskForAListing) {
  Volume volume;
  STRING directory = Text("\\dir");
  Request first(32), second(32);
  volume.Watch(&volume, &directory, FALSE, &first);
  volume.Report("\\dir\\a", 5);
  volume.Report("\\dir\\something", 5);
  volume.Report("\\dir\\something", 5);
  volume.Watch(&volume, &directory, FALSE, &second);
  NT_EXPECT_EQ(second.completed, 1);
  NT_EXPECT_EQ(second.irp->IoStatus.Status, STATUS_NOTIFY_ENUM_DIR);
  NT_EXPECT_EQ(second.irp->IoStatus.Information, 0);
}

NT_TEST(FsRtlNotify, WatchersAreAskedForWhatTheyMaySee) {
  Volume volume;
  STRING directory = Text("\\dir");
  Request request;
  g_asked = 0;
  g_let_through = false;
  FsRtlNotifyFullChangeDirectory(volume.sync, &volume.list, &volume, &directory, TRUE, FALSE, 0xFFF,
                                 request.irp, Ask, nullptr);
  STRING target = Text("\\dir\\sub\\file");
  FsRtlNotifyFullReportChange(volume.sync, &volume.list, &target, 9, nullptr, nullptr, 1, 1, &g_let_through);
  NT_EXPECT_EQ(g_asked, 1);
  NT_EXPECT_EQ(request.completed, 0);
  g_let_through = true;
  FsRtlNotifyFullReportChange(volume.sync, &volume.list, &target, 9, nullptr, nullptr, 1, 1, &g_let_through);
  NT_EXPECT_EQ(request.completed, 1);
  FsRtlNotifyCleanup(volume.sync, &volume.list, &volume);
  Request filtered;
  g_asked = 0;
  FsRtlNotifyFilterChangeDirectory(volume.sync, &volume.list, &filtered, &directory, TRUE, FALSE, 0xFFF,
                                   filtered.irp, nullptr, nullptr, Filter);
  FsRtlNotifyFilterReportChange(volume.sync, &volume.list, &target, 9, nullptr, nullptr, 1, 1, nullptr,
                                nullptr);
  NT_EXPECT_EQ(filtered.completed, 0);
  FsRtlNotifyFilterReportChange(volume.sync, &volume.list, &target, 9, nullptr, nullptr, 1, 1, nullptr,
                                &g_let_through);
  NT_EXPECT_EQ(filtered.completed, 1);
  NT_EXPECT_EQ(g_asked, 2);
}

NT_TEST(FsRtlNotify, RequestsEnd) {
  Volume volume;
  STRING directory = Text("\\dir");
  Request cancelled, deleted, cleaned;
  volume.Watch(&cancelled, &directory, FALSE, &cancelled);
  NT_EXPECT_TRUE(IoCancelIrp(cancelled.irp));
  NT_EXPECT_EQ(cancelled.irp->IoStatus.Status, STATUS_CANCELLED);
  volume.Watch(&deleted, &directory, FALSE, &deleted);
  FsRtlNotifyFullChangeDirectory(volume.sync, &volume.list, &deleted, nullptr, FALSE, FALSE, 0, nullptr,
                                 nullptr, nullptr);
  NT_EXPECT_EQ(deleted.irp->IoStatus.Status, STATUS_DELETE_PENDING);
  volume.Watch(&cleaned, &directory, FALSE, &cleaned);
  FsRtlNotifyCleanup(volume.sync, &volume.list, &cleaned);
  NT_EXPECT_EQ(cleaned.completed, 1);
  NT_EXPECT_EQ(cleaned.irp->IoStatus.Status, STATUS_NOTIFY_CLEANUP);
}
