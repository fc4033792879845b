// Oplocks through the ABI. Oracle: the WDK's "Oplock semantics" pages; not yet run on a real NT.
#include "ddi_fs.h"
#include "nt_test.h"

namespace {

constexpr ULONG kR = OPLOCK_LEVEL_CACHE_READ;
constexpr ULONG kH = OPLOCK_LEVEL_CACHE_HANDLE;
constexpr ULONG kW = OPLOCK_LEVEL_CACHE_WRITE;

// Handles are told apart by their file objects' addresses.
PFILE_OBJECT File(ULONG number) {
  static FILE_OBJECT files[4];
  return &files[number];
}

// A request as a dispatch routine has it; a completion routine keeps the IRP.
struct Request {
  PIRP irp;
  volatile LONG completed = 0;
  REQUEST_OPLOCK_OUTPUT_BUFFER buffer = {};
  IO_SECURITY_CONTEXT security = {};

  static NTSTATUS NTAPI OnComplete(PDEVICE_OBJECT, PIRP, PVOID context) {
    InterlockedIncrement(&static_cast<Request*>(context)->completed);
    return STATUS_MORE_PROCESSING_REQUIRED;
  }
  Request(UCHAR major, ULONG file) : irp(IoAllocateIrp(2, FALSE)) {
    irp->Tail.Overlay.Thread = PsGetCurrentThread();
    IoSetNextIrpStackLocation(irp);
    IoSetCompletionRoutine(irp, OnComplete, this, TRUE, TRUE, TRUE);
    IoSetNextIrpStackLocation(irp);
    Stack()->MajorFunction = major;
    Stack()->FileObject = File(file);
  }
  // One that still pends as an oplock ends with it.
  ~Request() {
    if (completed == 0) IoCancelIrp(irp);
    IoFreeIrp(irp);
  }
  PIO_STACK_LOCATION Stack() { return IoGetCurrentIrpStackLocation(irp); }
};

struct Control : Request {
  Control(ULONG code, ULONG file, ULONG level = 0, ULONG flags = REQUEST_OPLOCK_INPUT_FLAG_REQUEST)
      : Request(IRP_MJ_FILE_SYSTEM_CONTROL, file) {
    Stack()->Parameters.FileSystemControl.FsControlCode = code;
    if (code != FSCTL_REQUEST_OPLOCK) return;
    auto* input = reinterpret_cast<PREQUEST_OPLOCK_INPUT_BUFFER>(&buffer);
    input->StructureVersion = REQUEST_OPLOCK_CURRENT_VERSION;
    input->StructureLength = sizeof *input;
    input->RequestedOplockLevel = level;
    input->Flags = flags;
    irp->AssociatedIrp.SystemBuffer = &buffer;
    Stack()->Parameters.FileSystemControl.InputBufferLength = sizeof *input;
    Stack()->Parameters.FileSystemControl.OutputBufferLength = sizeof buffer;
  }
};

struct Create : Request {
  Create(ULONG file, ACCESS_MASK access, ULONG disposition, ULONG options = 0)
      : Request(IRP_MJ_CREATE, file) {
    security.DesiredAccess = access;
    Stack()->Parameters.Create.SecurityContext = &security;
    Stack()->Parameters.Create.Options = (disposition << 24) | options;
  }
};

struct Oplock {
  OPLOCK oplock;
  Oplock() { FsRtlInitializeOplock(&oplock); }
  ~Oplock() { FsRtlUninitializeOplock(&oplock); }
  NTSTATUS Do(Request* request, ULONG open_count = 1) {
    return FsRtlOplockFsctrl(&oplock, request->irp, open_count);
  }
};

volatile LONG g_resumed;
NTSTATUS g_resumed_status;
VOID NTAPI OnResumed(PVOID, PIRP irp) {
  g_resumed_status = irp->IoStatus.Status;
  InterlockedIncrement(&g_resumed);
}
NTSTATUS Check(Oplock* oplock, Request* request, ULONG flags = 0) {
  return FsRtlCheckOplockEx(&oplock->oplock, request->irp, flags, nullptr, OnResumed, nullptr);
}

}  // namespace

NT_TEST(FsRtlOplock, Level1BreaksToLevel2ForAReaderAndWaits) {
  Oplock oplock;
  g_resumed = 0;
  NT_EXPECT_TRUE(!FsRtlCurrentOplock(&oplock.oplock));
  Control level1(FSCTL_REQUEST_OPLOCK_LEVEL_1, 0);
  NT_EXPECT_EQ(oplock.Do(&level1), STATUS_PENDING);
  NT_EXPECT_TRUE(FsRtlCurrentOplock(&oplock.oplock));
  NT_EXPECT_TRUE(!FsRtlCurrentBatchOplock(&oplock.oplock));
  NT_EXPECT_TRUE(!FsRtlOplockIsFastIoPossible(&oplock.oplock));
  Request own(IRP_MJ_READ, 0);
  NT_EXPECT_EQ(Check(&oplock, &own), STATUS_SUCCESS);
  Create open(1, FILE_READ_DATA, FILE_OPEN);
  NT_EXPECT_EQ(Check(&oplock, &open), STATUS_PENDING);
  NT_EXPECT_EQ(level1.completed, 1);
  NT_EXPECT_EQ(level1.irp->IoStatus.Status, STATUS_SUCCESS);
  NT_EXPECT_EQ(level1.irp->IoStatus.Information, FILE_OPLOCK_BROKEN_TO_LEVEL_2);
  NT_EXPECT_EQ(g_resumed, 0);
  Control ack(FSCTL_OPLOCK_BREAK_ACKNOWLEDGE, 0);
  NT_EXPECT_EQ(oplock.Do(&ack), STATUS_PENDING);  // it holds level 2 now
  NT_EXPECT_EQ(g_resumed, 1);
  NT_EXPECT_EQ(g_resumed_status, STATUS_SUCCESS);
  NT_EXPECT_TRUE(FsRtlOplockIsFastIoPossible(&oplock.oplock));
  Request write(IRP_MJ_WRITE, 1);
  NT_EXPECT_EQ(Check(&oplock, &write), STATUS_SUCCESS);  // level 2 is not waited for
  NT_EXPECT_EQ(ack.completed, 1);
  NT_EXPECT_EQ(ack.irp->IoStatus.Information, FILE_OPLOCK_BROKEN_TO_NONE);
  NT_EXPECT_TRUE(!FsRtlCurrentOplock(&oplock.oplock));
}

NT_TEST(FsRtlOplock, ReplacingOpensBreakToNone) {
  Oplock oplock;
  g_resumed = 0;
  Control batch(FSCTL_REQUEST_BATCH_OPLOCK, 0);
  NT_EXPECT_EQ(oplock.Do(&batch), STATUS_PENDING);
  NT_EXPECT_TRUE(FsRtlCurrentBatchOplock(&oplock.oplock));
  Create attributes(1, FILE_READ_ATTRIBUTES | SYNCHRONIZE, FILE_OPEN);
  NT_EXPECT_EQ(Check(&oplock, &attributes), STATUS_SUCCESS);
  Create overwrite(1, FILE_WRITE_DATA, FILE_OVERWRITE);
  NT_EXPECT_EQ(Check(&oplock, &overwrite), STATUS_PENDING);
  NT_EXPECT_EQ(batch.irp->IoStatus.Information, FILE_OPLOCK_BROKEN_TO_NONE);
  Control closing(FSCTL_OPBATCH_ACK_CLOSE_PENDING, 0);
  NT_EXPECT_EQ(oplock.Do(&closing), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_resumed, 0);
  Request cleanup(IRP_MJ_CLEANUP, 0);
  NT_EXPECT_EQ(Check(&oplock, &cleanup), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_resumed, 1);
  NT_EXPECT_TRUE(!FsRtlCurrentOplock(&oplock.oplock));
}

NT_TEST(FsRtlOplock, FilterOplocksLetReadersIn) {
  Oplock oplock;
  Control filter(FSCTL_REQUEST_FILTER_OPLOCK, 0);
  NT_EXPECT_EQ(oplock.Do(&filter), STATUS_PENDING);
  Create reader(1, FILE_READ_DATA | READ_CONTROL, FILE_OPEN);
  NT_EXPECT_EQ(Check(&oplock, &reader), STATUS_SUCCESS);
  Request read(IRP_MJ_READ, 1);
  NT_EXPECT_EQ(Check(&oplock, &read), STATUS_SUCCESS);
  Create writer(1, FILE_WRITE_DATA, FILE_OPEN, FILE_COMPLETE_IF_OPLOCKED);
  NT_EXPECT_EQ(Check(&oplock, &writer), STATUS_OPLOCK_BREAK_IN_PROGRESS);
  NT_EXPECT_EQ(filter.irp->IoStatus.Information, FILE_OPLOCK_BROKEN_TO_NONE);
  Control ack(FSCTL_OPLOCK_BREAK_ACKNOWLEDGE, 0);
  NT_EXPECT_EQ(oplock.Do(&ack), STATUS_SUCCESS);
  NT_EXPECT_EQ(ack.completed, 1);
  NT_EXPECT_TRUE(!FsRtlCurrentOplock(&oplock.oplock));
}

NT_TEST(FsRtlOplock, RequestsAreRefused) {
  Oplock oplock;
  Control crowded(FSCTL_REQUEST_OPLOCK_LEVEL_1, 0);
  NT_EXPECT_EQ(oplock.Do(&crowded, 2), STATUS_OPLOCK_NOT_GRANTED);
  NT_EXPECT_EQ(crowded.completed, 1);
  Control locked(FSCTL_REQUEST_OPLOCK_LEVEL_2, 0);
  NT_EXPECT_EQ(oplock.Do(&locked, 1), STATUS_OPLOCK_NOT_GRANTED);
  Control synchronous(FSCTL_REQUEST_BATCH_OPLOCK, 3);
  File(3)->Flags = FO_SYNCHRONOUS_IO;
  NT_EXPECT_EQ(oplock.Do(&synchronous), STATUS_OPLOCK_NOT_GRANTED);
  Control early(FSCTL_OPLOCK_BREAK_ACKNOWLEDGE, 0);
  NT_EXPECT_EQ(oplock.Do(&early), STATUS_INVALID_OPLOCK_PROTOCOL);
  Control holder(FSCTL_REQUEST_OPLOCK_LEVEL_1, 0);
  NT_EXPECT_EQ(oplock.Do(&holder), STATUS_PENDING);
  Control second(FSCTL_REQUEST_OPLOCK_LEVEL_2, 1);
  NT_EXPECT_EQ(oplock.Do(&second, 0), STATUS_OPLOCK_NOT_GRANTED);
  Control unbroken(FSCTL_OPLOCK_BREAK_ACKNOWLEDGE, 0);
  NT_EXPECT_EQ(oplock.Do(&unbroken), STATUS_INVALID_OPLOCK_PROTOCOL);
}

NT_TEST(FsRtlOplock, ReadHandleOplocksAreShared) {
  Oplock oplock;
  g_resumed = 0;
  Control a(FSCTL_REQUEST_OPLOCK, 0, kR | kH);
  Control b(FSCTL_REQUEST_OPLOCK, 1, kR | kH);
  NT_EXPECT_TRUE(FsRtlOplockIsSharedRequest(a.irp));
  NT_EXPECT_EQ(oplock.Do(&a, 0), STATUS_PENDING);
  NT_EXPECT_EQ(oplock.Do(&b, 0), STATUS_PENDING);
  NT_EXPECT_TRUE(FsRtlCurrentOplockH(&oplock.oplock));
  NT_EXPECT_TRUE(FsRtlOplockIsFastIoPossible(&oplock.oplock));
  Create rename(2, DELETE, FILE_OPEN);
  NT_EXPECT_EQ(Check(&oplock, &rename), STATUS_SUCCESS);
  NT_EXPECT_EQ(FsRtlOplockBreakH(&oplock.oplock, rename.irp, 0, nullptr, OnResumed, nullptr), STATUS_PENDING);
  NT_EXPECT_EQ(a.completed, 1);
  NT_EXPECT_EQ(b.completed, 1);
  NT_EXPECT_EQ(a.irp->IoStatus.Information, sizeof a.buffer);
  NT_EXPECT_EQ(a.buffer.OriginalOplockLevel, kR | kH);
  NT_EXPECT_EQ(a.buffer.NewOplockLevel, kR);
  NT_EXPECT_EQ(a.buffer.Flags, REQUEST_OPLOCK_OUTPUT_FLAG_ACK_REQUIRED);
  Control ack_a(FSCTL_REQUEST_OPLOCK, 0, kR, REQUEST_OPLOCK_INPUT_FLAG_ACK);
  NT_EXPECT_EQ(oplock.Do(&ack_a, 0), STATUS_PENDING);
  NT_EXPECT_EQ(g_resumed, 0);  // b has not answered
  Control greedy(FSCTL_REQUEST_OPLOCK, 1, kR | kH, REQUEST_OPLOCK_INPUT_FLAG_ACK);
  NT_EXPECT_EQ(oplock.Do(&greedy, 0), static_cast<NTSTATUS>(0x8000002E));
  Control ack_b(FSCTL_REQUEST_OPLOCK, 1, 0, REQUEST_OPLOCK_INPUT_FLAG_ACK);
  NT_EXPECT_EQ(oplock.Do(&ack_b, 0), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_resumed, 1);
  NT_EXPECT_TRUE(!FsRtlCurrentOplockH(&oplock.oplock));
}

NT_TEST(FsRtlOplock, ReadWriteHandleLosesWhatIsWanted) {
  Oplock oplock;
  Control all(FSCTL_REQUEST_OPLOCK, 0, kR | kW | kH);
  NT_EXPECT_TRUE(!FsRtlOplockIsSharedRequest(all.irp));
  NT_EXPECT_EQ(FsRtlOplockFsctrlEx(&oplock.oplock, all.irp, 1, 0), STATUS_PENDING);
  Request read(IRP_MJ_READ, 1);
  NT_EXPECT_EQ(Check(&oplock, &read, OPLOCK_FLAG_COMPLETE_IF_OPLOCKED), STATUS_OPLOCK_BREAK_IN_PROGRESS);
  NT_EXPECT_EQ(all.buffer.NewOplockLevel, kR | kH);
  Control ack(FSCTL_REQUEST_OPLOCK, 0, kR | kH, REQUEST_OPLOCK_INPUT_FLAG_ACK);
  NT_EXPECT_EQ(oplock.Do(&ack), STATUS_PENDING);
  NT_EXPECT_EQ(Check(&oplock, &read), STATUS_SUCCESS);
  Request write(IRP_MJ_WRITE, 1);
  NT_EXPECT_EQ(Check(&oplock, &write), STATUS_SUCCESS);  // acknowledged, but not waited for
  NT_EXPECT_EQ(ack.buffer.NewOplockLevel, 0);
  NT_EXPECT_EQ(ack.buffer.Flags, REQUEST_OPLOCK_OUTPUT_FLAG_ACK_REQUIRED);
  Control done(FSCTL_REQUEST_OPLOCK, 0, 0, REQUEST_OPLOCK_INPUT_FLAG_ACK);
  NT_EXPECT_EQ(oplock.Do(&done), STATUS_SUCCESS);
}

NT_TEST(FsRtlOplock, TheSameHandleMayAskForMore) {
  Oplock oplock;
  Control read(FSCTL_REQUEST_OPLOCK, 0, kR);
  NT_EXPECT_EQ(oplock.Do(&read, 0), STATUS_PENDING);
  Control more(FSCTL_REQUEST_OPLOCK, 0, kR | kW);
  NT_EXPECT_EQ(oplock.Do(&more, 1), STATUS_PENDING);
  NT_EXPECT_EQ(read.completed, 1);
  NT_EXPECT_EQ(read.irp->IoStatus.Status, static_cast<NTSTATUS>(0x215));
  NT_EXPECT_EQ(more.completed, 0);
}

NT_TEST(FsRtlOplock, PendingRequestsAreCancelled) {
  Oplock oplock;
  g_resumed = 0;
  Control level1(FSCTL_REQUEST_OPLOCK_LEVEL_1, 0);
  NT_EXPECT_EQ(oplock.Do(&level1), STATUS_PENDING);
  NT_EXPECT_TRUE(IoCancelIrp(level1.irp));
  NT_EXPECT_EQ(level1.completed, 1);
  NT_EXPECT_EQ(level1.irp->IoStatus.Status, STATUS_CANCELLED);
  NT_EXPECT_TRUE(!FsRtlCurrentOplock(&oplock.oplock));
  Control batch(FSCTL_REQUEST_BATCH_OPLOCK, 0);
  NT_EXPECT_EQ(oplock.Do(&batch), STATUS_PENDING);
  Request read(IRP_MJ_READ, 1);
  NT_EXPECT_EQ(Check(&oplock, &read), STATUS_PENDING);
  NT_EXPECT_TRUE(IoCancelIrp(read.irp));
  NT_EXPECT_EQ(g_resumed, 1);
  NT_EXPECT_EQ(g_resumed_status, STATUS_CANCELLED);
}

NT_TEST(FsRtlOplock, BreakNotifyAndBreakToNone) {
  Oplock oplock;
  Control idle(FSCTL_OPLOCK_BREAK_NOTIFY, 1);
  NT_EXPECT_EQ(oplock.Do(&idle), STATUS_SUCCESS);
  Control level1(FSCTL_REQUEST_OPLOCK_LEVEL_1, 0);
  NT_EXPECT_EQ(oplock.Do(&level1), STATUS_PENDING);
  Request own(IRP_MJ_WRITE, 0);
  NT_EXPECT_EQ(FsRtlOplockBreakToNone(&oplock.oplock, nullptr, own.irp, nullptr, OnResumed, nullptr),
               STATUS_SUCCESS);
  g_resumed = 0;
  Request other(IRP_MJ_WRITE, 1);
  NT_EXPECT_EQ(FsRtlOplockBreakToNone(&oplock.oplock, nullptr, other.irp, nullptr, OnResumed, nullptr),
               STATUS_PENDING);
  NT_EXPECT_EQ(level1.irp->IoStatus.Information, FILE_OPLOCK_BROKEN_TO_NONE);
  Control notify(FSCTL_OPLOCK_BREAK_NOTIFY, 1);
  NT_EXPECT_EQ(oplock.Do(&notify), STATUS_PENDING);
  NT_EXPECT_EQ(notify.completed, 0);
  Control ack(FSCTL_OPLOCK_BREAK_ACK_NO_2, 0);
  NT_EXPECT_EQ(oplock.Do(&ack), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_resumed, 1);
  NT_EXPECT_EQ(notify.completed, 1);
  NT_EXPECT_EQ(notify.irp->IoStatus.Status, STATUS_SUCCESS);
  Request plain(IRP_MJ_READ, 1);
  NT_EXPECT_EQ(FsRtlCheckOplock(&oplock.oplock, plain.irp, nullptr, nullptr, nullptr), STATUS_SUCCESS);
}
