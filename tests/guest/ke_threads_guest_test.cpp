// Thread properties, critical regions, queues, processor calls and printing as a driver sees them. Oracle:
// the WDK pages of the routines; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

using nt_test::Thread;

// In the WDK's headers, not in mingw-w64's.
extern "C" {
__declspec(dllimport) BOOLEAN NTAPI KeAreAllApcsDisabled(VOID);
typedef ULONG_PTR(NTAPI* BroadcastRoutine)(ULONG_PTR);
__declspec(dllimport) ULONG_PTR NTAPI KeIpiGenericCall(BroadcastRoutine, ULONG_PTR);
}

NT_TEST(KdPrint, AnyLevelAndLengthIsTaken) {
  KIRQL old;
  NT_EXPECT_SUCCESS(DbgPrint("[test] print at PASSIVE_LEVEL %d %s %wZ\n", 1, "narrow", nullptr));
  KeRaiseIrql(HIGH_LEVEL, &old);
  DbgPrint("[test] print at HIGH_LEVEL %I64x\n", 0x123456789abcdefULL);
  KeLowerIrql(old);
  NT_EXPECT_SUCCESS(DbgPrintEx(77 /* DPFLTR_IHVDRIVER_ID */, 0 /* error */, "[test] DbgPrintEx %u\n", 7u));
}

NT_TEST(KeApc, CriticalRegionsNest) {
  NT_EXPECT_TRUE(!KeAreApcsDisabled());
  KeEnterCriticalRegion();
  KeEnterCriticalRegion();
  NT_EXPECT_TRUE(KeAreApcsDisabled());
  NT_EXPECT_TRUE(!KeAreAllApcsDisabled());
  KeLeaveCriticalRegion();
  NT_EXPECT_TRUE(KeAreApcsDisabled());
  KeLeaveCriticalRegion();
  NT_EXPECT_TRUE(!KeAreApcsDisabled());
}

NT_TEST(KeApc, GuardedRegionsDisableAll) {
  KeEnterGuardedRegion();
  const BOOLEAN all = KeAreAllApcsDisabled();
  KeLeaveGuardedRegion();
  NT_EXPECT_TRUE(all);
  NT_EXPECT_TRUE(!KeAreAllApcsDisabled());
}

NT_TEST(KeApc, RaisedIrqlDisablesAll) {
  KIRQL old;
  KeRaiseIrql(APC_LEVEL, &old);
  const BOOLEAN all = KeAreAllApcsDisabled();
  KeLowerIrql(old);
  NT_EXPECT_TRUE(all);
}

NT_TEST(KeThread, PriorityIsSetAndRead) {
  PKTHREAD self = KeGetCurrentThread();
  const KPRIORITY before = KeQueryPriorityThread(self);
  NT_EXPECT_EQ(KeSetPriorityThread(self, 12), before);
  NT_EXPECT_EQ(KeQueryPriorityThread(self), 12);
  KeSetPriorityThread(self, before);
  NT_EXPECT_EQ(KeQueryPriorityThread(self), before);
}

NT_TEST(KeThread, AffinityIsObeyed) {
  const KAFFINITY active = KeQueryActiveProcessors();
  for (ULONG number = 0; number < 32; ++number) {
    if (((active >> number) & 1) == 0) continue;
    KeSetSystemAffinityThread(static_cast<KAFFINITY>(1) << number);
    NT_EXPECT_EQ(KeGetCurrentProcessorNumber(), number);
  }
  KeRevertToUserAffinityThread();
}

namespace {

volatile LONG broadcast_processors;

ULONG_PTR NTAPI CountProcessor(ULONG_PTR context) {
  InterlockedOr(&broadcast_processors, 1L << KeGetCurrentProcessorNumber());
  return context;
}

}  // namespace

NT_TEST(KeIpi, GenericCallReachesEveryProcessor) {
  broadcast_processors = 0;
  NT_EXPECT_EQ(KeIpiGenericCall(CountProcessor, 42), 42u);
  NT_EXPECT_EQ(static_cast<KAFFINITY>(broadcast_processors), KeQueryActiveProcessors());
}

NT_TEST(KeQueue, EntriesComeOutInOrder) {
  KQUEUE queue;
  LIST_ENTRY entries[3];
  LARGE_INTEGER zero = {};
  KeInitializeQueue(&queue, 0);
  NT_EXPECT_EQ(KeInsertQueue(&queue, &entries[1]), 0);
  NT_EXPECT_EQ(KeInsertQueue(&queue, &entries[2]), 1);
  NT_EXPECT_EQ(KeInsertHeadQueue(&queue, &entries[0]), 2);
  NT_EXPECT_EQ(KeReadStateQueue(&queue), 3);
  for (LIST_ENTRY& entry : entries) NT_EXPECT_TRUE(KeRemoveQueue(&queue, KernelMode, &zero) == &entry);
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(KeRemoveQueue(&queue, KernelMode, &zero)), STATUS_TIMEOUT);
  NT_EXPECT_TRUE(KeRundownQueue(&queue) == nullptr);
}
