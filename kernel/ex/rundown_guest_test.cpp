// Rundown protection and one-time initialization. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

NT_TEST(ExRundown, RefusesOnceItHasBegun) {
  EX_RUNDOWN_REF rundown;
  ExInitializeRundownProtection(&rundown);
  NT_EXPECT_TRUE(ExAcquireRundownProtection(&rundown));
  NT_EXPECT_TRUE(ExAcquireRundownProtectionEx(&rundown, 5));
  ExReleaseRundownProtectionEx(&rundown, 3);
  ExReleaseRundownProtectionEx(&rundown, 3);
  ExWaitForRundownProtectionRelease(&rundown);
  NT_EXPECT_TRUE(!ExAcquireRundownProtection(&rundown));
  ExWaitForRundownProtectionRelease(&rundown);  // over already
  ExReInitializeRundownProtection(&rundown);
  NT_EXPECT_TRUE(ExAcquireRundownProtection(&rundown));
  ExReleaseRundownProtection(&rundown);
  ExRundownCompleted(&rundown);
  NT_EXPECT_TRUE(!ExAcquireRundownProtection(&rundown));
}

namespace {

struct Rundown {
  EX_RUNDOWN_REF plain;
  PEX_RUNDOWN_REF_CACHE_AWARE wide;
  volatile LONG done;
};

VOID NTAPI RunDown(PVOID context) {
  auto* rundown = static_cast<Rundown*>(context);
  ExWaitForRundownProtectionRelease(&rundown->plain);
  InterlockedIncrement(&rundown->done);
}

VOID NTAPI RunDownWide(PVOID context) {
  auto* rundown = static_cast<Rundown*>(context);
  ExWaitForRundownProtectionReleaseCacheAware(rundown->wide);
  InterlockedIncrement(&rundown->done);
}

}  // namespace

NT_TEST(ExRundown, AllWhoAwaitItReturnAfterTheLastRelease) {
  Rundown rundown = {};
  ExInitializeRundownProtection(&rundown.plain);
  NT_EXPECT_TRUE(ExAcquireRundownProtectionEx(&rundown.plain, 2));
  nt_test::Thread first(RunDown, &rundown);
  nt_test::Thread second(RunDown, &rundown);
  NT_ASSERT_TRUE(first.started() && second.started());
  while (ExAcquireRundownProtection(&rundown.plain)) {
    ExReleaseRundownProtection(&rundown.plain);
    nt_test::Sleep(1);
  }
  ExReleaseRundownProtection(&rundown.plain);
  nt_test::Sleep(2);
  NT_EXPECT_EQ(rundown.done, 0);
  ExReleaseRundownProtection(&rundown.plain);
  first.Join();
  second.Join();
  NT_EXPECT_EQ(rundown.done, 2);
}

NT_TEST(ExRundown, TheCacheAwareFormCountsOverAllProcessors) {
  Rundown rundown = {};
  rundown.wide = ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 'tseT');
  NT_ASSERT_TRUE(rundown.wide != nullptr);
  const ULONG processors = KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS);
  // Taken on the first processor, given back on the last.
  KAFFINITY before = KeSetSystemAffinityThreadEx(1);
  NT_EXPECT_TRUE(ExAcquireRundownProtectionCacheAware(rundown.wide));
  NT_EXPECT_TRUE(ExAcquireRundownProtectionCacheAwareEx(rundown.wide, 3));
  KeSetSystemAffinityThreadEx(KAFFINITY{1} << (processors - 1));
  ExReleaseRundownProtectionCacheAware(rundown.wide);
  ExReleaseRundownProtectionCacheAwareEx(rundown.wide, 2);
  nt_test::Thread thread(RunDownWide, &rundown);
  NT_ASSERT_TRUE(thread.started());
  while (ExAcquireRundownProtectionCacheAware(rundown.wide)) {
    ExReleaseRundownProtectionCacheAware(rundown.wide);
    nt_test::Sleep(1);
  }
  nt_test::Sleep(2);
  NT_EXPECT_EQ(rundown.done, 0);
  ExReleaseRundownProtectionCacheAware(rundown.wide);
  thread.Join();
  NT_EXPECT_EQ(rundown.done, 1);
  KeRevertToUserAffinityThreadEx(before);
  ExReInitializeRundownProtectionCacheAware(rundown.wide);
  NT_EXPECT_TRUE(ExAcquireRundownProtectionCacheAware(rundown.wide));
  ExReleaseRundownProtectionCacheAware(rundown.wide);
  ExRundownCompletedCacheAware(rundown.wide);
  NT_EXPECT_TRUE(!ExAcquireRundownProtectionCacheAware(rundown.wide));
  ExFreeCacheAwareRundownProtection(rundown.wide);
}

NT_TEST(ExRundown, TheCacheAwareFormFitsIntoMemoryOfTheDriver) {
  const SIZE_T size = ExSizeOfRundownProtectionCacheAware();
  auto* rundown =
      static_cast<PEX_RUNDOWN_REF_CACHE_AWARE>(ExAllocatePoolWithTag(NonPagedPoolNx, size, 'tseT'));
  NT_ASSERT_TRUE(rundown != nullptr);
  ExInitializeRundownProtectionCacheAware(rundown, size);
  NT_EXPECT_TRUE(ExAcquireRundownProtectionCacheAware(rundown));
  ExReleaseRundownProtectionCacheAware(rundown);
  ExWaitForRundownProtectionReleaseCacheAware(rundown);
  NT_EXPECT_TRUE(!ExAcquireRundownProtectionCacheAware(rundown));
  ExFreePoolWithTag(rundown, 'tseT');
}

namespace {

ULONG NTAPI Initialize(PRTL_RUN_ONCE, PVOID parameter, PVOID* context) {
  auto* calls = static_cast<volatile LONG*>(parameter);
  const LONG call = InterlockedIncrement(calls);
  nt_test::Sleep(2);
  *context = reinterpret_cast<PVOID>(ULONG_PTR{0x1000});
  return call != 1;  // the first attempt fails
}

struct Once {
  RTL_RUN_ONCE once;
  volatile LONG calls;
  volatile LONG successes;
};

VOID NTAPI ExecuteOnce(PVOID context) {
  auto* once = static_cast<Once*>(context);
  PVOID result = nullptr;
  while (
      !NT_SUCCESS(RtlRunOnceExecuteOnce(&once->once, Initialize, const_cast<LONG*>(&once->calls), &result)));
  if (result == reinterpret_cast<PVOID>(ULONG_PTR{0x1000})) InterlockedIncrement(&once->successes);
}

}  // namespace

NT_TEST(RtlRunOnce, RunsUntilItSucceedsAndThenNeverAgain) {
  Once once = {};
  RtlRunOnceInitialize(&once.once);
  {
    nt_test::Thread threads[4] = {
        {ExecuteOnce, &once}, {ExecuteOnce, &once}, {ExecuteOnce, &once}, {ExecuteOnce, &once}};
  }
  NT_EXPECT_EQ(once.calls, 2);
  NT_EXPECT_EQ(once.successes, 4);
}

NT_TEST(RtlRunOnce, CheckOnlyBeginsNothing) {
  RTL_RUN_ONCE once = RTL_RUN_ONCE_INIT;
  PVOID context = nullptr;
  NT_EXPECT_EQ(RtlRunOnceBeginInitialize(&once, RTL_RUN_ONCE_CHECK_ONLY, &context), STATUS_UNSUCCESSFUL);
  NT_EXPECT_EQ(RtlRunOnceBeginInitialize(&once, 0, &context), STATUS_PENDING);
  NT_EXPECT_EQ(RtlRunOnceComplete(&once, 0, reinterpret_cast<PVOID>(ULONG_PTR{0x30})), STATUS_SUCCESS);
  NT_EXPECT_EQ(RtlRunOnceBeginInitialize(&once, RTL_RUN_ONCE_CHECK_ONLY, &context), STATUS_SUCCESS);
  NT_EXPECT_TRUE(context == reinterpret_cast<PVOID>(ULONG_PTR{0x30}));
}

NT_TEST(RtlRunOnce, OneOfSeveralAsynchronousAttemptsWins) {
  RTL_RUN_ONCE once = RTL_RUN_ONCE_INIT;
  PVOID context = nullptr;
  NT_EXPECT_EQ(RtlRunOnceBeginInitialize(&once, RTL_RUN_ONCE_ASYNC, &context), STATUS_PENDING);
  NT_EXPECT_EQ(RtlRunOnceBeginInitialize(&once, RTL_RUN_ONCE_ASYNC, &context), STATUS_PENDING);
  NT_EXPECT_TRUE(!NT_SUCCESS(RtlRunOnceBeginInitialize(&once, 0, &context)));
  NT_EXPECT_EQ(RtlRunOnceComplete(&once, RTL_RUN_ONCE_ASYNC, nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(RtlRunOnceComplete(&once, RTL_RUN_ONCE_ASYNC, nullptr), STATUS_UNSUCCESSFUL);
}
