// Virtual memory of processes as a driver uses it. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"

namespace {

PVOID Allocate(SIZE_T bytes, ULONG type = MEM_RESERVE | MEM_COMMIT, ULONG protect = PAGE_READWRITE) {
  PVOID base = nullptr;
  const NTSTATUS status = ZwAllocateVirtualMemory(ZwCurrentProcess(), &base, 0, &bytes, type, protect);
  return NT_SUCCESS(status) ? base : nullptr;
}

NTSTATUS Free(PVOID base, SIZE_T bytes = 0, ULONG type = MEM_RELEASE) {
  return ZwFreeVirtualMemory(ZwCurrentProcess(), &base, &bytes, type);
}

MEMORY_BASIC_INFORMATION Query(PVOID address) {
  MEMORY_BASIC_INFORMATION info = {};
  SIZE_T returned = 0;
  NT_EXPECT_SUCCESS(ZwQueryVirtualMemory(ZwCurrentProcess(), address, 0, &info, sizeof(info), &returned));
  NT_EXPECT_EQ(returned, sizeof(info));
  return info;
}

}  // namespace

NTSTATUS Protect(PVOID base, SIZE_T bytes, ULONG protect, PULONG old) {
  return ZwProtectVirtualMemory(ZwCurrentProcess(), &base, &bytes, protect, old);
}

NT_TEST(MmVirtual, CommittedMemoryIsZeroAndKeepsWhatIsWritten) {
  constexpr SIZE_T kBytes = 40 * PAGE_SIZE;
  auto* base = static_cast<volatile UCHAR*>(Allocate(kBytes));
  NT_ASSERT_TRUE(base != nullptr);
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(base) % 0x10000, 0u);
  NT_EXPECT_TRUE(base < MmHighestUserAddress);
  for (ULONG i = 0; i < kBytes; i += 512) NT_EXPECT_EQ(base[i], 0);
  for (ULONG i = 0; i < kBytes; i += PAGE_SIZE) base[i] = static_cast<UCHAR>(i / PAGE_SIZE + 1);
  for (ULONG i = 0; i < kBytes; i += PAGE_SIZE) NT_EXPECT_EQ(base[i], i / PAGE_SIZE + 1);
  NT_EXPECT_SUCCESS(Free(const_cast<UCHAR*>(base)));
  NT_EXPECT_EQ(Free(const_cast<UCHAR*>(base)), STATUS_MEMORY_NOT_ALLOCATED);
}

NT_TEST(MmVirtual, ReservedMemoryIsCommittedPieceByPiece) {
  auto* base = static_cast<UCHAR*>(Allocate(0x40000, MEM_RESERVE, PAGE_NOACCESS));
  NT_ASSERT_TRUE(base != nullptr);
  MEMORY_BASIC_INFORMATION info = Query(base);
  NT_EXPECT_EQ(info.State, static_cast<ULONG>(MEM_RESERVE));
  NT_EXPECT_EQ(info.RegionSize, 0x40000u);
  PVOID middle = base + 0x10123;
  SIZE_T bytes = 1;
  NT_EXPECT_SUCCESS(
      ZwAllocateVirtualMemory(ZwCurrentProcess(), &middle, 0, &bytes, MEM_COMMIT, PAGE_READWRITE));
  NT_EXPECT_TRUE(middle == base + 0x10000);
  NT_EXPECT_EQ(bytes, static_cast<SIZE_T>(PAGE_SIZE));
  *static_cast<volatile int*>(middle) = 5;
  NT_EXPECT_EQ(Query(middle).State, static_cast<ULONG>(MEM_COMMIT));
  NT_EXPECT_EQ(Query(base).RegionSize, 0x10000u);
  NT_EXPECT_SUCCESS(Free(middle, PAGE_SIZE, MEM_DECOMMIT));
  NT_EXPECT_EQ(Query(middle).State, static_cast<ULONG>(MEM_RESERVE));
  NT_EXPECT_SUCCESS(Free(base));
  NT_EXPECT_EQ(Query(base).State, static_cast<ULONG>(MEM_FREE));
}

NT_TEST(MmVirtual, WrongRequestsAreRefused) {
  auto* base = static_cast<UCHAR*>(Allocate(0x30000));
  NT_ASSERT_TRUE(base != nullptr);
  PVOID at = base + 0x10000;
  SIZE_T bytes = 0x1000;
  NT_EXPECT_EQ(ZwAllocateVirtualMemory(ZwCurrentProcess(), &at, 0, &bytes, MEM_RESERVE, PAGE_READWRITE),
               STATUS_CONFLICTING_ADDRESSES);
  at = nullptr;
  NT_EXPECT_EQ(ZwAllocateVirtualMemory(ZwCurrentProcess(), &at, 0, &bytes, MEM_COMMIT, PAGE_WRITECOPY),
               STATUS_INVALID_PAGE_PROTECTION);
  NT_EXPECT_EQ(ZwAllocateVirtualMemory(ZwCurrentProcess(), &at, 0, &bytes, MEM_COMMIT, 3),
               STATUS_INVALID_PAGE_PROTECTION);
  NT_EXPECT_EQ(ZwAllocateVirtualMemory(ZwCurrentProcess(), &at, 0, &bytes, 0, PAGE_READWRITE),
               STATUS_INVALID_PARAMETER_5);
  NT_EXPECT_EQ(Free(base + 0x1000), STATUS_FREE_VM_NOT_AT_BASE);
  NT_EXPECT_EQ(Free(base + 0x1000, 0x30000), STATUS_UNABLE_TO_FREE_VM);
  NT_EXPECT_EQ(Free(base, 0, 0x1234), STATUS_INVALID_PARAMETER_4);
  NT_EXPECT_SUCCESS(Free(base));
}

NT_TEST(MmVirtual, ReleaseOfAPartLeavesTheRest) {
  auto* base = static_cast<volatile UCHAR*>(Allocate(0x30000));
  NT_ASSERT_TRUE(base != nullptr);
  base[0] = 1;
  base[0x20000] = 3;
  NT_EXPECT_SUCCESS(Free(const_cast<UCHAR*>(base) + 0x10000, 0x10000));
  NT_EXPECT_EQ(Query(const_cast<UCHAR*>(base) + 0x10000).State, static_cast<ULONG>(MEM_FREE));
  NT_EXPECT_EQ(base[0], 1);
  NT_EXPECT_EQ(base[0x20000], 3);
  NT_EXPECT_SUCCESS(Free(const_cast<UCHAR*>(base), 0x10000));
  NT_EXPECT_SUCCESS(Free(const_cast<UCHAR*>(base) + 0x20000, 0x10000));
}

NT_TEST(MmVirtual, ProtectTellsTheOldProtection) {
  auto* base = static_cast<UCHAR*>(Allocate(4 * PAGE_SIZE));
  NT_ASSERT_TRUE(base != nullptr);
  base[0] = 9;
  ULONG old = 0;
  NT_EXPECT_SUCCESS(Protect(base, 2 * PAGE_SIZE, PAGE_READONLY, &old));
  NT_EXPECT_EQ(old, static_cast<ULONG>(PAGE_READWRITE));
  MEMORY_BASIC_INFORMATION info = Query(base);
  NT_EXPECT_EQ(info.Protect, static_cast<ULONG>(PAGE_READONLY));
  NT_EXPECT_EQ(info.RegionSize, static_cast<SIZE_T>(2 * PAGE_SIZE));
  NT_EXPECT_EQ(info.AllocationProtect, static_cast<ULONG>(PAGE_READWRITE));
  NT_EXPECT_EQ(info.Type, static_cast<ULONG>(MEM_PRIVATE));
  NT_EXPECT_EQ(static_cast<volatile UCHAR*>(base)[0], 9);
  NT_EXPECT_SUCCESS(Protect(base, PAGE_SIZE, PAGE_NOACCESS, &old));
  NT_EXPECT_EQ(Query(base).Protect, static_cast<ULONG>(PAGE_NOACCESS));
  NT_EXPECT_SUCCESS(Protect(base, PAGE_SIZE, PAGE_READWRITE, &old));
  NT_EXPECT_EQ(old, static_cast<ULONG>(PAGE_NOACCESS));
  NT_EXPECT_EQ(static_cast<volatile UCHAR*>(base)[0], 9);
  NT_EXPECT_EQ(Protect(base, PAGE_SIZE, PAGE_WRITECOPY, &old), STATUS_INVALID_PAGE_PROTECTION);
  NT_EXPECT_SUCCESS(Free(base, PAGE_SIZE, MEM_DECOMMIT));
  NT_EXPECT_EQ(Protect(base, PAGE_SIZE, PAGE_READONLY, &old), STATUS_NOT_COMMITTED);
  NT_EXPECT_SUCCESS(Free(base));
}

NT_TEST(MmVirtual, QueryDescribesFreeAndRefusesSystemAddresses) {
  MEMORY_BASIC_INFORMATION info = Query(reinterpret_cast<PVOID>(ULONG_PTR{0x10000}));
  NT_EXPECT_TRUE(info.RegionSize != 0);
  SIZE_T returned;
  NT_EXPECT_EQ(
      ZwQueryVirtualMemory(ZwCurrentProcess(), MmSystemRangeStart, 0, &info, sizeof(info), &returned),
      STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(ZwQueryVirtualMemory(ZwCurrentProcess(), nullptr, 77, &info, sizeof(info), &returned),
               STATUS_INVALID_INFO_CLASS);
  NT_EXPECT_EQ(ZwQueryVirtualMemory(ZwCurrentProcess(), nullptr, 0, &info, 8, &returned),
               STATUS_INFO_LENGTH_MISMATCH);
}

NT_TEST(MmVirtual, NtEntriesDoTheSame) {
  PVOID base = nullptr;
  SIZE_T bytes = 1;
  NT_ASSERT_SUCCESS(
      NtAllocateVirtualMemory(ZwCurrentProcess(), &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE));
  MEMORY_BASIC_INFORMATION info;
  NT_EXPECT_SUCCESS(NtQueryVirtualMemory(ZwCurrentProcess(), base, 0, &info, sizeof(info), nullptr));
  NT_EXPECT_EQ(info.State, static_cast<ULONG>(MEM_COMMIT));
  bytes = 0;
  NT_EXPECT_SUCCESS(NtFreeVirtualMemory(ZwCurrentProcess(), &base, &bytes, MEM_RELEASE));
}

NT_TEST(MmUser, SecureKeepsTheProtection) {
  auto* base = static_cast<UCHAR*>(Allocate(4 * PAGE_SIZE));
  NT_ASSERT_TRUE(base != nullptr);
  HANDLE secure = MmSecureVirtualMemory(base + 10, PAGE_SIZE, PAGE_READWRITE);
  NT_ASSERT_TRUE(secure != nullptr);
  ULONG old;
  NT_EXPECT_EQ(Protect(base, PAGE_SIZE, PAGE_NOACCESS, &old), STATUS_INVALID_PAGE_PROTECTION);
  NT_EXPECT_EQ(Protect(base, PAGE_SIZE, PAGE_READONLY, &old), STATUS_INVALID_PAGE_PROTECTION);
  NT_EXPECT_SUCCESS(Protect(base, PAGE_SIZE, PAGE_EXECUTE_READWRITE, &old));  // allows all that was asked for
  NT_EXPECT_EQ(Free(base), STATUS_INVALID_PAGE_PROTECTION);
  NT_EXPECT_SUCCESS(Protect(base + 2 * PAGE_SIZE, PAGE_SIZE, PAGE_READONLY, &old));
  NT_EXPECT_TRUE(MmSecureVirtualMemory(base, 3 * PAGE_SIZE, PAGE_READWRITE) == nullptr);
  MmUnsecureVirtualMemory(secure);
  NT_EXPECT_SUCCESS(Free(base));
  NT_EXPECT_TRUE(MmSecureVirtualMemory(base, 1, PAGE_READONLY) == nullptr);
}

NT_TEST(MmUser, ProbeAcceptsWhatIsThere) {
  auto* base = static_cast<volatile UCHAR*>(Allocate(3 * PAGE_SIZE));
  NT_ASSERT_TRUE(base != nullptr);
  base[PAGE_SIZE] = 42;
  ProbeForRead(const_cast<UCHAR*>(base), 3 * PAGE_SIZE, 8);
  ProbeForWrite(const_cast<UCHAR*>(base), 3 * PAGE_SIZE, 8);
  NT_EXPECT_EQ(base[PAGE_SIZE], 42);
  ProbeForRead(MmSystemRangeStart, 0, 8);  // nothing to look at
  NT_EXPECT_SUCCESS(Free(const_cast<UCHAR*>(base)));
}

NT_TEST(MmVirtual, ZeroBitsKeepTheAddressLow) {
  const struct {
    ULONG_PTR zero_bits;
    ULONG_PTR below;
  } kCases[] = {{1, 1ull << 31}, {12, 1ull << 20}, {0x7FFFFF, 1ull << 23}, {0xFFFFFFFFFF, 1ull << 40}};
  for (const auto& the : kCases) {
    PVOID base = nullptr;
    SIZE_T bytes = PAGE_SIZE;
    NT_ASSERT_SUCCESS(ZwAllocateVirtualMemory(ZwCurrentProcess(), &base, the.zero_bits, &bytes,
                                              MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE));
    NT_EXPECT_TRUE(reinterpret_cast<ULONG_PTR>(base) + bytes <= the.below);
    NT_EXPECT_SUCCESS(Free(base));
  }
  PVOID base = nullptr;
  SIZE_T bytes = PAGE_SIZE;
  NT_EXPECT_EQ(ZwAllocateVirtualMemory(ZwCurrentProcess(), &base, 25, &bytes, MEM_RESERVE, PAGE_READWRITE),
               STATUS_INVALID_PARAMETER_3);
}

NT_TEST(MmVirtual, MoreThanThereIsIsNotCommitted) {
  SIZE_T bytes = 1ull << 40;  // a tebibyte
  PVOID base = nullptr;
  NT_EXPECT_EQ(
      ZwAllocateVirtualMemory(ZwCurrentProcess(), &base, 0, &bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE),
      STATUS_COMMITMENT_LIMIT);
  // Addresses alone cost nothing.
  auto* reserved = static_cast<UCHAR*>(Allocate(1ull << 40, MEM_RESERVE, PAGE_NOACCESS));
  NT_ASSERT_TRUE(reserved != nullptr);
  base = reserved;
  NT_EXPECT_EQ(ZwAllocateVirtualMemory(ZwCurrentProcess(), &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE),
               STATUS_COMMITMENT_LIMIT);
  NT_EXPECT_EQ(Query(reserved).State, static_cast<ULONG>(MEM_RESERVE));
  NT_EXPECT_SUCCESS(Free(reserved));
}

NT_TEST(MmVirtual, LargePagesAreContiguousAndThereAtOnce) {
  constexpr SIZE_T kLarge = 0x200000;
  constexpr ULONG kType = MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES;
  auto* base = static_cast<UCHAR*>(Allocate(kLarge, kType));
  NT_ASSERT_TRUE(base != nullptr);
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(base) % kLarge, 0u);
  const ULONG64 first = static_cast<ULONG64>(MmGetPhysicalAddress(base).QuadPart);
  NT_EXPECT_EQ(first % kLarge, 0u);
  for (SIZE_T offset = 0; offset < kLarge; offset += PAGE_SIZE) {
    // Not touched before: MmGetPhysicalAddress answers 0 for what is not valid.
    NT_EXPECT_EQ(static_cast<ULONG64>(MmGetPhysicalAddress(base + offset).QuadPart), first + offset);
    NT_EXPECT_EQ(base[offset], 0);
    base[offset] = 1;
  }
  NT_EXPECT_EQ(Query(base).RegionSize, kLarge);
  NT_EXPECT_SUCCESS(Free(base));
  NT_EXPECT_EQ(Query(base).State, static_cast<ULONG>(MEM_FREE));
  NT_EXPECT_TRUE(Allocate(kLarge / 2, kType) == nullptr);
  NT_EXPECT_TRUE(Allocate(kLarge, MEM_RESERVE | MEM_LARGE_PAGES) == nullptr);
}

NT_TEST(MmVirtual, AnAddressWindowHoldsNoMemoryOfItsOwn) {
  constexpr ULONG kPhysical = 0x00400000;
  auto* base = static_cast<UCHAR*>(Allocate(0x20000, MEM_RESERVE | kPhysical));
  NT_ASSERT_TRUE(base != nullptr);
  NT_EXPECT_EQ(Query(base).State, static_cast<ULONG>(MEM_RESERVE));
  NT_EXPECT_EQ(Query(base).Type, static_cast<ULONG>(MEM_PRIVATE));
  PVOID at = base;
  SIZE_T bytes = PAGE_SIZE;
  NT_EXPECT_EQ(ZwAllocateVirtualMemory(ZwCurrentProcess(), &at, 0, &bytes, MEM_COMMIT, PAGE_READWRITE),
               STATUS_CONFLICTING_ADDRESSES);
  NT_EXPECT_EQ(Free(base, PAGE_SIZE, MEM_DECOMMIT), STATUS_MEMORY_NOT_ALLOCATED);
  NT_EXPECT_SUCCESS(Free(base));
  NT_EXPECT_TRUE(Allocate(0x20000, MEM_RESERVE | MEM_COMMIT | kPhysical) == nullptr);
  NT_EXPECT_TRUE(Allocate(0x20000, MEM_RESERVE | kPhysical, PAGE_READONLY) == nullptr);
}
