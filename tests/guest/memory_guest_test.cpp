// Pool, MDLs and the registry as a driver sees them. Oracle: the WDK pages of the routines; not yet run on a
// real NT.
#include "nt_test.h"

namespace {

constexpr ULONG kTag = 'tseT';

bool Fill(void* memory, SIZE_T size, UCHAR value) {
  auto* bytes = static_cast<volatile UCHAR*>(memory);
  for (SIZE_T i = 0; i < size; ++i) bytes[i] = value;
  for (SIZE_T i = 0; i < size; ++i)
    if (bytes[i] != value) return false;
  return true;
}

}  // namespace

NT_TEST(KernelMm, BlocksDoNotOverlap) {
  constexpr int kBlocks = 64;
  PVOID blocks[kBlocks];
  const POOL_TYPE types[] = {NonPagedPoolNx, PagedPool};
  for (const POOL_TYPE type : types) {
    for (int i = 0; i < kBlocks; ++i) {
      blocks[i] = ExAllocatePoolWithTag(type, 16 + 97 * static_cast<SIZE_T>(i), kTag);
      NT_ASSERT_TRUE(blocks[i] != nullptr);
      NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(blocks[i]) % 16, 0);
      NT_EXPECT_TRUE(Fill(blocks[i], 16 + 97 * static_cast<SIZE_T>(i), static_cast<UCHAR>(i)));
    }
    for (int i = 0; i < kBlocks; ++i) {
      const auto* bytes = static_cast<UCHAR*>(blocks[i]);
      NT_EXPECT_TRUE(bytes[0] == i && bytes[15 + 97 * i] == i);
      ExFreePoolWithTag(blocks[i], kTag);
    }
  }
}

NT_TEST(KernelMm, LargeBlocksArePageAligned) {
  PVOID block = ExAllocatePoolWithTag(NonPagedPoolNx, 3 * PAGE_SIZE, kTag);
  NT_ASSERT_TRUE(block != nullptr);
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(block) % PAGE_SIZE, 0);
  NT_EXPECT_TRUE(Fill(block, 3 * PAGE_SIZE, 0xA5));
  ExFreePoolWithTag(block, kTag);
}

NT_TEST(KernelMm, Pool2ZeroesUnlessTold) {
  for (int i = 0; i < 20; ++i) {
    auto* block = static_cast<UCHAR*>(ExAllocatePool2(POOL_FLAG_NON_PAGED, 200, kTag));
    NT_ASSERT_TRUE(block != nullptr);
    bool zero = true;
    for (int at = 0; at < 200; ++at) zero &= block[at] == 0;
    NT_EXPECT_TRUE(zero);
    Fill(block, 200, 0xFF);
    ExFreePool(block);
  }
}

NT_TEST(KernelMm, TooMuchIsRefused) {
  NT_EXPECT_TRUE(ExAllocatePoolWithTag(NonPagedPoolNx, static_cast<SIZE_T>(1) << 45, kTag) == nullptr);
}

NT_TEST(KernelMm, AddressesAreValidWhereMemoryIs) {
  int local = 0;
  NT_EXPECT_TRUE(MmIsAddressValid(&local));
  NT_EXPECT_TRUE(!MmIsAddressValid(reinterpret_cast<PVOID>(0x10)));
  NT_EXPECT_TRUE(MmGetPhysicalAddress(&local).QuadPart != 0);
}

NT_TEST(KernelMm, AnMdlMapsTheSameMemory) {
  auto* block = static_cast<volatile ULONG*>(ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(const_cast<ULONG*>(block), PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmBuildMdlForNonPagedPool(mdl);
  auto* mapped = static_cast<volatile ULONG*>(
      MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, nullptr, FALSE, NormalPagePriority));
  NT_EXPECT_TRUE(mapped != nullptr);
  if (mapped != nullptr) {
    *block = 0x12345678;
    NT_EXPECT_EQ(*mapped, 0x12345678u);
    MmUnmapLockedPages(const_cast<ULONG*>(mapped), mdl);
  }
  IoFreeMdl(mdl);
  ExFreePoolWithTag(const_cast<ULONG*>(block), kTag);
}

NT_TEST(KernelCm, ValuesAreKept) {
  UNICODE_STRING path, value;
  OBJECT_ATTRIBUTES attributes;
  HANDLE key;
  ULONG disposition = 0, number = 42, length = 0;
  RtlInitUnicodeString(&path, L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\BugcheckKeyTest");
  RtlInitUnicodeString(&value, L"Number");
  InitializeObjectAttributes(&attributes, &path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  NT_ASSERT_SUCCESS(
      ZwCreateKey(&key, KEY_ALL_ACCESS, &attributes, 0, nullptr, REG_OPTION_VOLATILE, &disposition));
  NT_EXPECT_EQ(disposition, REG_CREATED_NEW_KEY);
  NT_EXPECT_SUCCESS(ZwSetValueKey(key, &value, 0, REG_DWORD, &number, sizeof(number)));
  struct {
    KEY_VALUE_PARTIAL_INFORMATION header;
    UCHAR rest[16];
  } found = {};
  NT_EXPECT_SUCCESS(ZwQueryValueKey(key, &value, KeyValuePartialInformation, &found, sizeof(found), &length));
  NT_EXPECT_EQ(found.header.Type, REG_DWORD);
  NT_EXPECT_EQ(found.header.DataLength, sizeof(number));
  NT_EXPECT_EQ(*reinterpret_cast<UNALIGNED ULONG*>(found.header.Data), 42u);
  UNICODE_STRING absent;
  RtlInitUnicodeString(&absent, L"Absent");
  NT_EXPECT_EQ(ZwQueryValueKey(key, &absent, KeyValuePartialInformation, &found, sizeof(found), &length),
               STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_SUCCESS(ZwDeleteKey(key));
  ZwClose(key);
  NT_EXPECT_EQ(ZwOpenKey(&key, KEY_READ, &attributes), STATUS_OBJECT_NAME_NOT_FOUND);
}
