// Mapping, addresses and contiguous memory as a driver sees them. Oracle: the WDK pages; not yet run on a
// real NT.
#include "nt_test.h"

namespace {

constexpr ULONG kTag = 'tsTM';

PHYSICAL_ADDRESS Physical(ULONG64 value) {
  PHYSICAL_ADDRESS address;
  address.QuadPart = static_cast<LONGLONG>(value);
  return address;
}

}  // namespace

NT_TEST(MmMapping, IoSpaceShowsTheSamePageWithItsOffset) {
  auto* page = static_cast<volatile ULONG*>(ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(page != nullptr);
  page[3] = 0xFEEDF00D;
  const PHYSICAL_ADDRESS physical = MmGetPhysicalAddress(const_cast<ULONG*>(page));
  auto* mapped = static_cast<volatile ULONG*>(MmMapIoSpace(Physical(physical.QuadPart + 12), 8, MmCached));
  NT_EXPECT_TRUE(mapped != nullptr);
  if (mapped != nullptr) {
    NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(mapped) % PAGE_SIZE, 12);
    NT_EXPECT_EQ(*mapped, 0xFEEDF00D);
    *mapped = 1;
    NT_EXPECT_EQ(page[3], 1u);
    MmUnmapIoSpace(const_cast<ULONG*>(mapped), 8);
    NT_EXPECT_TRUE(!MmIsAddressValid(const_cast<ULONG*>(mapped)));
  }
  ExFreePoolWithTag(const_cast<ULONG*>(page), kTag);
}

NT_TEST(MmMapping, IoSpaceReachesADevice) {
  // The local APIC's version register: 0x10..0x1F in the low byte on every x64 processor.
  auto* apic = static_cast<volatile ULONG*>(MmMapIoSpace(Physical(0xFEE00000), PAGE_SIZE, MmNonCached));
  NT_ASSERT_TRUE(apic != nullptr);
  NT_EXPECT_EQ(apic[0x30 / 4] & 0xF0, 0x10u);
  MmUnmapIoSpace(const_cast<ULONG*>(apic), PAGE_SIZE);
}

NT_TEST(MmMapping, IoSpaceRefusesNonsense) {
  NT_EXPECT_TRUE(MmMapIoSpace(Physical(0xFEE00000), 0, MmNonCached) == nullptr);
  NT_EXPECT_TRUE(MmMapIoSpace(Physical(1ull << 60), PAGE_SIZE, MmNonCached) == nullptr);
}

NT_TEST(MmMapping, IoSpaceExTakesAProtection) {
  PVOID page = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, kTag);
  NT_ASSERT_TRUE(page != nullptr);
  *static_cast<volatile ULONG*>(page) = 77;
  auto* mapped =
      static_cast<volatile ULONG*>(MmMapIoSpaceEx(MmGetPhysicalAddress(page), PAGE_SIZE, PAGE_READONLY));
  NT_EXPECT_TRUE(mapped != nullptr);
  if (mapped != nullptr) {
    NT_EXPECT_EQ(*mapped, 77u);
    MmUnmapIoSpace(const_cast<ULONG*>(mapped), PAGE_SIZE);
  }
  ExFreePoolWithTag(page, kTag);
}

NT_TEST(MmMapping, IoSpaceCanBeMappedOftenWithoutRunningOut) {
  PVOID page = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, kTag);
  NT_ASSERT_TRUE(page != nullptr);
  for (int i = 0; i < 3000; ++i) {
    PVOID mapped = MmMapIoSpace(MmGetPhysicalAddress(page), PAGE_SIZE, MmCached);
    NT_ASSERT_TRUE(mapped != nullptr);
    MmUnmapIoSpace(mapped, PAGE_SIZE);
  }
  ExFreePoolWithTag(page, kTag);
}

NT_TEST(MmMapping, PhysicalAddressOfNeighboursInAPage) {
  auto* block = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, 100, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  const ULONG64 first = MmGetPhysicalAddress(block).QuadPart;
  NT_EXPECT_EQ(MmGetPhysicalAddress(block + 50).QuadPart, first + 50);
  NT_EXPECT_EQ(first % PAGE_SIZE, reinterpret_cast<ULONG_PTR>(block) % PAGE_SIZE);
  block[0] = 0x3C;
  auto* other = static_cast<UCHAR*>(MmGetVirtualForPhysical(MmGetPhysicalAddress(block)));
  NT_EXPECT_EQ(*other, 0x3C);
  ExFreePoolWithTag(block, kTag);
  NT_EXPECT_EQ(MmGetPhysicalAddress(nullptr).QuadPart, 0);
}

NT_TEST(MmMapping, AddressValidSaysWhatIsResident) {
  int local = 0;
  NT_EXPECT_TRUE(MmIsAddressValid(&local));
  NT_EXPECT_TRUE(!MmIsAddressValid(nullptr));
  NT_EXPECT_TRUE(!MmIsAddressValid(reinterpret_cast<PVOID>(0xFFFFE00000000000)));
  NT_EXPECT_TRUE(!MmIsAddressValid(reinterpret_cast<PVOID>(0x8000000000000000)));
  NT_EXPECT_TRUE(MmIsNonPagedSystemAddressValid(&local));
  NT_EXPECT_TRUE(!MmIsNonPagedSystemAddressValid(reinterpret_cast<PVOID>(0x1000)));
}

NT_TEST(MmMapping, ContiguousMemoryIs) {
  constexpr SIZE_T kBytes = 16 * PAGE_SIZE + 100;
  auto* memory = static_cast<UCHAR*>(MmAllocateContiguousMemory(kBytes, Physical(~0ull >> 1)));
  NT_ASSERT_TRUE(memory != nullptr);
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(memory) % PAGE_SIZE, 0);
  const ULONG64 first = MmGetPhysicalAddress(memory).QuadPart;
  for (SIZE_T at = 0; at < kBytes; at += PAGE_SIZE) {
    NT_EXPECT_EQ(MmGetPhysicalAddress(memory + at).QuadPart, first + at);
    memory[at] = static_cast<UCHAR>(at / PAGE_SIZE);
  }
  MmFreeContiguousMemory(memory);
}

NT_TEST(MmMapping, ContiguousMemoryKeepsToItsLimits) {
  constexpr ULONG64 kLow = 8 << 20, kHigh = (64 << 20) - 1, kBoundary = 64 * 1024;
  PVOID memory = MmAllocateContiguousMemorySpecifyCache(kBoundary / 2 + PAGE_SIZE, Physical(kLow),
                                                        Physical(kHigh), Physical(kBoundary), MmNonCached);
  NT_ASSERT_TRUE(memory != nullptr);
  const ULONG64 first = MmGetPhysicalAddress(memory).QuadPart;
  const ULONG64 last = first + kBoundary / 2 + PAGE_SIZE - 1;
  NT_EXPECT_TRUE(first >= kLow && last <= kHigh);
  NT_EXPECT_EQ(first / kBoundary, last / kBoundary);
  MmFreeContiguousMemorySpecifyCache(memory, kBoundary / 2 + PAGE_SIZE, MmNonCached);
  NT_EXPECT_TRUE(MmAllocateContiguousMemory(PAGE_SIZE, Physical(0)) == nullptr);
}

NT_TEST(MmMapping, NonCachedMemoryCanBeUsed) {
  auto* memory = static_cast<volatile ULONG*>(MmAllocateNonCachedMemory(3 * PAGE_SIZE));
  NT_ASSERT_TRUE(memory != nullptr);
  memory[2 * PAGE_SIZE / 4] = 5;
  NT_EXPECT_EQ(memory[2 * PAGE_SIZE / 4], 5u);
  MmFreeNonCachedMemory(const_cast<ULONG*>(memory), 3 * PAGE_SIZE);
}

NT_TEST(MmMapping, SystemSizeIsOneOfThree) {
  NT_EXPECT_TRUE(MmQuerySystemSize() <= MmLargeSystem);
  NT_EXPECT_TRUE(!MmIsThisAnNtAsSystem());
}

NT_TEST(MmMapping, ContiguousNodeMemoryIsContiguous) {
  PHYSICAL_ADDRESS low = {}, high, none = {};
  high.QuadPart = -1;
  auto* node = static_cast<UCHAR*>(
      MmAllocateContiguousNodeMemory(3 * PAGE_SIZE, low, high, none, PAGE_READWRITE, MM_ANY_NODE_OK));
  auto* cache = static_cast<UCHAR*>(MmAllocateContiguousMemorySpecifyCacheNode(3 * PAGE_SIZE, low, high, none,
                                                                               MmNonCached, MM_ANY_NODE_OK));
  NT_ASSERT_TRUE(node != nullptr && cache != nullptr);
  UCHAR* const both[] = {node, cache};
  for (UCHAR* base : both) {
    NT_EXPECT_EQ(MmGetPhysicalAddress(base + 2 * PAGE_SIZE).QuadPart - MmGetPhysicalAddress(base).QuadPart,
                 2 * PAGE_SIZE);
    *static_cast<volatile UCHAR*>(base) = 1;
  }
  NT_EXPECT_TRUE(MmAllocateContiguousNodeMemory(1, low, high, none, PAGE_READONLY, 0) == nullptr);
  MmFreeContiguousMemory(node);
  MmFreeContiguousMemorySpecifyCache(cache, 3 * PAGE_SIZE, MmNonCached);
}
