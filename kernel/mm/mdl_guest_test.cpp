// MDLs as a driver uses them. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"

namespace {

constexpr ULONG kTag = 'tdlM';

PHYSICAL_ADDRESS Physical(ULONG64 value) {
  PHYSICAL_ADDRESS address;
  address.QuadPart = static_cast<LONGLONG>(value);
  return address;
}

}  // namespace

NT_TEST(MmMdl, NonPagedMdlKnowsItsPages) {
  auto* block = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, 3 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(block + 100, 2 * PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmBuildMdlForNonPagedPool(mdl);
  NT_EXPECT_TRUE(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) == block + 100);
  for (int i = 0; i < 3; ++i) {
    NT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[i] * PAGE_SIZE,
                 static_cast<ULONG64>(MmGetPhysicalAddress(block + i * PAGE_SIZE).QuadPart));
  }
  IoFreeMdl(mdl);
  ExFreePoolWithTag(block, kTag);
}

NT_TEST(MmMdl, LockMakesPagedMemoryUsableAtDispatchLevel) {
  auto* block = static_cast<volatile UCHAR*>(ExAllocatePoolWithTag(PagedPool, 4 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(const_cast<UCHAR*>(block), 4 * PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmProbeAndLockPages(mdl, KernelMode, IoModifyAccess);
  NT_EXPECT_TRUE((mdl->MdlFlags & MDL_PAGES_LOCKED) != 0);
  auto* mapped = static_cast<volatile UCHAR*>(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority));
  NT_EXPECT_TRUE(mapped != nullptr && mapped != block);
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  for (int i = 0; i < 4; ++i) mapped[i * PAGE_SIZE + 7] = static_cast<UCHAR>(i + 1);
  KeLowerIrql(irql);
  for (int i = 0; i < 4; ++i) NT_EXPECT_EQ(block[i * PAGE_SIZE + 7], i + 1);
  MmUnlockPages(mdl);
  NT_EXPECT_EQ(mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA), 0);
  IoFreeMdl(mdl);
  ExFreePoolWithTag(const_cast<UCHAR*>(block), kTag);
}

NT_TEST(MmMdl, MapGivesASecondView) {
  auto* block = static_cast<volatile ULONG*>(ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(const_cast<ULONG*>(block) + 5, PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
  auto* mapped = static_cast<volatile ULONG*>(MmMapLockedPages(mdl, KernelMode));
  NT_EXPECT_TRUE(mapped != nullptr);
  mapped[1000] = 42;
  NT_EXPECT_EQ(block[1005], 42u);
  MmUnmapLockedPages(const_cast<ULONG*>(mapped), mdl);
  NT_EXPECT_TRUE(!MmIsAddressValid(const_cast<ULONG*>(mapped)));
  MmUnlockPages(mdl);
  IoFreeMdl(mdl);
  ExFreePoolWithTag(const_cast<ULONG*>(block), kTag);
}

NT_TEST(MmMdl, AllocatePagesGivesZeroedPagesInRange) {
  PMDL mdl = MmAllocatePagesForMdl(Physical(0), Physical(~0ull >> 1), Physical(0), 5 * PAGE_SIZE);
  NT_ASSERT_TRUE(mdl != nullptr);
  NT_EXPECT_EQ(MmGetMdlByteCount(mdl), 5 * PAGE_SIZE);
  auto* mapped = static_cast<ULONG64*>(
      MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, nullptr, FALSE, NormalPagePriority));
  NT_EXPECT_TRUE(mapped != nullptr);
  if (mapped != nullptr) {
    ULONG64 bits = 0;
    for (SIZE_T i = 0; i < 5 * PAGE_SIZE / 8; ++i) bits |= mapped[i];
    NT_EXPECT_EQ(bits, 0ull);
    MmUnmapLockedPages(mapped, mdl);
  }
  MmFreePagesFromMdl(mdl);
  ExFreePool(mdl);
  mdl = MmAllocatePagesForMdlEx(Physical(16 << 20), Physical((32 << 20) - 1), Physical(0), 3 * PAGE_SIZE,
                                MmCached, MM_ALLOCATE_FULLY_REQUIRED);
  NT_ASSERT_TRUE(mdl != nullptr);
  for (int i = 0; i < 3; ++i) {
    const ULONG64 page = MmGetMdlPfnArray(mdl)[i];
    NT_EXPECT_TRUE(page >= (16 << 8) && page < (32 << 8));
  }
  MmFreePagesFromMdl(mdl);
  ExFreePool(mdl);
}

NT_TEST(MmMdl, SizeCountsPages) {
  NT_EXPECT_EQ(MmSizeOfMdl(nullptr, 1), sizeof(MDL) + 8);
  NT_EXPECT_EQ(MmSizeOfMdl(reinterpret_cast<PVOID>(0xFFF), 2), sizeof(MDL) + 16);
  NT_EXPECT_EQ(MmSizeOfMdl(nullptr, PAGE_SIZE), sizeof(MDL) + 8);
}

NT_TEST(MmMdl, AdvanceDropsWholePages) {
  auto* block = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, 3 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(block, 3 * PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmBuildMdlForNonPagedPool(mdl);
  const PFN_NUMBER second = MmGetMdlPfnArray(mdl)[1];
  NT_EXPECT_EQ(MmAdvanceMdl(mdl, 3 * PAGE_SIZE), STATUS_INVALID_PARAMETER_2);
  NT_EXPECT_SUCCESS(MmAdvanceMdl(mdl, PAGE_SIZE + 8));
  NT_EXPECT_EQ(MmGetMdlByteOffset(mdl), 8u);
  NT_EXPECT_EQ(MmGetMdlByteCount(mdl), 2 * PAGE_SIZE - 8);
  NT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[0], second);
  NT_EXPECT_TRUE(mdl->MappedSystemVa == block + PAGE_SIZE + 8);
  IoFreeMdl(mdl);
  ExFreePoolWithTag(block, kTag);
}
