// The pools as a driver sees them. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"

namespace {

constexpr ULONG kTag = 'tPxE';

}  // namespace

NT_TEST(ExPool, AllocateGivesAlignedDistinctBlocks) {
  const POOL_TYPE types[] = {NonPagedPool, NonPagedPoolNx, PagedPool};
  for (const POOL_TYPE type : types) {
    UCHAR* blocks[40];
    for (ULONG i = 0; i < 40; ++i) {
      blocks[i] = static_cast<UCHAR*>(ExAllocatePoolWithTag(type, i * 111, kTag));
      NT_ASSERT_TRUE(blocks[i] != nullptr);
      NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(blocks[i]) % 16, 0);
      RtlFillMemory(blocks[i], i * 111, static_cast<UCHAR>(i));
    }
    for (ULONG i = 0; i < 40; ++i) {
      bool same = true;
      for (ULONG at = 0; at < i * 111; ++at) same &= blocks[i][at] == i;
      NT_EXPECT_TRUE(same);
      ExFreePoolWithTag(blocks[i], kTag);
    }
  }
}

NT_TEST(ExPool, AllocateOfAPageIsPageAligned) {
  PVOID block = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, kTag);
  NT_ASSERT_TRUE(block != nullptr);
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(block) % PAGE_SIZE, 0);
  ExFreePool(block);
}

NT_TEST(ExPool, AllocateCacheAligned) {
  for (int i = 0; i < 20; ++i) {
    PVOID block = ExAllocatePoolWithTag(NonPagedPoolNxCacheAligned, 72, kTag);
    NT_ASSERT_TRUE(block != nullptr);
    NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(block) % 64, 0);
    ExFreePool(block);
  }
}

NT_TEST(ExPool, TagStandsBeforeTheBlock) {
  auto* block = static_cast<ULONG*>(ExAllocatePoolWithTag(NonPagedPoolNx, 40, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  NT_EXPECT_EQ(block[-3], kTag);
  ExFreePoolWithTag(block, kTag);
}

NT_TEST(ExPool, PriorityIsAccepted) {
  PVOID block = ExAllocatePoolWithTagPriority(NonPagedPoolNx, 100, kTag, LowPoolPriority);
  NT_ASSERT_TRUE(block != nullptr);
  ExFreePoolWithTag(block, kTag);
}

NT_TEST(ExPool, QuotaAllocationsWork) {
  PVOID block = ExAllocatePoolWithQuotaTag(NonPagedPoolNx, 100, kTag);
  NT_EXPECT_TRUE(block != nullptr);
  ExFreePoolWithTag(block, kTag);
  constexpr ULONG kFailInsteadOfRaise = 8;
  block =
      ExAllocatePoolWithQuotaTag(static_cast<POOL_TYPE>(PagedPool | kFailInsteadOfRaise), 1ull << 45, kTag);
  NT_EXPECT_TRUE(block == nullptr);
}

NT_TEST(ExPool, Pool2ZeroesAndChecksItsFlags) {
  constexpr ULONG64 kFlags[] = {POOL_FLAG_NON_PAGED, POOL_FLAG_PAGED, POOL_FLAG_NON_PAGED_EXECUTE};
  constexpr SIZE_T kSizes[] = {24, 3000, 9000};
  for (const ULONG64 flag : kFlags) {
    for (const SIZE_T size : kSizes) {
      auto* block = static_cast<UCHAR*>(ExAllocatePool2(flag, size, kTag));
      NT_ASSERT_TRUE(block != nullptr);
      UCHAR bits = 0;
      for (SIZE_T i = 0; i < size; ++i) bits |= block[i];
      NT_EXPECT_EQ(bits, 0);
      RtlFillMemory(block, size, 0xEE);
      ExFreePoolWithTag(block, kTag);
    }
  }
  NT_EXPECT_TRUE(ExAllocatePool2(POOL_FLAG_NON_PAGED, 0, kTag) == nullptr);
  NT_EXPECT_TRUE(ExAllocatePool2(POOL_FLAG_NON_PAGED, 16, 0) == nullptr);
  NT_EXPECT_TRUE(ExAllocatePool2(0, 16, kTag) == nullptr);
  NT_EXPECT_TRUE(ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_PAGED, 16, kTag) == nullptr);
}

NT_TEST(ExPool, Pool3MeetsItsParameters) {
  POOL_EXTENDED_PARAMETER parameters[2] = {};
  parameters[0].Type = PoolExtendedParameterPriority;
  parameters[0].Priority = LowPoolPriority;
  parameters[1].Type = PoolExtendedParameterNumaNode;
  parameters[1].PreferredNode = 0;
  PVOID block = ExAllocatePool3(POOL_FLAG_NON_PAGED, 64, kTag, parameters, 2);
  NT_ASSERT_TRUE(block != nullptr);
  ExFreePool2(block, kTag, nullptr, 0);
  parameters[1].PreferredNode = 63;
  NT_EXPECT_TRUE(ExAllocatePool3(POOL_FLAG_NON_PAGED, 64, kTag, parameters, 2) == nullptr);
}

NT_TEST(ExPool, Pool3RefusesSecurePoolUnlessOptional) {
  POOL_EXTENDED_PARAMETER parameter = {};
  parameter.Type = PoolExtendedParameterSecurePool;
  NT_EXPECT_TRUE(ExAllocatePool3(POOL_FLAG_NON_PAGED, 64, kTag, &parameter, 1) == nullptr);
  parameter.Optional = 1;
  PVOID block = ExAllocatePool3(POOL_FLAG_NON_PAGED, 64, kTag, &parameter, 1);
  NT_ASSERT_TRUE(block != nullptr);
  ExFreePool2(block, kTag, nullptr, 0);
}

NT_TEST(ExPool, QuotaIsChargedAndReturned) {
  BOOLEAN charged = FALSE;
  const SIZE_T sizes[] = {1, 100, 600, 4064, 9000};
  for (const SIZE_T size : sizes) {
    PVOID block = ExAllocatePoolWithQuotaTag(PagedPool, size, kTag);
    NT_ASSERT_TRUE(block != nullptr);
    RtlFillMemory(block, size, 0x77);
    NT_EXPECT_EQ(ExQueryPoolBlockSize(block, &charged), size);
    NT_EXPECT_TRUE(charged);
    ExFreePoolWithTag(block, kTag);
    block = ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_USE_QUOTA, size, kTag);
    NT_ASSERT_TRUE(block != nullptr);
    ExQueryPoolBlockSize(block, &charged);
    NT_EXPECT_TRUE(charged);
    ExFreePool(block);
  }
  PEPROCESS process = PsGetCurrentProcess();
  PsChargePoolQuota(process, PagedPool, 1000);
  NT_EXPECT_SUCCESS(PsChargeProcessPoolQuota(process, NonPagedPool, 1000));
  PsReturnPoolQuota(process, PagedPool, 1000);
  PsReturnPoolQuota(process, NonPagedPool, 1000);
}

NT_TEST(ExPool, SpecialPoolPutsTheBlockAgainstAPagesEdge) {
  for (ULONG round = 0; round < 50; ++round) {
    auto* over = static_cast<UCHAR*>(
        ExAllocatePoolWithTagPriority(NonPagedPoolNx, 160, kTag, HighPoolPrioritySpecialPoolOverrun));
    auto* under = static_cast<UCHAR*>(
        ExAllocatePoolWithTagPriority(PagedPool, 160, kTag, HighPoolPrioritySpecialPoolUnderrun));
    NT_ASSERT_TRUE(over != nullptr && under != nullptr);
    NT_EXPECT_EQ((reinterpret_cast<ULONG_PTR>(over) + 160) % PAGE_SIZE, 0);
    NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(under) % PAGE_SIZE, 0);
    NT_EXPECT_EQ(ExQueryPoolBlockSize(over, nullptr), 160);
    RtlFillMemory(over, 160, 1);
    RtlFillMemory(under, 160, 1);
    ExFreePoolWithTag(over, kTag);
    ExFreePoolWithTag(under, kTag);
    NT_EXPECT_TRUE(!MmIsAddressValid(over));
    NT_EXPECT_TRUE(!MmIsAddressValid(under));
  }
}

NT_TEST(ExPool, BlockSizeIsAtLeastWhatWasAsked) {
  BOOLEAN charged = TRUE;
  PVOID block = ExAllocatePoolWithTag(NonPagedPoolNx, 100, kTag);
  NT_ASSERT_TRUE(block != nullptr);
  const SIZE_T size = ExQueryPoolBlockSize(block, &charged);
  NT_EXPECT_EQ(size, 100);
  NT_EXPECT_TRUE(!charged);
  ExFreePool(block);
}

NT_TEST(ExPool, NonPagedWorksAtDispatchLevel) {
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  PVOID small = ExAllocatePoolWithTag(NonPagedPoolNx, 100, kTag);
  PVOID large = ExAllocatePoolWithTag(NonPagedPoolNx, 5 * PAGE_SIZE, kTag);
  if (small != nullptr) RtlFillMemory(small, 100, 1);
  if (large != nullptr) RtlFillMemory(large, 5 * PAGE_SIZE, 1);
  if (small != nullptr) ExFreePool(small);
  if (large != nullptr) ExFreePool(large);
  KeLowerIrql(irql);
  NT_EXPECT_TRUE(small != nullptr && large != nullptr);
}

NT_TEST(ExPool, NothingIsLostInALongRun) {
  // More than the machine's memory in sum.
  for (int i = 0; i < 40000; ++i) {
    PVOID block = ExAllocatePoolWithTag(i % 2 != 0 ? PagedPool : NonPagedPoolNx,
                                        i % 7 == 0 ? 40000 : 100 + i % 3000, kTag);
    NT_ASSERT_TRUE(block != nullptr);
    ExFreePoolWithTag(block, kTag);
  }
}

extern "C" {
NTSTATUS NTAPI ZwQuerySystemInformation(ULONG SystemInformationClass, PVOID SystemInformation, ULONG Length,
                                        PULONG ReturnLength);
NTSTATUS NTAPI ZwSetSystemInformation(ULONG SystemInformationClass, PVOID SystemInformation, ULONG Length);
}

NT_TEST(ExSystemInformation, PoolTagsAndTheMemoryList) {
  ULONG length = 0;
  ULONG command = 4;
  NT_EXPECT_EQ(ZwQuerySystemInformation(22, nullptr, 0, &length), STATUS_INFO_LENGTH_MISMATCH);
  NT_EXPECT_TRUE(length > 8);
  NT_EXPECT_EQ(ZwSetSystemInformation(0xFFFF, &command, sizeof(command)), STATUS_INVALID_INFO_CLASS);
  NT_EXPECT_SUCCESS(ZwSetSystemInformation(80, &command, sizeof(command)));
}

NT_TEST(ExLookaside, FlagsAndTypesAreChecked) {
  static LOOKASIDE_LIST_EX list;
  NT_EXPECT_EQ(ExInitializeLookasideListEx(&list, nullptr, nullptr, NonPagedPoolNx, 3, 100, kTag, 0),
               STATUS_INVALID_PARAMETER_5);
  NT_EXPECT_EQ(
      ExInitializeLookasideListEx(&list, nullptr, nullptr, static_cast<POOL_TYPE>(77), 0, 100, kTag, 0),
      STATUS_INVALID_PARAMETER_4);
  NT_ASSERT_SUCCESS(ExInitializeLookasideListEx(&list, nullptr, nullptr, PagedPool, 1, 100, kTag, 0));
  PVOID block = ExAllocateFromLookasideListEx(&list);
  NT_EXPECT_TRUE(block != nullptr);
  ExFreeToLookasideListEx(&list, block);
  ExDeleteLookasideListEx(&list);
}

NT_TEST(ExLookaside, TheDepthFollowsTheUse) {
  static NPAGED_LOOKASIDE_LIST list;
  static PVOID blocks[200];
  ExInitializeNPagedLookasideList(&list, nullptr, nullptr, 512, 100, kTag, 0);
  const USHORT first = list.L.Depth;
  LARGE_INTEGER pause;
  pause.QuadPart = -10'000 * 50;
  // Many at a time, more than it keeps: misses, until the next adaption.
  ULONG rounds = 0;
  for (; list.L.Depth <= first && rounds < 100; ++rounds) {
    for (PVOID& block : blocks) block = ExAllocateFromNPagedLookasideList(&list);
    for (PVOID block : blocks) {
      if (block != nullptr) ExFreeToNPagedLookasideList(&list, block);
    }
    KeDelayExecutionThread(KernelMode, FALSE, &pause);
  }
  NT_EXPECT_TRUE(list.L.Depth > first);
  NT_EXPECT_TRUE(list.L.Depth <= list.L.MaximumDepth);
  ExDeleteNPagedLookasideList(&list);
}
