// SEC_IMAGE: this driver's own file as a program's image would be mapped. Oracle: the WDK page of
// ZwCreateSection, and what every loader relies on; not yet run on a real NT.
#include "nt_test.h"

#ifndef SEC_IMAGE
#define SEC_IMAGE 0x01000000
#endif

namespace {

// What the tests look for in the mapped file: a datum, and a pointer that the linker lets the loader
// relocate.
volatile ULONG64 datum = 0x1234567890ABCDEF;
volatile ULONG64* volatile pointer = &datum;

// KLDR_DATA_TABLE_ENTRY.
PUCHAR OwnBase() {
  return *reinterpret_cast<PUCHAR*>(static_cast<PUCHAR>(nt_test::driver->DriverSection) + 0x30);
}
PUNICODE_STRING OwnPath() {
  return reinterpret_cast<PUNICODE_STRING>(static_cast<PUCHAR>(nt_test::driver->DriverSection) + 0x48);
}
ULONG_PTR OffsetOf(volatile void* place) {
  return reinterpret_cast<ULONG_PTR>(place) - reinterpret_cast<ULONG_PTR>(OwnBase());
}

HANDLE OpenOwnFile() {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, OwnPath(), OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr,
                             nullptr);
  IO_STATUS_BLOCK io;
  HANDLE file = nullptr;
  NT_EXPECT_SUCCESS(ZwCreateFile(&file, FILE_READ_DATA | FILE_EXECUTE | SYNCHRONIZE, &attributes, &io,
                                 nullptr, FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ, FILE_OPEN,
                                 FILE_SYNCHRONOUS_IO_NONALERT, nullptr, 0));
  return file;
}

HANDLE OwnSection() {
  HANDLE file = OpenOwnFile();
  HANDLE section = nullptr;
  NT_EXPECT_SUCCESS(
      ZwCreateSection(&section, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_EXECUTE, SEC_IMAGE, file));
  ZwClose(file);
  return section;
}

PUCHAR Map(HANDLE section, PVOID base = nullptr) {
  SIZE_T bytes = 0;
  const NTSTATUS status = ZwMapViewOfSection(section, ZwCurrentProcess(), &base, 0, 0, nullptr, &bytes,
                                             ViewUnmap, 0, PAGE_EXECUTE_WRITECOPY);
  NT_EXPECT_TRUE(status == STATUS_SUCCESS || status == STATUS_IMAGE_NOT_AT_BASE);
  return NT_SUCCESS(status) ? static_cast<PUCHAR>(base) : nullptr;
}

void Unmap(PUCHAR view) {
  NT_EXPECT_SUCCESS(ZwUnmapViewOfSection(ZwCurrentProcess(), view));
}

volatile ULONG64* In(PUCHAR view, volatile void* place) {
  return reinterpret_cast<volatile ULONG64*>(view + OffsetOf(place));
}

constexpr ULONG kBasicInformation = 0;

MEMORY_BASIC_INFORMATION Describe(volatile void* place) {
  MEMORY_BASIC_INFORMATION information = {};
  NT_EXPECT_SUCCESS(ZwQueryVirtualMemory(ZwCurrentProcess(), const_cast<PVOID>(place), kBasicInformation,
                                         &information, sizeof(information), nullptr));
  return information;
}

void Code() {
  __asm__ volatile("nop");
}

}  // namespace

NT_TEST(MmSection, AnImageIsMappedAsItsHeadersSay) {
  HANDLE section = OwnSection();
  PUCHAR view = Map(section);
  NT_ASSERT_TRUE(view != nullptr);
  NT_EXPECT_EQ(view[0], 'M');
  NT_EXPECT_EQ(*In(view, &datum), 0x1234567890ABCDEFull);
  NT_EXPECT_EQ(*In(view, &pointer), reinterpret_cast<ULONG_PTR>(In(view, &datum)));
  const MEMORY_BASIC_INFORMATION headers = Describe(view);
  NT_EXPECT_EQ(headers.Type, 0x1000000u);  // MEM_IMAGE
  NT_EXPECT_EQ(headers.Protect, static_cast<ULONG>(PAGE_READONLY));
  NT_EXPECT_EQ(headers.AllocationProtect, static_cast<ULONG>(PAGE_EXECUTE_WRITECOPY));
  NT_EXPECT_EQ(Describe(In(view, &datum)).Protect, static_cast<ULONG>(PAGE_WRITECOPY));
  NT_EXPECT_EQ(Describe(In(view, reinterpret_cast<PVOID>(&Code))).Protect,
               static_cast<ULONG>(PAGE_EXECUTE_READ));
  Unmap(view);
  ZwClose(section);
}

NT_TEST(MmSection, AnImageElsewhereIsRelocated) {
  HANDLE section = OwnSection();
  PUCHAR views[3];
  for (PUCHAR& view : views) view = Map(section);
  for (PUCHAR view : views) {
    NT_ASSERT_TRUE(view != nullptr);
    NT_EXPECT_EQ(*In(view, &pointer), reinterpret_cast<ULONG_PTR>(In(view, &datum)));
    NT_EXPECT_EQ(*In(view, &datum), 0x1234567890ABCDEFull);
  }
  // Relocating has not made it all writable.
  NT_EXPECT_EQ(Describe(views[2]).Protect, static_cast<ULONG>(PAGE_READONLY));
  NT_EXPECT_EQ(Describe(In(views[2], reinterpret_cast<PVOID>(&Code))).Protect,
               static_cast<ULONG>(PAGE_EXECUTE_READ));
  for (PUCHAR view : views) Unmap(view);
  ZwClose(section);
}

NT_TEST(MmSection, WhatIsWrittenToAnImageIsTheViewsOwn) {
  HANDLE section = OwnSection();
  PUCHAR first = Map(section);
  PUCHAR second = Map(section);
  NT_ASSERT_TRUE(first != nullptr && second != nullptr);
  *In(first, &datum) = 1;
  NT_EXPECT_EQ(*In(first, &datum), 1u);
  NT_EXPECT_EQ(*In(second, &datum), 0x1234567890ABCDEFull);
  Unmap(first);
  PUCHAR third = Map(section);
  NT_EXPECT_EQ(*In(third, &datum), 0x1234567890ABCDEFull);
  Unmap(second);
  Unmap(third);
  ZwClose(section);
}

NT_TEST(MmSection, WhatIsNoImageIsRefused) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"\\??\\C:\\no_image.bin");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  IO_STATUS_BLOCK io;
  HANDLE file = nullptr;
  NT_ASSERT_SUCCESS(ZwCreateFile(&file, GENERIC_READ | GENERIC_WRITE | DELETE | SYNCHRONIZE, &attributes, &io,
                                 nullptr, FILE_ATTRIBUTE_NORMAL, 0, FILE_OVERWRITE_IF,
                                 FILE_SYNCHRONOUS_IO_NONALERT | FILE_DELETE_ON_CLOSE, nullptr, 0));
  HANDLE section = nullptr;
  NT_EXPECT_EQ(ZwCreateSection(&section, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_EXECUTE, SEC_IMAGE, file),
               STATUS_INVALID_IMAGE_NOT_MZ);
  LARGE_INTEGER offset = {};
  CHAR text[200] = "MZ";
  NT_EXPECT_SUCCESS(ZwWriteFile(file, nullptr, nullptr, nullptr, &io, text, sizeof(text), &offset, nullptr));
  NT_EXPECT_EQ(ZwCreateSection(&section, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_EXECUTE, SEC_IMAGE, file),
               STATUS_INVALID_IMAGE_FORMAT);
  NT_EXPECT_EQ(
      ZwCreateSection(&section, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_EXECUTE, SEC_IMAGE, nullptr),
      STATUS_INVALID_FILE_FOR_SECTION);
  ZwClose(file);
}

NT_TEST(MmFileSection, FlushImageSaysWhetherAnImageIsInUse) {
  HANDLE file = OpenOwnFile();
  PVOID object = nullptr;
  NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(file, 0, *IoFileObjectType, KernelMode, &object, nullptr));
  PSECTION_OBJECT_POINTERS pointers = static_cast<PFILE_OBJECT>(object)->SectionObjectPointer;
  NT_EXPECT_TRUE(MmFlushImageSection(pointers, MmFlushForWrite));
  HANDLE section = OwnSection();
  NT_EXPECT_TRUE(!MmFlushImageSection(pointers, MmFlushForWrite));
  PUCHAR view = Map(section);
  ZwClose(section);
  NT_EXPECT_TRUE(!MmFlushImageSection(pointers, MmFlushForDelete));
  Unmap(view);
  NT_EXPECT_TRUE(MmFlushImageSection(pointers, MmFlushForDelete));
  ObDereferenceObject(object);
  ZwClose(file);
}
