// Callbacks for crashes and NMIs: registration; an NMI that a driver sends itself. What the bug check
// callbacks do to a dump is tested by samples/bugchecks (they need a crash).
#include "nt_test.h"

namespace {

VOID NTAPI OnBugCheck(PVOID, ULONG) {}
VOID NTAPI OnReason(KBUGCHECK_CALLBACK_REASON, struct _KBUGCHECK_REASON_CALLBACK_RECORD*, PVOID, ULONG) {}

struct Nmi {
  volatile LONG calls;
  volatile BOOLEAN seen_handled;
  BOOLEAN mine;
};

BOOLEAN NTAPI OnNmi(PVOID context, BOOLEAN handled) {
  auto* nmi = static_cast<Nmi*>(context);
  nmi->seen_handled = handled;
  InterlockedIncrement(&nmi->calls);
  return nmi->mine;
}

constexpr ULONG kApicBaseMsr = 0x1B, kX2ApicId = 0x802, kX2ApicCommand = 0x830;

// To this processor, by its interrupt controller. The caller stays on it.
void SendNmiToSelf() {
  const ULONG64 base = __readmsr(kApicBaseMsr);
  if ((base & 0x400) != 0) {
    __writemsr(kX2ApicCommand, __readmsr(kX2ApicId) << 32 | 0x4400);
    return;
  }
  PHYSICAL_ADDRESS address;
  address.QuadPart = static_cast<LONGLONG>(base & 0xFFFFFF000ull);
  auto* apic = static_cast<volatile UCHAR*>(MmMapIoSpace(address, PAGE_SIZE, MmNonCached));
  if (apic == nullptr) return;
  const ULONG id = *reinterpret_cast<const volatile ULONG*>(apic + 0x20);
  *reinterpret_cast<volatile ULONG*>(apic + 0x310) = id;
  *reinterpret_cast<volatile ULONG*>(apic + 0x300) = 0x4400;
  while ((*reinterpret_cast<const volatile ULONG*>(apic + 0x300) & 0x1000) != 0) YieldProcessor();
  MmUnmapIoSpace(const_cast<UCHAR*>(apic), PAGE_SIZE);
}

}  // namespace

NT_TEST(KeBugCheck, CallbackRecordsAreRegisteredOnce) {
  static KBUGCHECK_CALLBACK_RECORD record;
  static UCHAR component[] = "test", buffer[16];
  KeInitializeCallbackRecord((&record));
  NT_EXPECT_EQ(KeRegisterBugCheckCallback(&record, OnBugCheck, buffer, sizeof buffer, component), TRUE);
  NT_EXPECT_EQ(KeRegisterBugCheckCallback(&record, OnBugCheck, buffer, sizeof buffer, component), FALSE);
  NT_EXPECT_EQ(KeDeregisterBugCheckCallback(&record), TRUE);
  NT_EXPECT_EQ(KeDeregisterBugCheckCallback(&record), FALSE);
}

NT_TEST(KeBugCheck, ReasonRecordsAreRegisteredOnce) {
  static KBUGCHECK_REASON_CALLBACK_RECORD record;
  static UCHAR component[] = "test";
  KeInitializeCallbackRecord((&record));
  NT_EXPECT_EQ(KeRegisterBugCheckReasonCallback(&record, OnReason, KbCallbackInvalid, component), FALSE);
  NT_EXPECT_EQ(KeRegisterBugCheckReasonCallback(&record, OnReason, KbCallbackAddPages, component), TRUE);
  NT_EXPECT_EQ(KeRegisterBugCheckReasonCallback(&record, OnReason, KbCallbackDumpIo, component), FALSE);
  NT_EXPECT_EQ(KeDeregisterBugCheckReasonCallback(&record), TRUE);
  NT_EXPECT_EQ(KeDeregisterBugCheckReasonCallback(&record), FALSE);
}

extern "C" {
NTSTATUS NTAPI KeInitializeTriageDumpDataArray(PVOID array, ULONG size);
NTSTATUS NTAPI KeAddTriageDumpDataBlock(PVOID array, PVOID address, SIZE_T size);
}

NT_TEST(KeBugCheck, TriageArraysJoinNeighboursAndEnd) {
  struct {
    LIST_ENTRY list;
    ULONG used, total, bytes, most_bytes, name_length;
    PUCHAR name;
    struct {
      UCHAR* address;
      ULONG_PTR size;
    } blocks[2];
  } array;
  static UCHAR memory[0x300];
  NT_EXPECT_EQ(KeInitializeTriageDumpDataArray(&array, 0x30), STATUS_INVALID_PARAMETER);
  NT_ASSERT_SUCCESS(KeInitializeTriageDumpDataArray(&array, sizeof array));
  NT_EXPECT_EQ(array.total, 2u);
  NT_EXPECT_SUCCESS(KeAddTriageDumpDataBlock(&array, memory, 0x10));
  NT_EXPECT_SUCCESS(KeAddTriageDumpDataBlock(&array, memory + 0x10, 0x20));
  NT_EXPECT_EQ(array.used, 1u);
  NT_EXPECT_EQ(array.blocks[0].size, 0x30u);
  NT_EXPECT_SUCCESS(KeAddTriageDumpDataBlock(&array, memory + 0x100, 0x10));
  NT_EXPECT_EQ(KeAddTriageDumpDataBlock(&array, memory + 0x200, 0x10), STATUS_INSUFFICIENT_RESOURCES);
  NT_EXPECT_EQ(KeAddTriageDumpDataBlock(&array, memory, 0), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(KeAddTriageDumpDataBlock(&array, memory, 1 << 20), STATUS_BUFFER_OVERFLOW);
  NT_EXPECT_EQ(array.bytes, 0x40u);
}

NT_TEST(KeNmi, CallbacksAreAskedUntilNobodyIsLeft) {
  Nmi first = {0, FALSE, TRUE}, second = {0, TRUE, FALSE};
  const KAFFINITY old = KeSetSystemAffinityThreadEx(1);
  PVOID first_handle = KeRegisterNmiCallback(OnNmi, &first);
  PVOID second_handle = KeRegisterNmiCallback(OnNmi, &second);
  NT_ASSERT_TRUE(first_handle != nullptr && second_handle != nullptr);
  SendNmiToSelf();
  while (first.calls == 0) YieldProcessor();
  NT_EXPECT_EQ(second.calls, 1);  // the last registered is asked first
  NT_EXPECT_EQ(second.seen_handled, FALSE);
  NT_EXPECT_EQ(KeDeregisterNmiCallback(second_handle), STATUS_SUCCESS);
  NT_EXPECT_EQ(KeDeregisterNmiCallback(second_handle), STATUS_INVALID_HANDLE);
  SendNmiToSelf();
  while (first.calls == 1) YieldProcessor();
  NT_EXPECT_EQ(second.calls, 1);
  NT_EXPECT_EQ(KeDeregisterNmiCallback(first_handle), STATUS_SUCCESS);
  KeRevertToUserAffinityThreadEx(old);
}
