// Performance counter sets. Oracle: the WDK pages of Pcw*.
#include "ddi_pcw.h"
#include "nt_test.h"

namespace {

constexpr ULONG kCollect = 0x226000;

// What a reader of a set gets.
class Reading {
 public:
  explicit Reading(PCWSTR set, ULONG room = sizeof(data_)) {
    UNICODE_STRING device, name;
    RtlInitUnicodeString(&device, L"\\Device\\PcwDrv");
    RtlInitUnicodeString(&name, set);
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, &device, OBJ_KERNEL_HANDLE, nullptr, nullptr);
    IO_STATUS_BLOCK iosb = {};
    HANDLE handle;
    status = ZwCreateFile(&handle, FILE_READ_DATA | SYNCHRONIZE, &attributes, &iosb, nullptr, 0, 7, FILE_OPEN,
                          FILE_SYNCHRONOUS_IO_NONALERT, nullptr, 0);
    if (!NT_SUCCESS(status)) return;
    status = ZwDeviceIoControlFile(handle, nullptr, nullptr, nullptr, &iosb, kCollect, name.Buffer,
                                   name.Length, data_, room);
    bytes = static_cast<ULONG>(iosb.Information);
    ZwClose(handle);
  }
  template <typename T>
  T At(ULONG offset) const {
    T value;
    RtlCopyMemory(&value, data_ + offset, sizeof(value));
    return value;
  }
  NTSTATUS status;
  ULONG bytes = 0;

 private:
  UCHAR data_[1024] = {};
};

struct MaskInformation {
  ULONG64 counters;
  PCUNICODE_STRING instances;
  ULONG id;
  BOOLEAN multiple;
  PVOID buffer;
  PKEVENT cancel;
};

struct Calls {
  LONG types[4];
  KIRQL irql;
  ULONG64 counters;
  NTSTATUS too_few, too_small, answer;
} g_calls;

struct First {
  ULONG small, unused;
  ULONG64 big;
};

// PCW_CALLBACK: adds two instances.
NTSTATUS NTAPI OnCallback(ULONG type, PVOID information, PVOID context) {
  if (type >= 4 || context != &g_calls) return STATUS_UNSUCCESSFUL;
  ++g_calls.types[type];
  g_calls.irql = KeGetCurrentIrql();
  if (type != 3) return g_calls.answer;
  const auto* mask = static_cast<const MaskInformation*>(information);
  g_calls.counters = mask->counters;
  First first = {11, 0, 22};
  ULONG64 second = 33;
  PCW_BYTES data[2] = {{&first, sizeof(first)}, {&second, sizeof(second)}};
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"one");
  g_calls.too_few = PcwAddInstance(mask->buffer, &name, 7, 1, data);
  PCW_BYTES short_data[2] = {{&first, 8}, {&second, sizeof(second)}};
  g_calls.too_small = PcwAddInstance(mask->buffer, &name, 7, 2, short_data);
  NTSTATUS status = PcwAddInstance(mask->buffer, &name, 7, 2, data);
  first = {~0u, 0, ~0ull};  // what was added is a copy
  second = 44;
  RtlInitUnicodeString(&name, L"number two");
  if (NT_SUCCESS(status)) status = PcwAddInstance(mask->buffer, &name, 8, 2, data);
  return status;
}

}  // namespace

NT_TEST(Pcw, AReaderGetsWhatTheCallbackAdds) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"Bugcheck callback");
  PCW_COUNTER counters[] = {{1, 0, 0, 4}, {2, 0, 8, 8}, {5, 1, 0, 8}};
  g_calls = {};
  PCW_INFORMATION info = {0x100,   sizeof(info), &name, 3, counters, reinterpret_cast<PVOID>(OnCallback),
                          &g_calls};
  PVOID set = nullptr;
  NT_ASSERT_SUCCESS(PcwRegister(&set, &info));
  NT_EXPECT_EQ(g_calls.types[0], 0);
  {
    Reading reading(L"bugcheck CALLBACK");
    NT_EXPECT_SUCCESS(reading.status);
    NT_EXPECT_EQ(reading.At<ULONG>(0), 2u);
    NT_EXPECT_EQ(reading.At<ULONG>(4), reading.bytes);
    const ULONG second = 8 + reading.At<ULONG>(8);
    NT_EXPECT_EQ(reading.At<ULONG>(12), 7u);
    NT_EXPECT_EQ(reading.At<ULONG>(16), 6u);
    NT_EXPECT_EQ(reading.At<ULONG>(20), 3u);
    NT_EXPECT_EQ(reading.At<WCHAR>(24), L'o');
    const ULONG values = 24 + 8;
    NT_EXPECT_EQ(reading.At<ULONG>(values), 1u);
    NT_EXPECT_EQ(reading.At<ULONG>(values + 4), 4u);
    NT_EXPECT_EQ(reading.At<ULONG64>(values + 8), 11u);
    NT_EXPECT_EQ(reading.At<ULONG64>(values + 24), 22u);
    NT_EXPECT_EQ(reading.At<ULONG>(values + 32), 5u);
    NT_EXPECT_EQ(reading.At<ULONG64>(values + 40), 33u);
    NT_EXPECT_EQ(reading.At<ULONG>(second + 4), 8u);
    NT_EXPECT_EQ(reading.At<ULONG64>(second + 16 + 24 + 8), ULONG64{0xFFFFFFFF});
    NT_EXPECT_EQ(reading.At<ULONG64>(second + 16 + 24 + 40), 44u);
    NT_EXPECT_EQ(second + reading.At<ULONG>(second), reading.bytes);
  }
  NT_EXPECT_EQ(g_calls.types[0], 1);
  NT_EXPECT_EQ(g_calls.types[1], 1);
  NT_EXPECT_EQ(g_calls.types[3], 1);
  NT_EXPECT_EQ(g_calls.irql, PASSIVE_LEVEL);
  NT_EXPECT_EQ(g_calls.counters, 0x26u);
  NT_EXPECT_EQ(g_calls.too_few, STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(g_calls.too_small, STATUS_INVALID_PARAMETER);
  Reading narrow(L"Bugcheck callback", 16);
  NT_EXPECT_EQ(narrow.status, STATUS_BUFFER_OVERFLOW);
  NT_EXPECT_EQ(narrow.bytes, 8u);
  NT_EXPECT_TRUE(narrow.At<ULONG>(4) > 16);
  g_calls.answer = STATUS_ACCESS_DENIED;  // the driver lets nobody add its counters
  NT_EXPECT_EQ(Reading(L"Bugcheck callback").status, STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(g_calls.types[3], 2);
  PcwUnregister(set);
  NT_EXPECT_EQ(Reading(L"Bugcheck callback").status, STATUS_OBJECT_NAME_NOT_FOUND);
}

NT_TEST(Pcw, AReaderSeesInstancesAsTheyAreNow) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"Bugcheck instances");
  PCW_COUNTER counter = {3, 0, 0, 8};
  PCW_INFORMATION info = {0x100, sizeof(info), &name, 1, &counter, nullptr, nullptr};
  PVOID set = nullptr, instance = nullptr;
  NT_ASSERT_SUCCESS(PcwRegister(&set, &info));
  NT_EXPECT_EQ(Reading(L"Bugcheck instances").At<ULONG>(0), 0u);
  volatile ULONG64 value = 5;
  PCW_BYTES data = {const_cast<ULONG64*>(&value), sizeof(value)};
  UNICODE_STRING text;
  RtlInitUnicodeString(&text, L"abcd");
  NT_ASSERT_SUCCESS(PcwCreateInstance(&instance, set, &text, 1, &data));
  for (ULONG64 now = 5; now < 8; ++now) {
    value = now;
    Reading reading(L"Bugcheck instances");
    NT_EXPECT_EQ(reading.At<ULONG>(0), 1u);
    NT_EXPECT_EQ(reading.At<ULONG64>(8 + 16 + 8 + 8), now);
  }
  PcwCloseInstance(instance);
  NT_EXPECT_EQ(Reading(L"Bugcheck instances").At<ULONG>(0), 0u);
  PcwUnregister(set);
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
