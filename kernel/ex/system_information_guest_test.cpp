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
  kExtendedHandle = 64
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

NT_TEST(ExSystemInformation, UnknownClassesAndSmallBuffers) {
  ULONG needed = 0;
  UCHAR byte;
  NT_EXPECT_EQ(ZwQuerySystemInformation(0xFFFF, &byte, 1, &needed), STATUS_INVALID_INFO_CLASS);
  NT_EXPECT_EQ(ZwQuerySystemInformation(kBasic, &byte, 1, &needed), STATUS_INFO_LENGTH_MISMATCH);
  NT_EXPECT_EQ(needed, 0x40u);
}
