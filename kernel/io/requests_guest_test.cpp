// What a request tells of itself: who asked, how urgent it is; the error log; stack limits. Oracle: the WDK
// pages.
#include "ddi_io.h"
#include "nt_test.h"

NT_TEST(IoPriority, HintOfARequest) {
  PIRP irp = IoAllocateIrp(1, FALSE);
  NT_ASSERT_TRUE(irp != nullptr);
  NT_EXPECT_EQ(IoGetIoPriorityHint(irp), IoPriorityNormal);
  const ULONG flags = irp->Flags;
  for (int hint = IoPriorityVeryLow; hint < MaxIoPriorityTypes; ++hint) {
    NT_EXPECT_EQ(IoSetIoPriorityHint(irp, static_cast<IO_PRIORITY_HINT>(hint)), STATUS_SUCCESS);
    NT_EXPECT_EQ(IoGetIoPriorityHint(irp), hint);
    NT_EXPECT_EQ(irp->Flags & 0xFFFF, flags & 0xFFFF);
  }
  NT_EXPECT_EQ(IoSetIoPriorityHint(irp, MaxIoPriorityTypes), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(IoGetPagingIoPriority(irp), IoPagingPriorityInvalid);
  irp->Flags |= IRP_PAGING_IO;
  NT_EXPECT_EQ(IoGetPagingIoPriority(irp), IoPagingPriorityNormal);
  IoFreeIrp(irp);
}

NT_TEST(IoPriority, InformationAboutAThread) {
  IO_PRIORITY_INFO info = {};
  NT_EXPECT_EQ(IoRetrievePriorityInfo(nullptr, nullptr, nullptr, &info), STATUS_INVALID_PARAMETER);
  info.Size = sizeof(info);
  NT_EXPECT_EQ(IoRetrievePriorityInfo(nullptr, nullptr, nullptr, &info), STATUS_SUCCESS);
  NT_EXPECT_EQ(info.ThreadPriority, (ULONG)KeQueryPriorityThread(KeGetCurrentThread()));
  NT_EXPECT_EQ(info.IoPriority, IoPriorityNormal);
  NT_EXPECT_EQ(IoSetIoPriorityHintIntoThread(PsGetCurrentThread(), IoPriorityLow), STATUS_SUCCESS);
  NT_EXPECT_EQ(IoRetrievePriorityInfo(nullptr, nullptr, PsGetCurrentThread(), &info), STATUS_SUCCESS);
  NT_EXPECT_EQ(info.IoPriority, IoPriorityLow);
  PIRP irp = IoAllocateIrp(1, FALSE);
  NT_ASSERT_TRUE(irp != nullptr);
  IoSetIoPriorityHint(irp, IoPriorityHigh);
  NT_EXPECT_EQ(IoRetrievePriorityInfo(irp, nullptr, nullptr, &info), STATUS_SUCCESS);
  NT_EXPECT_EQ(info.IoPriority, IoPriorityHigh);
  IoFreeIrp(irp);
  NT_EXPECT_EQ(IoSetIoPriorityHintIntoThread(PsGetCurrentThread(), IoPriorityNormal), STATUS_SUCCESS);
}

NT_TEST(IoRequestor, ProcessAndSession) {
  PIRP irp = IoAllocateIrp(1, FALSE);
  NT_ASSERT_TRUE(irp != nullptr);
  ULONG session = 5;
  NT_EXPECT_EQ(IoGetRequestorProcessId(irp), 0u);
  NT_EXPECT_EQ(IoGetRequestorSessionId(irp, &session), STATUS_UNSUCCESSFUL);
  NT_EXPECT_EQ(session, (ULONG)-1);
  irp->Tail.Overlay.Thread = PsGetCurrentThread();
  NT_EXPECT_EQ(IoGetRequestorProcessId(irp), HandleToULong(PsGetCurrentProcessId()));
  NT_EXPECT_EQ(IoGetRequestorSessionId(irp, &session), STATUS_SUCCESS);
  NT_EXPECT_EQ(session, 0u);
  NT_EXPECT_TRUE(!IoIs32bitProcess(irp));
  NT_EXPECT_TRUE(!IoIs32bitProcess(nullptr));
  NT_EXPECT_TRUE(IoIsSystemThread(PsGetCurrentThread()));
  irp->Tail.Overlay.Thread = nullptr;
  IoFreeIrp(irp);
}

NT_TEST(IoRequestor, MasterKeepsTheFirstError) {
  PIRP irp = IoAllocateIrp(1, FALSE);
  NT_ASSERT_TRUE(irp != nullptr);
  IoSetMasterIrpStatus(irp, STATUS_SUCCESS);
  NT_EXPECT_EQ(irp->IoStatus.Status, STATUS_SUCCESS);
  IoSetMasterIrpStatus(irp, STATUS_DISK_FULL);
  IoSetMasterIrpStatus(irp, STATUS_SUCCESS);
  IoSetMasterIrpStatus(irp, STATUS_NO_MEMORY);
  NT_EXPECT_EQ(irp->IoStatus.Status, STATUS_DISK_FULL);
  IoSetMasterIrpStatus(irp, STATUS_VERIFY_REQUIRED);
  NT_EXPECT_EQ(irp->IoStatus.Status, STATUS_VERIFY_REQUIRED);
  IoFreeIrp(irp);
}

NT_TEST(IoRequestor, WdmVersion) {
  NT_EXPECT_TRUE(IoIsWdmVersionAvailable(1, 0x30));
  NT_EXPECT_TRUE(IoIsWdmVersionAvailable(6, 0));
  NT_EXPECT_TRUE(!IoIsWdmVersionAvailable(6, 1));
  NT_EXPECT_TRUE(!IoIsWdmVersionAvailable(7, 0));
}

NT_TEST(IoHardError, ModeOfTheThread) {
  NT_EXPECT_TRUE(IoSetThreadHardErrorMode(FALSE));
  NT_EXPECT_TRUE(!IoSetThreadHardErrorMode(FALSE));
  NT_EXPECT_TRUE(!IoRaiseInformationalHardError(STATUS_DISK_FULL, nullptr, nullptr));
  NT_EXPECT_TRUE(!IoSetThreadHardErrorMode(TRUE));
  UNICODE_STRING text;
  RtlInitUnicodeString(&text, L"\\Device\\Example");
  NT_EXPECT_TRUE(IoRaiseInformationalHardError(STATUS_DISK_FULL, &text, nullptr));
  NT_EXPECT_TRUE(IoRaiseInformationalHardError(STATUS_DISK_FULL, nullptr, KeGetCurrentThread()));
}

namespace {

NTSTATUS NTAPI NoteCompletion(PDEVICE_OBJECT, PIRP irp, PVOID context) {
  *static_cast<IO_STATUS_BLOCK*>(context) = irp->IoStatus;
  return STATUS_MORE_PROCESSING_REQUIRED;
}

}  // namespace

NT_TEST(IoHardError, CompletesTheRequest) {
  PIRP irp = IoAllocateIrp(2, FALSE);
  NT_ASSERT_TRUE(irp != nullptr);
  IO_STATUS_BLOCK seen = {};
  IoSetCompletionRoutine(irp, NoteCompletion, &seen, TRUE, TRUE, TRUE);
  IoSetNextIrpStackLocation(irp);
  irp->IoStatus.Status = STATUS_DEVICE_DATA_ERROR;
  irp->IoStatus.Information = 77;
  IoRaiseHardError(irp, nullptr, nt_test::driver->DeviceObject);
  NT_EXPECT_EQ(seen.Status, STATUS_DEVICE_DATA_ERROR);
  NT_EXPECT_EQ(seen.Information, 0u);
  IoFreeIrp(irp);
}

NT_TEST(IoErrorLog, EntriesHaveTheirSizes) {
  const LONG_PTR before = ReferencesOf(nt_test::driver);
  NT_EXPECT_EQ(IoAllocateErrorLogEntry(nullptr, sizeof(IO_ERROR_LOG_PACKET)), (PVOID) nullptr);
  NT_EXPECT_EQ(IoAllocateErrorLogEntry(nt_test::driver, sizeof(IO_ERROR_LOG_PACKET) - 1), (PVOID) nullptr);
  NT_EXPECT_EQ(IoAllocateErrorLogEntry(nt_test::driver, ERROR_LOG_MAXIMUM_SIZE + 1), (PVOID) nullptr);
  auto* packet =
      static_cast<PIO_ERROR_LOG_PACKET>(IoAllocateErrorLogEntry(nt_test::driver, ERROR_LOG_MAXIMUM_SIZE));
  NT_ASSERT_TRUE(packet != nullptr);
  NT_EXPECT_EQ(ReferencesOf(nt_test::driver), before + 1);
  NT_EXPECT_EQ(packet->ErrorCode, 0);
  NT_EXPECT_EQ(packet->DumpDataSize, 0);
  IoFreeErrorLogEntry(packet);
  NT_EXPECT_EQ(ReferencesOf(nt_test::driver), before);
}

NT_TEST(IoErrorLog, ManyEntriesAreWrittenOrRefused) {
  ULONG written = 0;
  for (ULONG i = 0; i < 300; ++i) {
    auto* packet = static_cast<PIO_ERROR_LOG_PACKET>(
        IoAllocateErrorLogEntry(nt_test::driver, sizeof(IO_ERROR_LOG_PACKET)));
    if (packet == nullptr) continue;
    packet->ErrorCode = static_cast<NTSTATUS>(0xC0040001);
    packet->UniqueErrorValue = i;
    packet->DumpDataSize = 4096;  // beyond the entry: cut
    packet->NumberOfStrings = 1;
    packet->StringOffset = 4096;
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    IoWriteErrorLogEntry(packet);
    KeLowerIrql(irql);
    ++written;
  }
  NT_EXPECT_TRUE(written >= 256);
}

NT_TEST(KeStackLimits, OfTheCaller) {
  ULONG_PTR low = 0, high = 0;
  IoGetStackLimits(&low, &high);
  const auto here = reinterpret_cast<ULONG_PTR>(&low);
  NT_EXPECT_TRUE(low < here && here < high);
  NT_EXPECT_TRUE(high - low >= 0x3000);
  NT_EXPECT_EQ(low % 4096, 0u);
  NT_EXPECT_TRUE(IoWithinStackLimits(here, sizeof(low)) != 0);
  NT_EXPECT_TRUE(IoWithinStackLimits(low, high - low) != 0);
  NT_EXPECT_TRUE(IoWithinStackLimits(low, high - low + 1) == 0);
  NT_EXPECT_TRUE(IoWithinStackLimits(low - 1, 1) == 0);
  NT_EXPECT_TRUE(IoWithinStackLimits(here, ~SIZE_T{0}) == 0);
  static int somewhere_else;
  NT_EXPECT_TRUE(IoWithinStackLimits(reinterpret_cast<ULONG_PTR>(&somewhere_else), 4) == 0);
  const auto initial = reinterpret_cast<ULONG_PTR>(IoGetInitialStack());
  NT_EXPECT_TRUE(here < initial && initial <= high);
}
