// ZwQuerySystemInformation. Oracle: the structures that the API documents and that drivers rely on; not yet
// run on a real NT.
#include "nt_test.h"

extern "C" __declspec(dllimport) NTSTATUS NTAPI ZwQuerySystemInformation(ULONG, PVOID, ULONG, PULONG);
extern "C" __declspec(dllimport) PUCHAR NTAPI PsGetProcessImageFileName(PEPROCESS);

namespace {

enum : ULONG {
  kBasic = 0,
  kProcessor = 1,
  kTimeOfDay = 3,
  kProcess = 5,
  kModule = 11,
  kHandle = 16,
  kPageFile = 18,
  kInterrupt = 23,
  kTimeAdjustment = 28,
  kContextSwitch = 36,
  kTimeZone = 44,
  kRangeStart = 50,
  kNumaMap = 55,
  kExtendedProcess = 57,
  kExtendedHandle = 64,
  kBigPool = 66,
  kModuleEx = 77,
  kProcessId = 88,
  kTopology = 107,
  kNativeBasic = 114,
  kBasicPerformance = 125,
  kSecureBoot = 145,
  kDebuggerEx = 149,
  kVaShadow = 196
};

// The whole answer to a query, in paged pool.
class Answer {
 public:
  explicit Answer(ULONG information_class) {
    ULONG needed = 0;
    status = ZwQuerySystemInformation(information_class, nullptr, 0, &needed);
    if (status != STATUS_INFO_LENGTH_MISMATCH) return;
    for (int attempt = 0; attempt < 8 && status == STATUS_INFO_LENGTH_MISMATCH; ++attempt) {
      Free();
      length = needed + 1024;
      data = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, length, 'tsTS'));
      if (data == nullptr) return;
      status = ZwQuerySystemInformation(information_class, data, length, &needed);
    }
    length = needed;
  }
  ~Answer() { Free(); }
  template <typename T>
  T At(ULONG offset) const {
    return *reinterpret_cast<const T*>(data + offset);
  }
  NTSTATUS status;
  UCHAR* data = nullptr;
  ULONG length = 0;

 private:
  void Free() {
    if (data != nullptr) ExFreePoolWithTag(data, 'tsTS');
    data = nullptr;
  }
};

bool EndsWith(const char* text, const char* end) {
  const size_t a = strlen(text), b = strlen(end);
  return a >= b && _stricmp(text + a - b, end) == 0;
}

}  // namespace

NT_TEST(ExSystemInformation, BasicFacts) {
  Answer basic(kBasic);
  NT_ASSERT_SUCCESS(basic.status);
  NT_EXPECT_EQ(basic.length, 0x40u);
  NT_EXPECT_EQ(basic.At<ULONG>(0x08), 4096u);
  NT_EXPECT_TRUE(basic.At<ULONG>(0x0C) > 1000);
  NT_EXPECT_EQ(basic.At<ULONG>(0x18), 0x10000u);
  NT_EXPECT_EQ(basic.At<UCHAR>(0x38), KeQueryActiveProcessorCount(nullptr));
  NT_EXPECT_EQ(basic.At<ULONG_PTR>(0x30), KeQueryActiveProcessors());
  Answer processor(kProcessor);
  NT_ASSERT_SUCCESS(processor.status);
  NT_EXPECT_EQ(processor.At<USHORT>(0), 9);
  Answer time(kTimeOfDay);
  NT_ASSERT_SUCCESS(time.status);
  NT_EXPECT_TRUE(time.At<LONGLONG>(0) < time.At<LONGLONG>(8));
}

NT_TEST(ExSystemInformation, ProcessesWithTheirThreads) {
  Answer answer(kProcess);
  NT_ASSERT_SUCCESS(answer.status);
  bool system = false, this_thread = false;
  for (ULONG offset = 0;; offset += answer.At<ULONG>(offset)) {
    const ULONG threads = answer.At<ULONG>(offset + 4);
    const auto pid = answer.At<HANDLE>(offset + 0x50);
    NT_ASSERT_TRUE(offset + 0x100 + threads * 0x50 <= answer.length);
    if (pid == PsGetProcessId(PsInitialSystemProcess)) {
      system = true;
      const auto name = answer.At<UNICODE_STRING>(offset + 0x38);
      UNICODE_STRING expected;
      RtlInitUnicodeString(&expected, L"System");
      NT_EXPECT_TRUE(RtlEqualUnicodeString(&name, &expected, FALSE));
      for (ULONG i = 0; i < threads; ++i) {
        const ULONG at = offset + 0x100 + i * 0x50;
        NT_EXPECT_EQ(answer.At<HANDLE>(at + 0x28), pid);
        if (answer.At<HANDLE>(at + 0x30) == PsGetCurrentThreadId()) {
          this_thread = true;
          NT_EXPECT_EQ(answer.At<ULONG>(at + 0x44), 2u);  // running
        }
      }
    }
    if (answer.At<ULONG>(offset) == 0) break;
  }
  NT_EXPECT_TRUE(system);
  NT_EXPECT_TRUE(this_thread);
}

NT_TEST(ExSystemInformation, ModulesAndTheirBases) {
  Answer answer(kModule);
  NT_ASSERT_SUCCESS(answer.status);
  const ULONG count = answer.At<ULONG>(0);
  NT_ASSERT_TRUE(count >= 3 && answer.length == 8 + count * 0x128);
  const auto* first = reinterpret_cast<const char*>(answer.data + 8 + 0x28);
  NT_EXPECT_TRUE(EndsWith(first, "\\ntoskrnl.exe"));
  NT_EXPECT_EQ(strcmp(first + answer.At<USHORT>(8 + 0x26), "ntoskrnl.exe"), 0);
  bool own = false;
  for (ULONG i = 0; i < count; ++i) {
    const ULONG at = 8 + i * 0x128;
    const auto base = answer.At<ULONG_PTR>(at + 0x10);
    const auto here = reinterpret_cast<ULONG_PTR>(&EndsWith);
    if (here >= base && here < base + answer.At<ULONG>(at + 0x18)) own = true;
  }
  NT_EXPECT_TRUE(own);
}

NT_TEST(ExSystemInformation, HandlesNameTheirObjects) {
  HANDLE handle;
  PVOID object = PsGetCurrentThread();
  NT_ASSERT_SUCCESS(ObOpenObjectByPointer(object, OBJ_KERNEL_HANDLE, nullptr, SYNCHRONIZE, *PsThreadType,
                                          KernelMode, &handle));
  Answer small(kHandle), extended(kExtendedHandle);
  NT_ASSERT_SUCCESS(small.status);
  NT_ASSERT_SUCCESS(extended.status);
  bool in_small = false, in_extended = false;
  for (ULONG i = 0; i < small.At<ULONG>(0); ++i) {
    const ULONG at = 8 + i * 0x18;
    if (small.At<USHORT>(at + 6) == static_cast<USHORT>(reinterpret_cast<ULONG_PTR>(handle)) &&
        small.At<PVOID>(at + 8) == object) {
      in_small = true;
      NT_EXPECT_EQ(small.At<ULONG>(at + 0x10), static_cast<ULONG>(SYNCHRONIZE));
    }
  }
  for (ULONG i = 0; i < extended.At<ULONG>(0); ++i) {
    const ULONG at = 16 + i * 0x28;
    if (extended.At<HANDLE>(at + 0x10) == handle && extended.At<PVOID>(at) == object) in_extended = true;
  }
  NT_EXPECT_TRUE(in_small);
  NT_EXPECT_TRUE(in_extended);
  ZwClose(handle);
}

NT_TEST(ExSystemInformation, ExtendedThreadsKnowTheirStacks) {
  Answer answer(kExtendedProcess);
  NT_ASSERT_SUCCESS(answer.status);
  ULONG_PTR low, high;
  IoGetStackLimits(&low, &high);
  bool found = false;
  for (ULONG offset = 0;; offset += answer.At<ULONG>(offset)) {
    for (ULONG i = 0; i < answer.At<ULONG>(offset + 4); ++i) {
      const ULONG at = offset + 0x100 + i * 0x88;
      NT_ASSERT_TRUE(at + 0x88 <= answer.length);
      if (answer.At<HANDLE>(at + 0x30) != PsGetCurrentThreadId()) continue;
      found = true;
      NT_EXPECT_EQ(answer.At<ULONG_PTR>(at + 0x50), high);
      NT_EXPECT_EQ(answer.At<ULONG_PTR>(at + 0x58), low);
    }
    if (answer.At<ULONG>(offset) == 0) break;
  }
  NT_EXPECT_TRUE(found);
}

NT_TEST(ExSystemInformation, ModulesWithTheirChecksums) {
  Answer modules(kModule), extended(kModuleEx);
  NT_ASSERT_SUCCESS(modules.status);
  NT_ASSERT_SUCCESS(extended.status);
  const ULONG count = modules.At<ULONG>(0);
  NT_ASSERT_TRUE(extended.length >= count * 0x140 + 2);
  ULONG at = 0;
  for (ULONG i = 0; i < count; ++i, at += 0x140) {
    NT_EXPECT_EQ(extended.At<USHORT>(at), 0x140);
    NT_EXPECT_EQ(extended.At<PVOID>(at + 8 + 0x10), modules.At<PVOID>(8 + i * 0x128 + 0x10));
    NT_EXPECT_EQ(extended.At<PVOID>(at + 0x138), modules.At<PVOID>(8 + i * 0x128 + 0x10));
    const auto* nt_header = extended.At<UCHAR*>(at + 0x138);
    nt_header += *reinterpret_cast<const ULONG*>(nt_header + 0x3C);
    NT_EXPECT_EQ(extended.At<ULONG>(at + 0x134), *reinterpret_cast<const ULONG*>(nt_header + 8));
    NT_EXPECT_EQ(extended.At<ULONG>(at + 0x130), *reinterpret_cast<const ULONG*>(nt_header + 0x58));
  }
  NT_EXPECT_EQ(extended.At<USHORT>(at), 0);
}

NT_TEST(ExSystemInformation, BigAllocationsAreListed) {
  PVOID nonpaged = ExAllocatePoolWithTag(NonPagedPoolNx, 3 * PAGE_SIZE + 100, 'giBT');
  PVOID paged = ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, 'giBT');
  NT_ASSERT_TRUE(nonpaged != nullptr && paged != nullptr);
  {
    Answer answer(kBigPool);
    NT_ASSERT_SUCCESS(answer.status);
    ULONG found = 0;
    for (ULONG i = 0; i < answer.At<ULONG>(0); ++i) {
      const ULONG at = 8 + i * 0x18;
      if (answer.At<ULONG>(at + 0x10) != 'giBT') continue;
      const auto address = answer.At<ULONG_PTR>(at);
      const bool first = address == (reinterpret_cast<ULONG_PTR>(nonpaged) | 1);
      NT_EXPECT_TRUE(first || address == reinterpret_cast<ULONG_PTR>(paged));
      NT_EXPECT_EQ(answer.At<SIZE_T>(at + 8),
                   static_cast<SIZE_T>(first ? 3 * PAGE_SIZE + 100 : 2 * PAGE_SIZE));
      ++found;
    }
    NT_EXPECT_EQ(found, 2u);
  }
  ExFreePoolWithTag(nonpaged, 'giBT');
  ExFreePoolWithTag(paged, 'giBT');
}

NT_TEST(ExSystemInformation, SmallFacts) {
  Answer native(kNativeBasic), basic(kBasic);
  NT_EXPECT_EQ(native.length, basic.length);
  NT_EXPECT_TRUE(RtlEqualMemory(native.data, basic.data, basic.length));
  Answer start(kRangeStart);
  NT_EXPECT_EQ(start.At<ULONG_PTR>(0), 0xFFFF800000000000);
  Answer adjustment(kTimeAdjustment);
  NT_EXPECT_EQ(adjustment.length, 12u);
  NT_EXPECT_EQ(adjustment.At<ULONG>(4), KeQueryTimeIncrement());
  Answer interrupts(kInterrupt);
  NT_EXPECT_EQ(interrupts.length, 24 * KeQueryActiveProcessorCount(nullptr));
  NT_EXPECT_EQ(interrupts.At<ULONG>(12), KeQueryTimeIncrement());
  Answer switches(kContextSwitch);
  NT_EXPECT_EQ(switches.length, 48u);
  LARGE_INTEGER pause;
  pause.QuadPart = -10'000;
  KeDelayExecutionThread(KernelMode, FALSE, &pause);
  NT_EXPECT_TRUE(Answer(kContextSwitch).At<ULONG>(0) != switches.At<ULONG>(0));
  Answer zone(kTimeZone);
  NT_EXPECT_EQ(zone.length, 172u);
  LARGE_INTEGER zero = {}, local;
  ExSystemTimeToLocalTime(&zero, &local);
  NT_EXPECT_EQ(zone.At<LONG>(0) * -600000000ll, local.QuadPart);
  Answer nodes(kNumaMap);
  NT_EXPECT_EQ(nodes.length, 0x408u);
  NT_EXPECT_EQ(nodes.At<ULONG>(0), static_cast<ULONG>(KeQueryHighestNodeNumber()));
  NT_EXPECT_EQ(nodes.At<KAFFINITY>(8), KeQueryActiveProcessors());
  Answer topology(kTopology);
  NT_ASSERT_SUCCESS(topology.status);
  ULONG records = 0;
  for (ULONG at = 0; at < topology.length; at += topology.At<ULONG>(at + 4)) {
    NT_ASSERT_TRUE(topology.At<ULONG>(at + 4) >= 0x20);
    ++records;
  }
  NT_EXPECT_TRUE(records >= KeQueryActiveProcessorCount(nullptr) + 3);
  NT_EXPECT_EQ(Answer(kSecureBoot).length, 2u);
  NT_EXPECT_EQ(Answer(kDebuggerEx).length, 3u);
  NT_EXPECT_EQ(Answer(kVaShadow).At<ULONG>(0), 0u);
}

NT_TEST(ExSystemInformation, CommitmentFollowsWhatIsCommitted) {
  constexpr SIZE_T kPages = 100;
  const auto committed = [] { return Answer(kBasicPerformance).At<SIZE_T>(8); };
  Answer before(kBasicPerformance);
  NT_ASSERT_EQ(before.length, 32u);
  NT_EXPECT_TRUE(before.At<SIZE_T>(8) <= before.At<SIZE_T>(24));   // pages, peak
  NT_EXPECT_TRUE(before.At<SIZE_T>(24) <= before.At<SIZE_T>(16));  // peak, limit
  PVOID base = nullptr;
  SIZE_T bytes = kPages * PAGE_SIZE;
  NT_ASSERT_SUCCESS(ZwAllocateVirtualMemory(ZwCurrentProcess(), &base, 0, &bytes, MEM_RESERVE | MEM_COMMIT,
                                            PAGE_READWRITE));
  NT_EXPECT_EQ(committed(), before.At<SIZE_T>(8) + kPages);
  bytes = 10 * PAGE_SIZE;
  PVOID part = base;
  NT_EXPECT_SUCCESS(ZwFreeVirtualMemory(ZwCurrentProcess(), &part, &bytes, MEM_DECOMMIT));
  NT_EXPECT_EQ(committed(), before.At<SIZE_T>(8) + kPages - 10);
  // Committing twice costs once.
  bytes = 20 * PAGE_SIZE;
  NT_EXPECT_SUCCESS(
      ZwAllocateVirtualMemory(ZwCurrentProcess(), &part, 0, &bytes, MEM_COMMIT, PAGE_READWRITE));
  NT_EXPECT_EQ(committed(), before.At<SIZE_T>(8) + kPages);
  bytes = 0;
  NT_EXPECT_SUCCESS(ZwFreeVirtualMemory(ZwCurrentProcess(), &base, &bytes, MEM_RELEASE));
  NT_EXPECT_EQ(committed(), before.At<SIZE_T>(8));
}

NT_TEST(ExSystemInformation, AProcessIdLeadsToItsImage) {
  struct {
    HANDLE process;
    UNICODE_STRING name;
  } asked = {reinterpret_cast<HANDLE>(ULONG_PTR{4}), {}};
  WCHAR buffer[64] = {};
  asked.name = {0, sizeof(buffer), buffer};
  NT_EXPECT_SUCCESS(ZwQuerySystemInformation(kProcessId, &asked, sizeof(asked), nullptr));
  NT_EXPECT_EQ(asked.name.Length, 0);  // the System process has no image
  asked.process = reinterpret_cast<HANDLE>(ULONG_PTR{0x7FFFFFFC});
  NT_EXPECT_EQ(ZwQuerySystemInformation(kProcessId, &asked, sizeof(asked), nullptr), STATUS_INVALID_CID);
  NT_EXPECT_EQ(ZwQuerySystemInformation(kProcessId, &asked, 8, nullptr), STATUS_INFO_LENGTH_MISMATCH);
  asked.name.Length = 2;
  NT_EXPECT_EQ(ZwQuerySystemInformation(kProcessId, &asked, sizeof(asked), nullptr),
               STATUS_INVALID_PARAMETER);
}

NT_TEST(ExSystemInformation, HandlesOfOtherProcessesAreListed) {
  HANDLE process, event;
  PVOID object;
  NT_ASSERT_SUCCESS(PsCreateSystemProcess(&process, PROCESS_ALL_ACCESS, nullptr));
  NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(process, 0, *PsProcessType, KernelMode, &object, nullptr));
  KAPC_STATE state;
  KeStackAttachProcess(static_cast<PKPROCESS>(object), &state);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_INHERIT, nullptr, nullptr);
  const NTSTATUS made = ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE);
  KeUnstackDetachProcess(&state);
  NT_EXPECT_SUCCESS(made);
  bool found = false;
  {
    Answer answer(kExtendedHandle);
    NT_ASSERT_SUCCESS(answer.status);
    for (ULONG i = 0; i < answer.At<ULONG>(0); ++i) {
      const ULONG at = 16 + i * 0x28;
      if (answer.At<HANDLE>(at + 8) != PsGetProcessId(static_cast<PEPROCESS>(object))) continue;
      found = true;
      NT_EXPECT_EQ(answer.At<HANDLE>(at + 0x10), event);
      NT_EXPECT_EQ(answer.At<ULONG>(at + 0x18), static_cast<ULONG>(EVENT_ALL_ACCESS));
      NT_EXPECT_EQ(answer.At<ULONG>(at + 0x20), static_cast<ULONG>(OBJ_INHERIT));
    }
  }
  NT_EXPECT_TRUE(found);
  NT_EXPECT_SUCCESS(ZwTerminateProcess(process, STATUS_SUCCESS));
  ObDereferenceObject(object);
  ZwClose(process);
}

NT_TEST(ExSystemInformation, UnknownClassesAndSmallBuffers) {
  ULONG needed = 0;
  UCHAR byte;
  NT_EXPECT_EQ(ZwQuerySystemInformation(0xFFFF, &byte, 1, &needed), STATUS_INVALID_INFO_CLASS);
  NT_EXPECT_EQ(ZwQuerySystemInformation(kBasic, &byte, 1, &needed), STATUS_INFO_LENGTH_MISMATCH);
  NT_EXPECT_EQ(needed, 0x40u);
}
