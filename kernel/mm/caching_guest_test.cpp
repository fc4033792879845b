// How mappings are cached, as the page tables say it: read through physical memory, as on Windows.
#include "nt_test.h"

namespace {

constexpr ULONG64 kFrame = 0x000F'FFFF'FFFF'F000;
constexpr ULONG kMemoryTypes = 0x277;  // the PAT
enum : ULONG { kUncached = 0, kWriteCombining = 1, kWriteBack = 6 };

ULONG64 ReadPhysical(ULONG64 address) {
  MM_COPY_ADDRESS source = {};
  source.PhysicalAddress.QuadPart = static_cast<LONGLONG>(address);
  ULONG64 value = 0;
  SIZE_T done = 0;
  NT_EXPECT_SUCCESS(MmCopyMemory(&value, source, sizeof(value), MM_COPY_MEMORY_PHYSICAL, &done));
  return value;
}

// The memory type of a mapped address, of 4 KiB pages.
ULONG TypeOf(PVOID address) {
  ULONG64 table;
  __asm__ volatile("mov %%cr3, %0" : "=r"(table));
  const auto va = reinterpret_cast<ULONG64>(address);
  ULONG64 entry = table;
  for (int shift = 39; shift >= 12; shift -= 9)
    entry = ReadPhysical((entry & kFrame) + (va >> shift & 511) * 8);
  const ULONG index = static_cast<ULONG>(entry >> 3 & 3) | static_cast<ULONG>(entry >> 7 & 1) << 2;
  ULONG low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(kMemoryTypes));
  const ULONG64 types = static_cast<ULONG64>(high) << 32 | low;
  return static_cast<ULONG>(types >> (8 * index) & 7);
}

PHYSICAL_ADDRESS Physical(ULONG64 value) {
  PHYSICAL_ADDRESS address;
  address.QuadPart = static_cast<LONGLONG>(value);
  return address;
}

ULONG TypeOfMapping(PMDL mdl, MEMORY_CACHING_TYPE type) {
  PVOID mapped = MmMapLockedPagesSpecifyCache(mdl, KernelMode, type, nullptr, FALSE, NormalPagePriority);
  NT_EXPECT_TRUE(mapped != nullptr);
  if (mapped == nullptr) return ~0u;
  const ULONG result = TypeOf(mapped);
  MmUnmapLockedPages(mapped, mdl);
  return result;
}

}  // namespace

NT_TEST(MmMapping, ContiguousMemoryIsCachedAsAskedFor) {
  const struct {
    MEMORY_CACHING_TYPE asked;
    ULONG expected;
  } kCases[] = {{MmCached, kWriteBack}, {MmNonCached, kUncached}, {MmWriteCombined, kWriteCombining}};
  for (const auto& the : kCases) {
    PVOID memory = MmAllocateContiguousMemorySpecifyCache(PAGE_SIZE, Physical(0), Physical(~0ull >> 1),
                                                          Physical(0), the.asked);
    NT_ASSERT_TRUE(memory != nullptr);
    NT_EXPECT_EQ(TypeOf(memory), the.expected);
    MmFreeContiguousMemorySpecifyCache(memory, PAGE_SIZE, the.asked);
  }
}

NT_TEST(MmMdl, MappingKeepsThePagesCaching) {
  PMDL mdl =
      MmAllocatePagesForMdlEx(Physical(0), Physical(~0ull >> 1), Physical(0), PAGE_SIZE, MmWriteCombined, 0);
  NT_ASSERT_TRUE(mdl != nullptr);
  NT_EXPECT_EQ(TypeOfMapping(mdl, MmWriteCombined), kWriteCombining);
  NT_EXPECT_EQ(TypeOfMapping(mdl, MmCached), kWriteCombining);
  MmFreePagesFromMdl(mdl);
  ExFreePool(mdl);
  // Nobody has said yet: the first mapping decides.
  mdl = MmAllocatePagesForMdl(Physical(0), Physical(~0ull >> 1), Physical(0), PAGE_SIZE);
  NT_ASSERT_TRUE(mdl != nullptr);
  NT_EXPECT_EQ(TypeOfMapping(mdl, MmNonCached), kUncached);
  NT_EXPECT_EQ(TypeOfMapping(mdl, MmCached), kUncached);
  MmFreePagesFromMdl(mdl);
  ExFreePool(mdl);
}

NT_TEST(MmMdl, MapsPoolCachedWhateverIsAskedFor) {
  PVOID block = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, 'ehcC');
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(block, PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmProbeAndLockPages(mdl, KernelMode, IoModifyAccess);
  NT_EXPECT_EQ(TypeOfMapping(mdl, MmNonCached), kWriteBack);
  MmUnlockPages(mdl);
  IoFreeMdl(mdl);
  ExFreePoolWithTag(block, 'ehcC');
}

NT_TEST(MmMdl, AllocatePagesGoesOnSkipBytesFurther) {
  // One page a range: five ranges, 64 KiB apart.
  constexpr ULONG64 kBase = 16 << 20, kSkip = 64 << 10;
  PMDL mdl = MmAllocatePagesForMdlEx(Physical(kBase), Physical(kBase + PAGE_SIZE - 1), Physical(kSkip),
                                     5 * PAGE_SIZE, MmCached, MM_ALLOCATE_FULLY_REQUIRED);
  NT_ASSERT_TRUE(mdl != nullptr);
  for (int i = 0; i < 5; ++i) {
    NT_EXPECT_EQ((MmGetMdlPfnArray(mdl)[i] * PAGE_SIZE - kBase) % kSkip, 0u);
    if (i != 0) NT_EXPECT_TRUE(MmGetMdlPfnArray(mdl)[i] > MmGetMdlPfnArray(mdl)[i - 1]);
  }
  MmFreePagesFromMdl(mdl);
  ExFreePool(mdl);
  constexpr ULONG kContiguousChunks = 0x20;
  mdl = MmAllocatePagesForMdlEx(Physical(0), Physical(~0ull >> 1), Physical(4 * PAGE_SIZE), 8 * PAGE_SIZE,
                                MmCached, MM_ALLOCATE_FULLY_REQUIRED | kContiguousChunks);
  NT_ASSERT_TRUE(mdl != nullptr);
  for (int i = 0; i < 8; ++i) {
    const PFN_NUMBER first = MmGetMdlPfnArray(mdl)[i / 4 * 4];
    NT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[i], first + static_cast<ULONG>(i % 4));
    NT_EXPECT_EQ(first % 4, 0u);
  }
  MmFreePagesFromMdl(mdl);
  ExFreePool(mdl);
}

extern "C" NTKERNELAPI SIZE_T NTAPI ExQueryPoolBlockSize(PVOID, PBOOLEAN);

NT_TEST(MmMdl, QuotaIsChargedWhenAskedFor) {
  UCHAR buffer[16];
  constexpr BOOLEAN kBoth[] = {FALSE, TRUE};
  for (const BOOLEAN charge : kBoth) {
    PMDL mdl = IoAllocateMdl(buffer, sizeof(buffer), FALSE, charge, nullptr);
    NT_ASSERT_TRUE(mdl != nullptr);
    BOOLEAN charged = !charge;
    ExQueryPoolBlockSize(mdl, &charged);
    NT_EXPECT_EQ(charged, charge);
    IoFreeMdl(mdl);
  }
}
