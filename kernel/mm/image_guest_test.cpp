// The loader's work as the loaded driver sees it: sections, pageable code and data, look-ups.
#include "nt_test.h"

namespace {

__attribute__((section("PAGE"), noinline)) int PageableSquare(int value) {
  __asm__ volatile("" : "+r"(value));
  return value * value;
}

__attribute__((section("PAGEDATA"))) volatile int g_pageable = 17;

int g_writable = 3;
const volatile int g_read_only = 4;

}  // namespace

NT_TEST(MmImage, SystemRoutineFindsExports) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"KeBugCheckEx");
  NT_EXPECT_TRUE(MmGetSystemRoutineAddress(&name) == reinterpret_cast<PVOID>(&KeBugCheckEx));
  RtlInitUnicodeString(&name, L"NoSuchRoutineAtAll");
  NT_EXPECT_TRUE(MmGetSystemRoutineAddress(&name) == nullptr);
  RtlInitUnicodeString(&name, L"");
  NT_EXPECT_TRUE(MmGetSystemRoutineAddress(&name) == nullptr);
}

NT_TEST(MmImage, SystemRoutineFindsData) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"PsInitialSystemProcess");
  NT_EXPECT_TRUE(MmGetSystemRoutineAddress(&name) == &PsInitialSystemProcess);
}

NT_TEST(MmImage, RelocatedDataIsReachable) {
  static int* const pointers[] = {&g_writable, const_cast<int*>(&g_read_only)};
  volatile int index = 0;
  NT_EXPECT_EQ(*pointers[index], 3);
  index = 1;
  NT_EXPECT_EQ(*pointers[index], 4);
  g_writable = 5;
  NT_EXPECT_EQ(*pointers[0], 5);
}

NT_TEST(MmPaging, TrimmedCodeAndDataComeBack) {
  g_pageable = 18;
  NT_EXPECT_EQ(PageableSquare(7), 49);
  NT_EXPECT_TRUE(MmIsAddressValid(const_cast<int*>(&g_pageable)));
  MmTrimAllSystemPagableMemory(0);
  NT_EXPECT_TRUE(!MmIsAddressValid(const_cast<int*>(&g_pageable)));
  NT_EXPECT_TRUE(!MmIsAddressValid(reinterpret_cast<PVOID>(&PageableSquare)));
  NT_EXPECT_EQ(g_pageable, 18);
  NT_EXPECT_EQ(PageableSquare(9), 81);
  NT_EXPECT_TRUE(MmIsAddressValid(const_cast<int*>(&g_pageable)));
}

NT_TEST(MmPaging, LockSectionKeepsItResident) {
  PVOID code = MmLockPagableDataSection(reinterpret_cast<PVOID>(&PageableSquare));
  PVOID data = MmLockPagableDataSection(const_cast<int*>(&g_pageable));
  NT_ASSERT_TRUE(code != nullptr && data != nullptr);
  MmLockPagableSectionByHandle(data);
  MmTrimAllSystemPagableMemory(0);
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  g_pageable = 21;
  const int square = PageableSquare(5);
  KeLowerIrql(irql);
  NT_EXPECT_EQ(square, 25);
  MmUnlockPagableImageSection(data);
  MmTrimAllSystemPagableMemory(0);
  NT_EXPECT_TRUE(MmIsAddressValid(const_cast<int*>(&g_pageable)));
  MmUnlockPagableImageSection(data);
  MmUnlockPagableImageSection(code);
  MmTrimAllSystemPagableMemory(0);
  NT_EXPECT_TRUE(!MmIsAddressValid(const_cast<int*>(&g_pageable)));
  NT_EXPECT_EQ(g_pageable, 21);
}

NT_TEST(MmPaging, PagedPoolKeepsItsContentsWhenTrimmed) {
  constexpr ULONG kTag = 'gapM';
  constexpr ULONG kPages = 20;
  auto* block = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, kPages * PAGE_SIZE, kTag));
  auto* small = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, 200, kTag));
  NT_ASSERT_TRUE(block != nullptr && small != nullptr);
  NT_EXPECT_TRUE(!MmIsAddressValid(block));
  for (ULONG i = 0; i < kPages; ++i) block[i * PAGE_SIZE + i] = static_cast<UCHAR>(i + 1);
  small[100] = 0x77;
  MmTrimAllSystemPagableMemory(0);
  NT_EXPECT_TRUE(!MmIsAddressValid(block));
  for (ULONG i = 0; i < kPages; ++i) NT_EXPECT_EQ(block[i * PAGE_SIZE + i], i + 1);
  NT_EXPECT_EQ(small[100], 0x77);
  MmTrimAllSystemPagableMemory(0);
  ExFreePoolWithTag(small, kTag);  // its header is not resident
  ExFreePoolWithTag(block, kTag);
}
