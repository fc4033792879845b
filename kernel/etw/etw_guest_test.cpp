// Event tracing as a driver sees it; what arrives at the host is tests/system/trace_test.py's part.
#include "nt_test.h"

namespace {

const GUID kProvider = {0x6B1D9A50, 0x2F3E, 0x4C71, {0x9D, 0x10, 0x51, 0x44, 0x0C, 0x8A, 0x77, 0x01}};

struct Enabled {
  ULONG calls;
  ULONG code;
  UCHAR level;
  ULONGLONG any;
};

VOID NTAPI OnEnable(LPCGUID source, ULONG code, UCHAR level, ULONGLONG any, ULONGLONG all,
                    PEVENT_FILTER_DESCRIPTOR filter, PVOID context) {
  auto* enabled = static_cast<Enabled*>(context);
  ++enabled->calls;
  enabled->code = code;
  enabled->level = level;
  enabled->any = any;
}

EVENT_DESCRIPTOR Event(USHORT id, UCHAR level) {
  EVENT_DESCRIPTOR event = {};
  event.Id = id;
  event.Level = level;
  event.Keyword = 0x10;
  return event;
}

}  // namespace

NT_TEST(Etw, RegisteringEnablesTheProvider) {
  Enabled enabled = {};
  REGHANDLE handle = 0;
  NT_ASSERT_SUCCESS(EtwRegister(&kProvider, OnEnable, &enabled, &handle));
  NT_EXPECT_TRUE(handle != 0);
  NT_EXPECT_EQ(enabled.calls, 1u);
  NT_EXPECT_EQ(enabled.code, 1u);
  NT_EXPECT_TRUE(enabled.level >= 5);
  NT_EXPECT_TRUE(enabled.any != 0);
  const EVENT_DESCRIPTOR event = Event(1, 4);
  NT_EXPECT_TRUE(EtwEventEnabled(handle, &event));
  NT_EXPECT_TRUE(EtwProviderEnabled(handle, 5, ~0ull));
  NT_EXPECT_EQ(EtwUnregister(handle), STATUS_SUCCESS);
  NT_EXPECT_TRUE(!EtwEventEnabled(handle, &event));
  NT_EXPECT_TRUE(!EtwProviderEnabled(handle, 1, 0));
  NT_EXPECT_EQ(EtwUnregister(handle), STATUS_INVALID_HANDLE);
}

NT_TEST(Etw, RefusesWhatIsNoProvider) {
  REGHANDLE handle = 0;
  NT_EXPECT_EQ(EtwRegister(nullptr, nullptr, nullptr, &handle), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(EtwRegister(&kProvider, nullptr, nullptr, nullptr), STATUS_INVALID_PARAMETER);
  const EVENT_DESCRIPTOR event = Event(2, 4);
  NT_EXPECT_EQ(EtwWrite(0, &event, nullptr, 0, nullptr), STATUS_INVALID_HANDLE);
  NT_EXPECT_EQ(EtwWrite(0xFFFF'FFFF'FFFFull, &event, nullptr, 0, nullptr), STATUS_INVALID_HANDLE);
  NT_EXPECT_EQ(EtwUnregister(0), STATUS_INVALID_HANDLE);
}

NT_TEST(Etw, WritesAtEveryIrql) {
  REGHANDLE handle = 0;
  NT_ASSERT_SUCCESS(EtwRegister(&kProvider, nullptr, nullptr, &handle));
  const EVENT_DESCRIPTOR event = Event(3, 4);
  for (ULONG irql = PASSIVE_LEVEL; irql <= HIGH_LEVEL; ++irql) {
    KIRQL old_irql;
    KeRaiseIrql(static_cast<KIRQL>(irql), &old_irql);
    EVENT_DATA_DESCRIPTOR data = {reinterpret_cast<ULONGLONG>(&irql), sizeof(irql), 0};
    const NTSTATUS status = EtwWrite(handle, &event, nullptr, 1, &data);
    KeLowerIrql(old_irql);
    NT_EXPECT_EQ(status, STATUS_SUCCESS);
  }
  NT_EXPECT_SUCCESS(EtwUnregister(handle));
}

NT_TEST(Etw, RefusesWhatIsNoEvent) {
  REGHANDLE handle = 0;
  NT_ASSERT_SUCCESS(EtwRegister(&kProvider, nullptr, nullptr, &handle));
  const EVENT_DESCRIPTOR event = Event(4, 4);
  EVENT_DATA_DESCRIPTOR data[1] = {{reinterpret_cast<ULONGLONG>(&event), 0x10000, 0}};
  NT_EXPECT_EQ(EtwWrite(handle, &event, nullptr, 129, data), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(EtwWrite(handle, &event, nullptr, 1, nullptr), STATUS_INVALID_PARAMETER);
  NT_EXPECT_TRUE(!NT_SUCCESS(EtwWrite(handle, &event, nullptr, 1, data)));
  NT_EXPECT_EQ(EtwWriteString(handle, 4, 0, nullptr, nullptr), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(EtwWriteString(handle, 4, 0, nullptr, L"text"), STATUS_SUCCESS);
  NT_EXPECT_EQ(EtwWriteTransfer(handle, &event, &kProvider, &kProvider, 0, nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(EtwWriteEx(handle, &event, 0, 0, nullptr, nullptr, 0, nullptr), STATUS_SUCCESS);
  NT_EXPECT_SUCCESS(EtwUnregister(handle));
}

NT_TEST(Etw, HandlesOfManyProvidersAreTheirOwn) {
  constexpr ULONG kMany = 200;
  static REGHANDLE handles[kMany];
  for (REGHANDLE& handle : handles) NT_ASSERT_SUCCESS(EtwRegister(&kProvider, nullptr, nullptr, &handle));
  ULONG equal = 0;
  for (ULONG i = 0; i < kMany; ++i) {
    for (ULONG k = 0; k < i; ++k) equal += handles[i] == handles[k] ? 1 : 0;
  }
  NT_EXPECT_EQ(equal, 0u);
  for (const REGHANDLE handle : handles) NT_EXPECT_SUCCESS(EtwUnregister(handle));
  REGHANDLE again = 0;
  NT_ASSERT_SUCCESS(EtwRegister(&kProvider, nullptr, nullptr, &again));
  for (const REGHANDLE handle : handles) NT_EXPECT_TRUE(handle != again);
  NT_EXPECT_SUCCESS(EtwUnregister(again));
}
