// Memory that leaves for the page file and comes back. Oracle: what was written before.
#include "nt_test.h"

namespace {

constexpr ULONG kTag = 'gapT';
constexpr ULONG kPages = 64;

void Fill(volatile ULONG64* words, ULONG pages, ULONG64 seed) {
  for (ULONG64 i = 0; i < pages * (PAGE_SIZE / 8); ++i) words[i] = seed + i * 0x9E3779B97F4A7C15ull;
}

ULONG64 Differences(volatile ULONG64* words, ULONG pages, ULONG64 seed) {
  ULONG64 wrong = 0;
  for (ULONG64 i = 0; i < pages * (PAGE_SIZE / 8); ++i) wrong += words[i] != seed + i * 0x9E3779B97F4A7C15ull;
  return wrong;
}

LONGLONG PageFileBytes() {
  UNICODE_STRING name;
  OBJECT_ATTRIBUTES attributes;
  RtlInitUnicodeString(&name, L"\\??\\C:\\pagefile.sys");
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  FILE_STANDARD_INFORMATION info = {};
  IO_STATUS_BLOCK io;
  HANDLE file = nullptr;
  NT_EXPECT_SUCCESS(ZwOpenFile(&file, FILE_READ_ATTRIBUTES | SYNCHRONIZE, &attributes, &io,
                               FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT));
  NT_EXPECT_SUCCESS(ZwQueryInformationFile(file, &io, &info, sizeof(info), FileStandardInformation));
  ZwClose(file);
  return info.EndOfFile.QuadPart;
}

__attribute__((section("PAGEDATA"))) volatile ULONG64 g_paged[2 * PAGE_SIZE / 8] = {1};

}  // namespace

NT_TEST(MmPaging, PagedOutPoolComesBackFromThePageFile) {
  auto* block = static_cast<volatile ULONG64*>(ExAllocatePoolWithTag(PagedPool, kPages * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  for (ULONG64 round = 0; round < 3; ++round) {
    Fill(block, kPages, round);
    MmTrimAllSystemPagableMemory(TRUE);
    NT_EXPECT_TRUE(!MmIsAddressValid(const_cast<ULONG64*>(block)));
    NT_EXPECT_EQ(Differences(block, kPages, round), 0u);
  }
  NT_EXPECT_TRUE(PageFileBytes() >= static_cast<LONGLONG>(kPages * PAGE_SIZE));
  MmTrimAllSystemPagableMemory(TRUE);
  ExFreePoolWithTag(const_cast<ULONG64*>(block), kTag);  // its slots go with it
}

NT_TEST(MmPaging, PagedOutImageDataComesBack) {
  Fill(g_paged, 2, 77);
  MmTrimAllSystemPagableMemory(TRUE);
  NT_EXPECT_TRUE(!MmIsAddressValid(const_cast<ULONG64*>(g_paged)));
  NT_EXPECT_EQ(Differences(g_paged, 2, 77), 0u);
}

NT_TEST(MmPaging, PagedOutUserMemoryAndSectionsComeBack) {
  PVOID base = nullptr;
  SIZE_T bytes = kPages * PAGE_SIZE;
  NT_ASSERT_SUCCESS(
      ZwAllocateVirtualMemory(ZwCurrentProcess(), &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE));
  LARGE_INTEGER size;
  size.QuadPart = kPages * PAGE_SIZE;
  HANDLE section = nullptr;
  NT_ASSERT_SUCCESS(
      ZwCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr));
  PVOID view = nullptr;
  bytes = 0;
  NT_ASSERT_SUCCESS(ZwMapViewOfSection(section, ZwCurrentProcess(), &view, 0, 0, nullptr, &bytes, ViewUnmap,
                                       0, PAGE_READWRITE));
  auto* memory = static_cast<volatile ULONG64*>(base);
  auto* shared = static_cast<volatile ULONG64*>(view);
  Fill(memory, kPages, 5);
  Fill(shared, kPages, 6);
  MmTrimAllSystemPagableMemory(TRUE);
  NT_EXPECT_TRUE(!MmIsAddressValid(base));
  NT_EXPECT_TRUE(!MmIsAddressValid(view));
  NT_EXPECT_EQ(Differences(memory, kPages, 5), 0u);
  NT_EXPECT_EQ(Differences(shared, kPages, 6), 0u);
  MmTrimAllSystemPagableMemory(TRUE);
  NT_EXPECT_SUCCESS(ZwUnmapViewOfSection(ZwCurrentProcess(), view));
  ZwClose(section);
  bytes = 0;
  NT_EXPECT_SUCCESS(ZwFreeVirtualMemory(ZwCurrentProcess(), &base, &bytes, MEM_RELEASE));
}

NT_TEST(MmPaging, PagedOutBufferIsReadAndWrittenByTheFileSystem) {
  auto* block = static_cast<volatile ULONG64*>(ExAllocatePoolWithTag(PagedPool, 8 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  UNICODE_STRING name;
  OBJECT_ATTRIBUTES attributes;
  RtlInitUnicodeString(&name, L"\\??\\C:\\paging_test.bin");
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  IO_STATUS_BLOCK io;
  HANDLE file;
  NT_ASSERT_SUCCESS(ZwCreateFile(&file, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes, &io, nullptr,
                                 FILE_ATTRIBUTE_NORMAL, 0, FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT,
                                 nullptr, 0));
  Fill(block, 8, 9);
  LARGE_INTEGER offset = {};
  MmTrimAllSystemPagableMemory(TRUE);
  NT_EXPECT_SUCCESS(ZwWriteFile(file, nullptr, nullptr, nullptr, &io, const_cast<ULONG64*>(block),
                                8 * PAGE_SIZE, &offset, nullptr));
  RtlZeroMemory(const_cast<ULONG64*>(block), 8 * PAGE_SIZE);
  MmTrimAllSystemPagableMemory(TRUE);
  NT_EXPECT_SUCCESS(ZwReadFile(file, nullptr, nullptr, nullptr, &io, const_cast<ULONG64*>(block),
                               8 * PAGE_SIZE, &offset, nullptr));
  NT_EXPECT_EQ(Differences(block, 8, 9), 0u);
  ZwClose(file);
  ExFreePoolWithTag(const_cast<ULONG64*>(block), kTag);
}

NT_TEST(MmPaging, LockedPagesStay) {
  auto* block = static_cast<volatile ULONG64*>(ExAllocatePoolWithTag(PagedPool, 4 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  Fill(block, 4, 1);
  PMDL mdl = IoAllocateMdl(const_cast<ULONG64*>(block), 4 * PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmProbeAndLockPages(mdl, KernelMode, IoModifyAccess);
  MmTrimAllSystemPagableMemory(TRUE);
  NT_EXPECT_TRUE(MmIsAddressValid(const_cast<ULONG64*>(block)));
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  block[0] = 123;
  KeLowerIrql(irql);
  MmUnlockPages(mdl);
  IoFreeMdl(mdl);
  MmTrimAllSystemPagableMemory(TRUE);
  NT_EXPECT_TRUE(!MmIsAddressValid(const_cast<ULONG64*>(block)));
  NT_EXPECT_EQ(block[0], 123u);
  ExFreePoolWithTag(const_cast<ULONG64*>(block), kTag);
}

namespace {
volatile int g_resident = 4;
}

NT_TEST(MmPaging, EntireDriverIsPageableUntilReset) {
  auto* address = const_cast<int*>(&g_resident);
  NT_EXPECT_TRUE(MmPageEntireDriver(address) != nullptr);
  MmTrimAllSystemPagableMemory(TRUE);
  NT_EXPECT_TRUE(!MmIsAddressValid(address));
  NT_EXPECT_EQ(g_resident, 4);
  MmTrimAllSystemPagableMemory(TRUE);
  MmResetDriverPaging(address);
  NT_EXPECT_TRUE(MmIsAddressValid(address));
  MmTrimAllSystemPagableMemory(TRUE);
  NT_EXPECT_TRUE(MmIsAddressValid(address));
  NT_EXPECT_TRUE(MmPageEntireDriver(MmSystemRangeStart) == nullptr);
}
