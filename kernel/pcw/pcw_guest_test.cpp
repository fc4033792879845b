// Performance counter sets. Oracle: the WDK pages of Pcw*; the structures are those of the WDK's wdm.h.
#include "nt_test.h"

extern "C" {
struct PCW_COUNTER {
  USHORT Id, StructIndex, Offset, Size;
};
struct PCW_INFORMATION {
  ULONG Version, Size;
  PCUNICODE_STRING Name;
  ULONG CounterCount;
  PCW_COUNTER* Counters;
  PVOID Callback, CallbackContext;
};
struct PCW_BYTES {
  const VOID* Data;
  ULONG Size;
};
NTSTATUS NTAPI PcwRegister(PVOID* Registration, PCW_INFORMATION* Info);
VOID NTAPI PcwUnregister(PVOID Registration);
NTSTATUS NTAPI PcwCreateInstance(PVOID* Instance, PVOID Registration, PCUNICODE_STRING Name, ULONG Count,
                                 PCW_BYTES* Data);
VOID NTAPI PcwCloseInstance(PVOID Instance);
NTSTATUS NTAPI PcwAddInstance(PVOID Buffer, PCUNICODE_STRING Name, ULONG Id, ULONG Count, PCW_BYTES* Data);
}

NT_TEST(Pcw, SetsAndInstances) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"Bugcheck counters");
  PCW_COUNTER counters[] = {{1, 0, 0, 4}, {2, 0, 8, 8}, {3, 1, 0, 8}};
  PCW_INFORMATION info = {0x100, sizeof(info), &name, 3, counters, nullptr, nullptr};
  PVOID set = nullptr, instance = nullptr;
  NT_ASSERT_SUCCESS(PcwRegister(&set, &info));
  NT_EXPECT_TRUE(set != nullptr);
  ULONG64 values[2] = {};
  PCW_BYTES data[2] = {{values, sizeof(values)}, {values, 8}};
  NT_EXPECT_EQ(PcwCreateInstance(&instance, set, &name, 2, data), STATUS_SUCCESS);
  PcwCloseInstance(instance);
  NT_EXPECT_EQ(PcwCreateInstance(&instance, set, &name, 1, data),
               STATUS_INVALID_PARAMETER);  // a block is missing
  NT_EXPECT_EQ(PcwCreateInstance(&instance, set, nullptr, 2, data), STATUS_INVALID_PARAMETER);
  NT_EXPECT_TRUE(!NT_SUCCESS(PcwAddInstance(nullptr, &name, 1, 2, data)));
  PcwUnregister(set);
}

NT_TEST(Pcw, RefusesWhatIsNoSet) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"Bugcheck counters");
  PCW_COUNTER counter = {1, 0, 0, 4};
  const PCW_INFORMATION good = {0x100, sizeof(good), &name, 1, &counter, nullptr, nullptr};
  PVOID set;
  PCW_INFORMATION info = good;
  info.Version = 0x99;
  NT_EXPECT_EQ(PcwRegister(&set, &info), STATUS_INVALID_PARAMETER);
  info = good;
  info.Size = 8;
  NT_EXPECT_EQ(PcwRegister(&set, &info), STATUS_INVALID_PARAMETER);
  info = good;
  info.Name = nullptr;
  NT_EXPECT_EQ(PcwRegister(&set, &info), STATUS_INVALID_PARAMETER);
  info = good;
  info.CounterCount = 0;
  NT_EXPECT_EQ(PcwRegister(&set, &info), STATUS_INVALID_PARAMETER);
  counter.Size = 3;
  info = good;
  NT_EXPECT_EQ(PcwRegister(&set, &info), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(PcwRegister(&set, nullptr), STATUS_INVALID_PARAMETER);
  PcwUnregister(nullptr);
  PcwCloseInstance(nullptr);
}
