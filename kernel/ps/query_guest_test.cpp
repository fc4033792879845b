// What ZwQueryInformationProcess answers. Oracle: the API's documentation; not yet run on a real NT.
#include "nt_test.h"
#include "test_process.h"

using nt_test::Process;

NT_TEST(PsConformance, FixedAnswersWantTheirExactLength) {
  Process process;
  NT_ASSERT_TRUE(process.made());
  const struct {
    ULONG information, bytes;
  } rows[] = {{ProcessBasicInformation, 0x30},
              {ProcessQuotaLimits, 0x30},
              {ProcessIoCounters, 0x30},
              {ProcessVmCounters, 0x58},
              {ProcessTimes, 0x20},
              {ProcessDebugPort, 8},
              {ProcessDefaultHardErrorMode, 4},
              {ProcessPooledUsageAndLimits, 0x48},
              {ProcessPriorityClass, 2},
              {ProcessHandleCount, 4},
              {ProcessAffinityMask, 8},
              {ProcessPriorityBoost, 4},
              {ProcessSessionInformation, 4},
              {ProcessWow64Information, 8},
              {ProcessBreakOnTermination, 4},
              {ProcessDebugFlags, 4},
              {ProcessIoPriority, 4},
              {38 /* cycles */, 16},
              {39 /* page priority */, 4},
              {61 /* protection */, 1},
              {75 /* subsystem */, 4}};
  alignas(16) UCHAR buffer[256];
  for (const auto& row : rows) {
    const auto information = static_cast<PROCESSINFOCLASS>(row.information);
    ULONG length = 0;
    RtlFillMemory(buffer, sizeof(buffer), 0xCC);
    NT_EXPECT_EQ(ZwQueryInformationProcess(process.handle(), information, buffer, row.bytes - 1, &length),
                 STATUS_INFO_LENGTH_MISMATCH);
    NT_EXPECT_EQ(length, row.bytes);
    NT_EXPECT_EQ(buffer[0], 0xCC);
    NT_EXPECT_EQ(ZwQueryInformationProcess(process.handle(), information, buffer, row.bytes + 1, &length),
                 STATUS_INFO_LENGTH_MISMATCH);
    NT_EXPECT_SUCCESS(ZwQueryInformationProcess(process.handle(), information, buffer, row.bytes, &length));
    NT_EXPECT_EQ(length, row.bytes);
    NT_EXPECT_EQ(buffer[row.bytes], 0xCC);
    NT_EXPECT_SUCCESS(ZwQueryInformationProcess(process.handle(), information, buffer, row.bytes, nullptr));
    NT_EXPECT_EQ(ZwQueryInformationProcess(nullptr, information, buffer, row.bytes, nullptr),
                 STATUS_INVALID_HANDLE);
  }
}

NT_TEST(PsConformance, MemoryCountersFollowTheMemory) {
  Process process;
  NT_ASSERT_TRUE(process.made());
  VM_COUNTERS before, after;
  NT_ASSERT_SUCCESS(process.Query(ProcessVmCounters, &before));
  constexpr SIZE_T kPages = 64, kTouched = 5;
  PVOID base = nullptr;
  SIZE_T bytes = kPages * PAGE_SIZE;
  NT_ASSERT_SUCCESS(ZwAllocateVirtualMemory(process.handle(), &base, 0, &bytes, MEM_RESERVE, PAGE_READWRITE));
  NT_ASSERT_SUCCESS(process.Query(ProcessVmCounters, &after));
  NT_EXPECT_EQ(after.VirtualSize, before.VirtualSize + bytes);
  NT_EXPECT_EQ(after.PagefileUsage, before.PagefileUsage);
  NT_EXPECT_EQ(after.WorkingSetSize, before.WorkingSetSize);
  NT_ASSERT_SUCCESS(ZwAllocateVirtualMemory(process.handle(), &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE));
  NT_ASSERT_SUCCESS(process.Query(ProcessVmCounters, &after));
  NT_EXPECT_EQ(after.PagefileUsage, before.PagefileUsage + bytes);
  NT_EXPECT_EQ(after.WorkingSetSize, before.WorkingSetSize);
  KAPC_STATE state;
  KeStackAttachProcess(reinterpret_cast<PKPROCESS>(process.object()), &state);
  for (SIZE_T i = 0; i < kTouched; ++i) static_cast<volatile UCHAR*>(base)[i * PAGE_SIZE] = 1;
  KeUnstackDetachProcess(&state);
  NT_ASSERT_SUCCESS(process.Query(ProcessVmCounters, &after));
  NT_EXPECT_EQ(after.WorkingSetSize, before.WorkingSetSize + kTouched * PAGE_SIZE);
  NT_EXPECT_TRUE(after.PageFaultCount >= before.PageFaultCount + kTouched);
  SIZE_T all = 0;
  NT_EXPECT_SUCCESS(ZwFreeVirtualMemory(process.handle(), &base, &all, MEM_RELEASE));
  NT_ASSERT_SUCCESS(process.Query(ProcessVmCounters, &after));
  NT_EXPECT_EQ(after.VirtualSize, before.VirtualSize);
  NT_EXPECT_EQ(after.PagefileUsage, before.PagefileUsage);
  NT_EXPECT_EQ(after.WorkingSetSize, before.WorkingSetSize);
  NT_EXPECT_EQ(after.PeakVirtualSize, before.VirtualSize + bytes);
  NT_EXPECT_EQ(after.PeakPagefileUsage, before.PagefileUsage + bytes);
  NT_EXPECT_EQ(after.PeakWorkingSetSize, before.WorkingSetSize + kTouched * PAGE_SIZE);
}

NT_TEST(PsConformance, QuotaIsChargedAndReturned) {
  Process process;
  NT_ASSERT_TRUE(process.made());
  const struct {
    POOL_TYPE pool;
    SIZE_T bytes;
  } rows[] = {{NonPagedPool, 100}, {PagedPool, 200}, {NonPagedPool, 4096}, {PagedPool, 1}};
  SIZE_T nonpaged = 0, paged = 0;
  POOLED_USAGE_AND_LIMITS usage = {};
  for (const auto& row : rows) {
    NT_EXPECT_SUCCESS(PsChargeProcessPoolQuota(process.object(), row.pool, row.bytes));
    (row.pool == PagedPool ? paged : nonpaged) += row.bytes;
    NT_EXPECT_SUCCESS(process.Query(ProcessPooledUsageAndLimits, &usage));
    NT_EXPECT_EQ(usage.NonPagedPoolUsage, nonpaged);
    NT_EXPECT_EQ(usage.PagedPoolUsage, paged);
  }
  for (const auto& row : rows) PsReturnPoolQuota(process.object(), row.pool, row.bytes);
  NT_EXPECT_SUCCESS(process.Query(ProcessPooledUsageAndLimits, &usage));
  NT_EXPECT_EQ(usage.NonPagedPoolUsage, 0u);
  NT_EXPECT_EQ(usage.PagedPoolUsage, 0u);
  NT_EXPECT_EQ(usage.PeakNonPagedPoolUsage, nonpaged);
  NT_EXPECT_EQ(usage.PeakPagedPoolUsage, paged);
}

NT_TEST(PsConformance, RequestsAreCountedForTheirProcess) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"\\??\\C:\\ps_counters.tmp");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  IO_STATUS_BLOCK iosb;
  HANDLE file;
  IO_COUNTERS before, after;
  ULONG length;
  NT_ASSERT_SUCCESS(
      ZwQueryInformationProcess(ZwCurrentProcess(), ProcessIoCounters, &before, sizeof(before), &length));
  NT_ASSERT_SUCCESS(ZwCreateFile(&file, GENERIC_READ | GENERIC_WRITE | DELETE | SYNCHRONIZE, &attributes,
                                 &iosb, nullptr, FILE_ATTRIBUTE_NORMAL, 0, FILE_OVERWRITE_IF,
                                 FILE_SYNCHRONOUS_IO_NONALERT | FILE_DELETE_ON_CLOSE, nullptr, 0));
  UCHAR data[100] = {};
  LARGE_INTEGER offset = {};
  NT_EXPECT_SUCCESS(ZwWriteFile(file, nullptr, nullptr, nullptr, &iosb, data, 100, &offset, nullptr));
  NT_EXPECT_SUCCESS(ZwReadFile(file, nullptr, nullptr, nullptr, &iosb, data, 60, &offset, nullptr));
  ZwClose(file);
  NT_ASSERT_SUCCESS(
      ZwQueryInformationProcess(ZwCurrentProcess(), ProcessIoCounters, &after, sizeof(after), &length));
  // Other threads of the process do I/O as well.
  NT_EXPECT_TRUE(after.ReadOperationCount > before.ReadOperationCount);
  NT_EXPECT_TRUE(after.WriteOperationCount > before.WriteOperationCount);
  NT_EXPECT_TRUE(after.OtherOperationCount > before.OtherOperationCount);
  NT_EXPECT_TRUE(after.ReadTransferCount >= before.ReadTransferCount + 60);
  NT_EXPECT_TRUE(after.WriteTransferCount >= before.WriteTransferCount + 100);
}
