// The executive as a driver sees it. Oracle: the WDK pages of the routines; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

extern "C" __declspec(dllimport) NTSTATUS NTAPI ZwResetEvent(HANDLE EventHandle, PLONG PreviousState);

NT_TEST(KernelEx, AnSListIsLastInFirstOut) {
  alignas(16) SLIST_HEADER head;
  alignas(16) SLIST_ENTRY entries[3];
  InitializeSListHead(&head);
  NT_EXPECT_TRUE(ExpInterlockedPopEntrySList(&head) == nullptr);
  for (auto& entry : entries) ExpInterlockedPushEntrySList(&head, &entry);
  NT_EXPECT_EQ(ExQueryDepthSList(&head), 3);
  NT_EXPECT_TRUE(ExpInterlockedPopEntrySList(&head) == &entries[2]);
  NT_EXPECT_TRUE(ExpInterlockedFlushSList(&head) == &entries[1]);
  NT_EXPECT_EQ(ExQueryDepthSList(&head), 0);
}

NT_TEST(KernelEx, InterlockedListsTellWhatWasThere) {
  KSPIN_LOCK lock;
  LIST_ENTRY head;
  LIST_ENTRY first;
  LIST_ENTRY second;
  KeInitializeSpinLock(&lock);
  InitializeListHead(&head);
  NT_EXPECT_TRUE(ExInterlockedInsertTailList(&head, &first, &lock) == nullptr);
  NT_EXPECT_TRUE(ExInterlockedInsertTailList(&head, &second, &lock) == &first);
  NT_EXPECT_TRUE(ExInterlockedRemoveHeadList(&head, &lock) == &first);
  NT_EXPECT_TRUE(ExInterlockedRemoveHeadList(&head, &lock) == &second);
  NT_EXPECT_TRUE(ExInterlockedRemoveHeadList(&head, &lock) == nullptr);
}

NT_TEST(KernelEx, ALookasideListGivesAFreedBlockAgain) {
  NPAGED_LOOKASIDE_LIST list;
  ExInitializeNPagedLookasideList(&list, nullptr, nullptr, 0, 64, 'tseT', 0);
  PVOID block = ExAllocateFromNPagedLookasideList(&list);
  NT_ASSERT_TRUE(block != nullptr);
  ExFreeToNPagedLookasideList(&list, block);
  PVOID again = ExAllocateFromNPagedLookasideList(&list);
  NT_EXPECT_TRUE(again == block);
  ExFreeToNPagedLookasideList(&list, again);
  ExDeleteNPagedLookasideList(&list);
}

NT_TEST(KernelEx, AnEventIsSetAndResetByItsHandle) {
  HANDLE event;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  NT_ASSERT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE));
  LONG previous = -1;
  NT_EXPECT_SUCCESS(ZwSetEvent(event, &previous));
  NT_EXPECT_EQ(previous, 0);
  LARGE_INTEGER none = {};
  NT_EXPECT_EQ(ZwWaitForSingleObject(event, FALSE, &none), STATUS_SUCCESS);
  NT_EXPECT_SUCCESS(ZwResetEvent(event, &previous));
  NT_EXPECT_EQ(ZwWaitForSingleObject(event, FALSE, &none), STATUS_TIMEOUT);
  NT_EXPECT_SUCCESS(ZwClose(event));
}

namespace {

VOID NTAPI Count(PVOID context, PVOID argument, PVOID) {
  *static_cast<ULONG_PTR*>(context) += reinterpret_cast<ULONG_PTR>(argument);
}

}  // namespace

NT_TEST(KernelEx, ACallbackObjectCallsWhoIsRegistered) {
  PCALLBACK_OBJECT callback;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, 0, nullptr, nullptr);
  NT_ASSERT_SUCCESS(ExCreateCallback(&callback, &attributes, TRUE, TRUE));
  ULONG_PTR sum = 0;
  PVOID registration = ExRegisterCallback(callback, Count, &sum);
  NT_EXPECT_TRUE(registration != nullptr);
  ExNotifyCallback(callback, reinterpret_cast<PVOID>(ULONG_PTR{3}), nullptr);
  ExUnregisterCallback(registration);
  ExNotifyCallback(callback, reinterpret_cast<PVOID>(ULONG_PTR{5}), nullptr);
  NT_EXPECT_EQ(sum, 3);
  ObDereferenceObject(callback);
}

NT_TEST(KernelEx, LocalTimeIsSystemTimeAndBack) {
  LARGE_INTEGER system;
  LARGE_INTEGER local;
  LARGE_INTEGER back;
  KeQuerySystemTime(&system);
  ExSystemTimeToLocalTime(&system, &local);
  ExLocalTimeToSystemTime(&local, &back);
  NT_EXPECT_EQ(back.QuadPart, system.QuadPart);
  NT_EXPECT_EQ(ExGetPreviousMode(), KernelMode);
}
