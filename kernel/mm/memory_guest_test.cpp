// Copies that cannot fault, ranges, protection. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"

namespace {

constexpr ULONG kTag = 'tmeM';

}  // namespace

NT_TEST(MmMemory, LimitsAreWindowsOnes) {
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(MmSystemRangeStart), 0xFFFF800000000000);
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(MmHighestUserAddress), 0x7FFFFFFEFFFF);
  NT_EXPECT_EQ(MmUserProbeAddress, 0x7FFFFFFF0000);
}

NT_TEST(MmMemory, CopyReadsWhatIsThere) {
  auto* source = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, 3 * PAGE_SIZE, kTag));
  auto* target = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(source != nullptr && target != nullptr);
  for (ULONG i = 0; i < 3 * PAGE_SIZE; ++i) source[i] = static_cast<UCHAR>(i / 7);
  MM_COPY_ADDRESS address;
  address.VirtualAddress = source + 100;
  SIZE_T copied = 0;
  NT_EXPECT_SUCCESS(MmCopyMemory(target, address, 2 * PAGE_SIZE, MM_COPY_MEMORY_VIRTUAL, &copied));
  NT_EXPECT_EQ(copied, 2 * PAGE_SIZE);
  NT_EXPECT_TRUE(RtlCompareMemory(target, source + 100, 2 * PAGE_SIZE) == 2 * PAGE_SIZE);
  target[0] = 0;
  address.PhysicalAddress = MmGetPhysicalAddress(source + 200);
  NT_EXPECT_SUCCESS(MmCopyMemory(target, address, 16, MM_COPY_MEMORY_PHYSICAL, &copied));
  NT_EXPECT_EQ(target[0], source[200]);
  ExFreePoolWithTag(source, kTag);
  ExFreePoolWithTag(target, kTag);
}

NT_TEST(MmMemory, CopyOfNothingSaysSo) {
  UCHAR target[32];
  SIZE_T copied = 1;
  MM_COPY_ADDRESS address;
  address.VirtualAddress = reinterpret_cast<PVOID>(0xFFFFE00000000000);
  NT_EXPECT_EQ(MmCopyMemory(target, address, 32, MM_COPY_MEMORY_VIRTUAL, &copied), STATUS_INVALID_ADDRESS);
  NT_EXPECT_EQ(copied, 0);
  NT_EXPECT_EQ(MmCopyMemory(target, address, 32, 3, &copied), STATUS_INVALID_PARAMETER_4);
}

NT_TEST(MmMemory, RangesAscendAndHoldOurPages) {
  PPHYSICAL_MEMORY_RANGE ranges = MmGetPhysicalMemoryRanges();
  NT_ASSERT_TRUE(ranges != nullptr);
  int local = 0;
  const LONGLONG page = MmGetPhysicalAddress(&local).QuadPart;
  bool found = false;
  LONGLONG end = 0;
  for (PPHYSICAL_MEMORY_RANGE range = ranges; range->NumberOfBytes.QuadPart != 0; ++range) {
    NT_EXPECT_TRUE(range->BaseAddress.QuadPart >= end);
    end = range->BaseAddress.QuadPart + range->NumberOfBytes.QuadPart;
    found |= page >= range->BaseAddress.QuadPart && page < end;
  }
  NT_EXPECT_TRUE(found);
  ExFreePool(ranges);
}

NT_TEST(MmMemory, ProtectNeedsAMapping) {
  auto* block = static_cast<volatile UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(const_cast<UCHAR*>(block), PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
  NT_EXPECT_EQ(MmProtectMdlSystemAddress(mdl, PAGE_READONLY), STATUS_NOT_MAPPED_VIEW);
  auto* mapped = static_cast<volatile UCHAR*>(MmMapLockedPages(mdl, KernelMode));
  NT_EXPECT_EQ(MmProtectMdlSystemAddress(mdl, 0x12345), STATUS_INVALID_PAGE_PROTECTION);
  NT_EXPECT_SUCCESS(MmProtectMdlSystemAddress(mdl, PAGE_READONLY));
  block[5] = 9;
  NT_EXPECT_EQ(mapped[5], 9);
  NT_EXPECT_SUCCESS(MmProtectMdlSystemAddress(mdl, PAGE_READWRITE));
  mapped[5] = 10;
  NT_EXPECT_EQ(block[5], 10);
  MmUnlockPages(mdl);
  IoFreeMdl(mdl);
  ExFreePoolWithTag(const_cast<UCHAR*>(block), kTag);
}
