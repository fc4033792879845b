// Oplocks on C:. Oracles: the WDK's "Oplock semantics", and the pages of the control codes.
#include "ddi_fs.h"
#include "drive_files.h"
#include "nt_test.h"
#include "threads.h"

using namespace drive;

namespace {

constexpr WCHAR kPath[] = L"\\??\\C:\\oplock.txt";
constexpr ULONG kR = OPLOCK_LEVEL_CACHE_READ;
constexpr ULONG kH = OPLOCK_LEVEL_CACHE_HANDLE;
constexpr ULONG kW = OPLOCK_LEVEL_CACHE_WRITE;

HANDLE NewEvent() {
  HANDLE event = nullptr;
  OBJECT_ATTRIBUTES object;
  InitializeObjectAttributes(&object, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  NT_EXPECT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &object, NotificationEvent, FALSE));
  return event;
}

// Whoever holds the oplock: an asynchronous handle, and the request that pends.
struct Owner {
  HANDLE handle = nullptr;
  HANDLE event = NewEvent();
  HANDLE ack_event = NewEvent();
  IO_STATUS_BLOCK io = {};
  IO_STATUS_BLOCK ack_io = {};
  REQUEST_OPLOCK_INPUT_BUFFER input = {};
  REQUEST_OPLOCK_OUTPUT_BUFFER output = {};
  REQUEST_OPLOCK_OUTPUT_BUFFER ack_output = {};

  explicit Owner(ACCESS_MASK access = FILE_READ_DATA | FILE_WRITE_DATA, ULONG share = kShareAll) {
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES object;
    RtlInitUnicodeString(&name, kPath);
    InitializeObjectAttributes(&object, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
    IO_STATUS_BLOCK opened;
    NT_EXPECT_SUCCESS(ZwCreateFile(&handle, access, &object, &opened, nullptr, 0, share, FILE_OPEN_IF,
                                   FILE_NON_DIRECTORY_FILE, nullptr, 0));
  }
  ~Owner() {
    Close();
    ZwClose(event);
    ZwClose(ack_event);
  }
  void Close() {
    if (handle != nullptr) ZwClose(handle);
    handle = nullptr;
  }
  NTSTATUS Request(ULONG code) {
    io.Status = STATUS_PENDING;
    return ZwFsControlFile(handle, event, nullptr, nullptr, &io, code, nullptr, 0, nullptr, 0);
  }
  NTSTATUS RequestLevel(ULONG level) {
    input = {REQUEST_OPLOCK_CURRENT_VERSION, sizeof input, level, REQUEST_OPLOCK_INPUT_FLAG_REQUEST};
    io.Status = STATUS_PENDING;
    return ZwFsControlFile(handle, event, nullptr, nullptr, &io, FSCTL_REQUEST_OPLOCK, &input, sizeof input,
                           &output, sizeof output);
  }
  // Waits for the break; then nothing pends any more.
  NTSTATUS Broken() {
    ZwWaitForSingleObject(event, FALSE, nullptr);
    return io.Status;
  }
  NTSTATUS Acknowledge(ULONG code = FSCTL_OPLOCK_BREAK_ACKNOWLEDGE) {
    return ZwFsControlFile(handle, ack_event, nullptr, nullptr, &ack_io, code, nullptr, 0, nullptr, 0);
  }
  NTSTATUS AcknowledgeLevel(ULONG level) {
    input = {REQUEST_OPLOCK_CURRENT_VERSION, sizeof input, level, REQUEST_OPLOCK_INPUT_FLAG_ACK};
    return ZwFsControlFile(handle, ack_event, nullptr, nullptr, &ack_io, FSCTL_REQUEST_OPLOCK, &input,
                           sizeof input, &ack_output, sizeof ack_output);
  }
};

// An open, read or write in another thread, which an oplock may hold up.
struct Other {
  enum What { kOpen, kRead, kWrite } what = kOpen;
  ACCESS_MASK access = FILE_READ_DATA;
  ULONG disposition = FILE_OPEN;
  ULONG share = kShareAll;
  HANDLE file = nullptr;  // for transfers
  NTSTATUS status = STATUS_PENDING;
  KEVENT done;

  void Run() {
    IO_STATUS_BLOCK io;
    LARGE_INTEGER at = {};
    char bytes[4] = "abc";
    if (what == kOpen) {
      const Opened opened = Open(kPath, access, disposition, FILE_NON_DIRECTORY_FILE, share);
      status = opened.status;
      if (NT_SUCCESS(status)) ZwClose(opened.handle);
    } else if (what == kRead) {
      status = ZwReadFile(file, nullptr, nullptr, nullptr, &io, bytes, 3, &at, nullptr);
    } else {
      status = ZwWriteFile(file, nullptr, nullptr, nullptr, &io, bytes, 3, &at, nullptr);
    }
    KeSetEvent(&done, IO_NO_INCREMENT, FALSE);
  }
  void Start() {
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    HANDLE thread;
    OBJECT_ATTRIBUTES object;
    InitializeObjectAttributes(&object, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
    NT_EXPECT_SUCCESS(PsCreateSystemThread(
        &thread, THREAD_ALL_ACCESS, &object, nullptr, nullptr,
        [](PVOID self) {
          static_cast<Other*>(self)->Run();
          PsTerminateSystemThread(STATUS_SUCCESS);
        },
        this));
    thread_ = thread;
  }
  NTSTATUS Finish() {
    ZwWaitForSingleObject(thread_, FALSE, nullptr);
    ZwClose(thread_);
    return status;
  }
  bool Waits() { return KeReadStateEvent(&done) == 0; }

 private:
  HANDLE thread_ = nullptr;
};

}  // namespace

NT_TEST(HostFsOplock, Level1BreaksToLevel2ForAReader) {
  NT_EXPECT_SUCCESS(Put(kPath, "text"));
  Owner owner;
  NT_ASSERT_EQ(owner.Request(FSCTL_REQUEST_OPLOCK_LEVEL_1), STATUS_PENDING);
  Other reader;
  reader.Start();
  NT_EXPECT_EQ(owner.Broken(), STATUS_SUCCESS);
  NT_EXPECT_EQ(owner.io.Information, FILE_OPLOCK_BROKEN_TO_LEVEL_2);
  NT_EXPECT_TRUE(reader.Waits());
  NT_EXPECT_EQ(owner.Acknowledge(), STATUS_PENDING);  // it holds level 2
  NT_EXPECT_SUCCESS(reader.Finish());
  // A write breaks level 2 without asking.
  NT_EXPECT_SUCCESS(Put(kPath, "other"));
  ZwWaitForSingleObject(owner.ack_event, FALSE, nullptr);
  NT_EXPECT_EQ(owner.ack_io.Status, STATUS_SUCCESS);
  NT_EXPECT_EQ(owner.ack_io.Information, FILE_OPLOCK_BROKEN_TO_NONE);
}

NT_TEST(HostFsOplock, OpensThatCannotWaitAreTold) {
  NT_EXPECT_SUCCESS(Put(kPath, "text"));
  Owner owner;
  NT_ASSERT_EQ(owner.Request(FSCTL_REQUEST_BATCH_OPLOCK), STATUS_PENDING);
  const Opened attributes = Open(kPath, FILE_READ_ATTRIBUTES, FILE_OPEN, 0);
  NT_EXPECT_EQ(attributes.status, STATUS_SUCCESS);  // breaks nothing
  if (NT_SUCCESS(attributes.status)) ZwClose(attributes.handle);
  NT_EXPECT_EQ(owner.io.Status, STATUS_PENDING);
  const Opened file = Open(kPath, FILE_READ_DATA, FILE_OPEN, FILE_COMPLETE_IF_OPLOCKED);
  NT_EXPECT_EQ(file.status, STATUS_OPLOCK_BREAK_IN_PROGRESS);
  NT_EXPECT_EQ(owner.Broken(), STATUS_SUCCESS);
  NT_EXPECT_EQ(owner.io.Information, FILE_OPLOCK_BROKEN_TO_LEVEL_2);
  owner.Close();
  char bytes[4] = {};
  IO_STATUS_BLOCK io;
  LARGE_INTEGER at = {};
  NT_EXPECT_SUCCESS(ZwReadFile(file.handle, nullptr, nullptr, nullptr, &io, bytes, 4, &at, nullptr));
  NT_EXPECT_EQ(RtlCompareMemory(bytes, "text", 4), 4);
  ZwClose(file.handle);
}

NT_TEST(HostFsOplock, ABatchHolderClosesForWhoMayNotShare) {
  NT_EXPECT_SUCCESS(Put(kPath, "text"));
  Owner owner(FILE_READ_DATA, FILE_SHARE_READ);
  NT_ASSERT_EQ(owner.Request(FSCTL_REQUEST_BATCH_OPLOCK), STATUS_PENDING);
  Other writer;
  writer.access = FILE_WRITE_DATA;
  writer.Start();
  NT_EXPECT_EQ(owner.Broken(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(writer.Waits());
  owner.Close();  // instead of an acknowledgment
  NT_EXPECT_SUCCESS(writer.Finish());
  Owner stays(FILE_READ_DATA, FILE_SHARE_READ);
  NT_ASSERT_EQ(stays.Request(FSCTL_REQUEST_BATCH_OPLOCK), STATUS_PENDING);
  writer.Start();
  NT_EXPECT_EQ(stays.Broken(), STATUS_SUCCESS);
  NT_EXPECT_EQ(stays.Acknowledge(FSCTL_OPLOCK_BREAK_ACK_NO_2), STATUS_SUCCESS);
  NT_EXPECT_EQ(writer.Finish(), STATUS_SHARING_VIOLATION);
}

NT_TEST(HostFsOplock, TransfersOfOthersBreak) {
  NT_EXPECT_SUCCESS(Put(kPath, "text"));
  // The other handle is there first: only shared oplocks can be had, or a filter's.
  const Opened other = Open(kPath, FILE_READ_DATA | FILE_WRITE_DATA, FILE_OPEN, 0);
  NT_ASSERT_SUCCESS(other.status);
  Owner owner;
  NT_EXPECT_EQ(owner.Request(FSCTL_REQUEST_OPLOCK_LEVEL_1), STATUS_OPLOCK_NOT_GRANTED);
  NT_ASSERT_EQ(owner.RequestLevel(kR | kH), STATUS_PENDING);
  Other reader;
  reader.what = Other::kRead;
  reader.file = other.handle;
  reader.Start();
  NT_EXPECT_SUCCESS(reader.Finish());
  NT_EXPECT_EQ(owner.io.Status, STATUS_PENDING);  // readers share
  Other writer;
  writer.what = Other::kWrite;
  writer.file = other.handle;
  writer.Start();
  NT_EXPECT_EQ(owner.Broken(), STATUS_SUCCESS);
  NT_EXPECT_EQ(owner.output.OriginalOplockLevel, kR | kH);
  NT_EXPECT_EQ(owner.output.NewOplockLevel, 0);
  NT_EXPECT_SUCCESS(writer.Finish());
  ZwClose(other.handle);
  NT_EXPECT_TRUE(Holds(kPath, "abct"));
}

NT_TEST(HostFsOplock, AWriterWaitsForTheAcknowledgment) {
  NT_EXPECT_SUCCESS(Put(kPath, "text"));
  Owner owner;
  NT_ASSERT_EQ(owner.RequestLevel(kR | kW | kH), STATUS_PENDING);
  Other opener;
  opener.Start();
  NT_EXPECT_EQ(owner.Broken(), STATUS_SUCCESS);
  NT_EXPECT_EQ(owner.output.NewOplockLevel, kR | kH);
  NT_EXPECT_TRUE(owner.output.Flags & REQUEST_OPLOCK_OUTPUT_FLAG_ACK_REQUIRED);
  NT_EXPECT_TRUE(opener.Waits());
  NT_EXPECT_EQ(owner.AcknowledgeLevel(kR | kH), STATUS_PENDING);
  NT_EXPECT_SUCCESS(opener.Finish());
  // A rename wants the name: the right to keep the handle goes.
  const Opened mover = Open(kPath, DELETE, FILE_OPEN, 0);
  NT_EXPECT_SUCCESS(mover.status);
  if (NT_SUCCESS(mover.status)) ZwClose(mover.handle);
  owner.Close();
}

NT_TEST(HostFsOplock, RequestsAreRefused) {
  NT_EXPECT_SUCCESS(Put(kPath, "text"));
  Owner owner;
  const Opened synchronous = Open(kPath, FILE_READ_DATA, FILE_OPEN, 0);
  NT_ASSERT_SUCCESS(synchronous.status);
  IO_STATUS_BLOCK io;
  NT_EXPECT_EQ(ZwFsControlFile(synchronous.handle, nullptr, nullptr, nullptr, &io,
                               FSCTL_REQUEST_OPLOCK_LEVEL_2, nullptr, 0, nullptr, 0),
               STATUS_OPLOCK_NOT_GRANTED);
  ZwClose(synchronous.handle);
  NT_EXPECT_EQ(owner.Acknowledge(), STATUS_INVALID_OPLOCK_PROTOCOL);
  LARGE_INTEGER zero = {}, ten = {};
  ten.QuadPart = 10;
  NT_EXPECT_SUCCESS(
      ZwLockFile(owner.handle, owner.ack_event, nullptr, nullptr, &io, &zero, &ten, 0, TRUE, TRUE));
  NT_EXPECT_EQ(owner.Request(FSCTL_REQUEST_OPLOCK_LEVEL_2), STATUS_OPLOCK_NOT_GRANTED);  // ranges are locked
  NT_EXPECT_SUCCESS(ZwUnlockFile(owner.handle, &io, &zero, &ten, 0));
  const Opened directory = Open(L"\\??\\C:\\", FILE_LIST_DIRECTORY, FILE_OPEN, FILE_DIRECTORY_FILE);
  NT_ASSERT_SUCCESS(directory.status);
  NT_EXPECT_EQ(ZwFsControlFile(directory.handle, nullptr, nullptr, nullptr, &io, FSCTL_REQUEST_OPLOCK_LEVEL_1,
                               nullptr, 0, nullptr, 0),
               STATUS_INVALID_PARAMETER);
  ZwClose(directory.handle);
  owner.Close();
  NT_EXPECT_SUCCESS(Delete(kPath));
}
