// Sections and views as a driver uses them. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"

namespace {

OBJECT_ATTRIBUTES Named(UNICODE_STRING* name, PCWSTR text) {
  OBJECT_ATTRIBUTES attributes;
  RtlInitUnicodeString(name, text);
  InitializeObjectAttributes(&attributes, name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  return attributes;
}

HANDLE CreateSection(LONGLONG bytes, ULONG protect = PAGE_READWRITE, HANDLE file = nullptr) {
  LARGE_INTEGER size;
  size.QuadPart = bytes;
  HANDLE section = nullptr;
  NT_EXPECT_SUCCESS(ZwCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &size, protect, SEC_COMMIT, file));
  return section;
}

volatile UCHAR* Map(HANDLE section, ULONG protect = PAGE_READWRITE, LONGLONG offset = 0) {
  PVOID base = nullptr;
  SIZE_T bytes = 0;
  LARGE_INTEGER start;
  start.QuadPart = offset;
  NT_EXPECT_SUCCESS(
      ZwMapViewOfSection(section, ZwCurrentProcess(), &base, 0, 0, &start, &bytes, ViewUnmap, 0, protect));
  return static_cast<volatile UCHAR*>(base);
}

void Unmap(volatile UCHAR* view) {
  NT_EXPECT_SUCCESS(ZwUnmapViewOfSection(ZwCurrentProcess(), const_cast<UCHAR*>(view)));
}

HANDLE OpenFile(PCWSTR path, ULONG disposition) {
  UNICODE_STRING name;
  OBJECT_ATTRIBUTES attributes = Named(&name, path);
  IO_STATUS_BLOCK io;
  HANDLE file = nullptr;
  NT_EXPECT_SUCCESS(ZwCreateFile(&file, GENERIC_READ | GENERIC_WRITE | DELETE | SYNCHRONIZE, &attributes, &io,
                                 nullptr, FILE_ATTRIBUTE_NORMAL, 0, disposition, FILE_SYNCHRONOUS_IO_NONALERT,
                                 nullptr, 0));
  return file;
}

constexpr ULONG kFileBytes = 3 * PAGE_SIZE + 100;

HANDLE PatternFile() {
  HANDLE file = OpenFile(L"\\??\\C:\\section_test.bin", FILE_OVERWRITE_IF);
  auto* bytes = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, kFileBytes, 'tceS'));
  if (bytes == nullptr) return file;
  for (ULONG i = 0; i < kFileBytes; ++i) bytes[i] = static_cast<UCHAR>(i * 3 + i / 256);
  IO_STATUS_BLOCK io;
  LARGE_INTEGER offset = {};
  NT_EXPECT_SUCCESS(ZwWriteFile(file, nullptr, nullptr, nullptr, &io, bytes, kFileBytes, &offset, nullptr));
  ExFreePoolWithTag(bytes, 'tceS');
  return file;
}

UCHAR ByteOfFile(HANDLE file, LONGLONG at) {
  UCHAR byte = 0;
  IO_STATUS_BLOCK io;
  LARGE_INTEGER offset;
  offset.QuadPart = at;
  NT_EXPECT_SUCCESS(ZwReadFile(file, nullptr, nullptr, nullptr, &io, &byte, 1, &offset, nullptr));
  return byte;
}

}  // namespace

extern "C" POBJECT_TYPE* MmSectionObjectType;

NT_TEST(MmSection, TwoViewsShareTheirPages) {
  HANDLE section = CreateSection(5 * PAGE_SIZE);
  volatile UCHAR* first = Map(section);
  volatile UCHAR* second = Map(section);
  NT_ASSERT_TRUE(first != nullptr && second != nullptr && first != second);
  for (ULONG i = 0; i < 5; ++i) {
    NT_EXPECT_EQ(first[i * PAGE_SIZE], 0);
    first[i * PAGE_SIZE + 5] = static_cast<UCHAR>(i + 1);
    NT_EXPECT_EQ(second[i * PAGE_SIZE + 5], i + 1);
  }
  ZwClose(section);  // views keep the memory
  Unmap(first);
  NT_EXPECT_EQ(second[PAGE_SIZE + 5], 2);
  Unmap(second);
  NT_EXPECT_EQ(ZwUnmapViewOfSection(ZwCurrentProcess(), const_cast<UCHAR*>(second)), STATUS_NOT_MAPPED_VIEW);
}

NT_TEST(MmSection, CopyOnWriteIsPrivate) {
  HANDLE section = CreateSection(2 * PAGE_SIZE);
  volatile UCHAR* shared = Map(section);
  volatile UCHAR* copy = Map(section, PAGE_WRITECOPY);
  NT_ASSERT_TRUE(shared != nullptr && copy != nullptr);
  shared[0] = 1;
  shared[PAGE_SIZE] = 2;
  NT_EXPECT_EQ(copy[0], 1);
  copy[0] = 50;          // after a read
  copy[PAGE_SIZE] = 51;  // without one
  NT_EXPECT_EQ(shared[0], 1);
  NT_EXPECT_EQ(shared[PAGE_SIZE], 2);
  NT_EXPECT_EQ(copy[0], 50);
  shared[0] = 3;
  NT_EXPECT_EQ(copy[0], 50);
  Unmap(copy);
  copy = Map(section, PAGE_WRITECOPY);
  NT_EXPECT_EQ(copy[0], 3);
  Unmap(copy);
  Unmap(shared);
  ZwClose(section);
}

NT_TEST(MmSection, OffsetsAndSizesAreChecked) {
  HANDLE section = CreateSection(0x30000, PAGE_READONLY);
  PVOID base = nullptr;
  SIZE_T bytes = 0;
  LARGE_INTEGER offset;
  offset.QuadPart = 0x1000;
  NT_EXPECT_EQ(ZwMapViewOfSection(section, ZwCurrentProcess(), &base, 0, 0, &offset, &bytes, ViewUnmap, 0,
                                  PAGE_READONLY),
               STATUS_MAPPED_ALIGNMENT);
  offset.QuadPart = 0x20000;
  bytes = 0x20000;
  NT_EXPECT_EQ(ZwMapViewOfSection(section, ZwCurrentProcess(), &base, 0, 0, &offset, &bytes, ViewUnmap, 0,
                                  PAGE_READONLY),
               STATUS_INVALID_VIEW_SIZE);
  bytes = 0;
  NT_EXPECT_EQ(ZwMapViewOfSection(section, ZwCurrentProcess(), &base, 0, 0, &offset, &bytes, ViewUnmap, 0,
                                  PAGE_READWRITE),
               STATUS_SECTION_PROTECTION);
  NT_EXPECT_SUCCESS(ZwMapViewOfSection(section, ZwCurrentProcess(), &base, 0, 0, &offset, &bytes, ViewUnmap,
                                       0, PAGE_READONLY));
  NT_EXPECT_EQ(bytes, 0x10000u);
  Unmap(static_cast<volatile UCHAR*>(base));
  ZwClose(section);
  HANDLE none = nullptr;
  NT_EXPECT_EQ(
      ZwCreateSection(&none, SECTION_ALL_ACCESS, nullptr, nullptr, PAGE_READWRITE, SEC_COMMIT, nullptr),
      STATUS_INVALID_PARAMETER_4);
}

NT_TEST(MmSection, FileBackedViewsReadAndWriteTheFile) {
  HANDLE file = PatternFile();
  HANDLE section = CreateSection(0, PAGE_READWRITE, file);
  volatile UCHAR* view = Map(section);
  NT_ASSERT_TRUE(view != nullptr);
  ULONG wrong = 0;
  for (ULONG i = 0; i < kFileBytes; ++i) wrong += view[i] != static_cast<UCHAR>(i * 3 + i / 256);
  NT_EXPECT_EQ(wrong, 0u);
  NT_EXPECT_EQ(view[kFileBytes], 0);  // behind the end
  view[PAGE_SIZE + 7] = 0xA5;
  PVOID base = const_cast<UCHAR*>(view);
  SIZE_T bytes = 0;
  IO_STATUS_BLOCK io;
  NT_EXPECT_SUCCESS(ZwFlushVirtualMemory(ZwCurrentProcess(), &base, &bytes, &io));
  NT_EXPECT_EQ(ByteOfFile(file, PAGE_SIZE + 7), 0xA5);
  view[2 * PAGE_SIZE] = 0x5A;
  Unmap(view);
  ZwClose(section);  // the last: modified pages go to the file
  NT_EXPECT_EQ(ByteOfFile(file, 2 * PAGE_SIZE), 0x5A);
  ZwClose(file);
}

NT_TEST(MmSection, FileBackedSectionsOfOneFileShareAndExtendIt) {
  HANDLE file = PatternFile();
  HANDLE first = CreateSection(0, PAGE_READWRITE, file);
  HANDLE second = CreateSection(0x20000, PAGE_READWRITE, file);
  volatile UCHAR* a = Map(first);
  volatile UCHAR* b = Map(second);
  NT_ASSERT_TRUE(a != nullptr && b != nullptr);
  a[9] = 0x11;
  NT_EXPECT_EQ(b[9], 0x11);
  b[0x1FFFF] = 0x22;
  Unmap(a);
  Unmap(b);
  ZwClose(first);
  ZwClose(second);
  NT_EXPECT_EQ(ByteOfFile(file, 0x1FFFF), 0x22);
  ZwClose(file);
}

NT_TEST(MmSection, NamedSectionsAreFound) {
  UNICODE_STRING name;
  OBJECT_ATTRIBUTES attributes = Named(&name, L"\\BaseNamedObjects\\MmSectionTest");
  LARGE_INTEGER size;
  size.QuadPart = PAGE_SIZE;
  HANDLE first, second;
  NT_ASSERT_SUCCESS(
      ZwCreateSection(&first, SECTION_ALL_ACCESS, &attributes, &size, PAGE_READWRITE, SEC_COMMIT, nullptr));
  NT_ASSERT_SUCCESS(ZwOpenSection(&second, SECTION_ALL_ACCESS, &attributes));
  volatile UCHAR* a = Map(first);
  volatile UCHAR* b = Map(second);
  a[0] = 77;
  NT_EXPECT_EQ(b[0], 77);
  Unmap(a);
  Unmap(b);
  ZwClose(first);
  ZwClose(second);
  NT_EXPECT_EQ(ZwOpenSection(&second, SECTION_ALL_ACCESS, &attributes), STATUS_OBJECT_NAME_NOT_FOUND);
}

NT_TEST(MmSection, QueryTellsTheSize) {
  struct {
    PVOID base;
    ULONG attributes;
    LARGE_INTEGER size;
  } basic;
  HANDLE section = CreateSection(12345);
  SIZE_T returned = 0;
  NT_EXPECT_SUCCESS(ZwQuerySection(section, 0, &basic, sizeof(basic), &returned));
  NT_EXPECT_EQ(basic.size.QuadPart, 12345);
  NT_EXPECT_EQ(basic.attributes, static_cast<ULONG>(SEC_COMMIT));
  NT_EXPECT_EQ(ZwQuerySection(section, 9, &basic, sizeof(basic), nullptr), STATUS_INVALID_INFO_CLASS);
  ZwClose(section);
}

NT_TEST(MmSection, ObjectTypeIsTheSections) {
  HANDLE section = CreateSection(PAGE_SIZE);
  PVOID object;
  NT_EXPECT_SUCCESS(
      ObReferenceObjectByHandle(section, 0, *MmSectionObjectType, KernelMode, &object, nullptr));
  ObDereferenceObject(object);
  NT_EXPECT_EQ(ObReferenceObjectByHandle(section, 0, *PsThreadType, KernelMode, &object, nullptr),
               STATUS_OBJECT_TYPE_MISMATCH);
  ZwClose(section);
}

NT_TEST(MmSection, SystemViewIsSharedWithAProcess) {
  LARGE_INTEGER size;
  size.QuadPart = 0x20000;
  PVOID section = nullptr;
  NT_ASSERT_SUCCESS(MmCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT,
                                    nullptr, nullptr));
  PVOID system = nullptr, part = nullptr, session = nullptr;
  SIZE_T bytes = 0;
  NT_ASSERT_SUCCESS(MmMapViewInSystemSpace(section, &system, &bytes));
  NT_EXPECT_EQ(bytes, 0x20000u);
  NT_EXPECT_TRUE(system > MmSystemRangeStart);
  LARGE_INTEGER offset;
  offset.QuadPart = 0x10000;
  bytes = 0;
  NT_ASSERT_SUCCESS(MmMapViewInSystemSpaceEx(section, &part, &bytes, &offset, 0));
  NT_EXPECT_EQ(bytes, 0x10000u);
  bytes = 0;
  NT_ASSERT_SUCCESS(MmMapViewInSessionSpace(section, &session, &bytes));
  static_cast<volatile UCHAR*>(system)[0x10003] = 200;
  NT_EXPECT_EQ(static_cast<volatile UCHAR*>(part)[3], 200);
  NT_EXPECT_EQ(static_cast<volatile UCHAR*>(session)[0x10003], 200);
  NT_EXPECT_SUCCESS(MmUnmapViewInSystemSpace(part));
  NT_EXPECT_SUCCESS(MmUnmapViewInSystemSpace(system));
  NT_EXPECT_SUCCESS(MmUnmapViewInSessionSpace(session));
  NT_EXPECT_EQ(MmUnmapViewInSystemSpace(system), STATUS_NOT_MAPPED_VIEW);
  ObDereferenceObject(section);
}

NT_TEST(MmSection, ByPointerMapsIntoAProcess) {
  HANDLE section = CreateSection(PAGE_SIZE);
  HANDLE handle;
  PVOID object, process;
  NT_ASSERT_SUCCESS(
      ObReferenceObjectByHandle(section, 0, *MmSectionObjectType, KernelMode, &object, nullptr));
  NT_ASSERT_SUCCESS(PsCreateSystemProcess(&handle, PROCESS_ALL_ACCESS, nullptr));
  NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(handle, 0, *PsProcessType, KernelMode, &process, nullptr));
  PVOID there = nullptr;
  SIZE_T bytes = 0;
  LARGE_INTEGER offset = {};
  NT_EXPECT_SUCCESS(MmMapViewOfSection(object, static_cast<PEPROCESS>(process), &there, 0, 0, &offset, &bytes,
                                       ViewUnmap, 0, PAGE_READWRITE));
  volatile UCHAR* here = Map(section);
  here[1] = 99;
  UCHAR byte = 0;
  SIZE_T copied = 0;
  NT_EXPECT_SUCCESS(MmCopyVirtualMemory(static_cast<PEPROCESS>(process), static_cast<UCHAR*>(there) + 1,
                                        IoGetCurrentProcess(), &byte, 1, KernelMode, &copied));
  NT_EXPECT_EQ(byte, 99);
  NT_EXPECT_SUCCESS(MmUnmapViewOfSection(static_cast<PEPROCESS>(process), there));
  NT_EXPECT_EQ(MmUnmapViewOfSection(static_cast<PEPROCESS>(process), there), STATUS_NOT_MAPPED_VIEW);
  Unmap(here);
  ZwTerminateProcess(handle, 0);
  ObDereferenceObject(process);
  ObDereferenceObject(object);
  ZwClose(handle);
  ZwClose(section);
}

NT_TEST(MmSection, NtEntriesDoTheSame) {
  LARGE_INTEGER size;
  size.QuadPart = PAGE_SIZE;
  HANDLE section = nullptr;
  NT_ASSERT_SUCCESS(
      NtCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr));
  PVOID base = nullptr;
  SIZE_T bytes = 0;
  LARGE_INTEGER offset = {};
  NT_EXPECT_SUCCESS(NtMapViewOfSection(section, ZwCurrentProcess(), &base, 0, 0, &offset, &bytes, ViewUnmap,
                                       0, PAGE_READWRITE));
  *static_cast<volatile int*>(base) = 3;
  Unmap(static_cast<volatile UCHAR*>(base));
  ZwClose(section);
}

NT_TEST(MmSection, ViewRequestsAreChecked) {
  HANDLE section = CreateSection(4 * PAGE_SIZE);
  PVOID base = nullptr;
  SIZE_T bytes = PAGE_SIZE;
  const auto map = [&](ULONG_PTR zero_bits, SIZE_T commit, ULONG inherit, ULONG type) {
    return ZwMapViewOfSection(section, ZwCurrentProcess(), &base, zero_bits, commit, nullptr, &bytes,
                              static_cast<SECTION_INHERIT>(inherit), type, PAGE_READWRITE);
  };
  NT_EXPECT_EQ(map(25, 0, ViewUnmap, 0), STATUS_INVALID_PARAMETER_4);
  NT_EXPECT_EQ(map(0, 2 * PAGE_SIZE, ViewUnmap, 0), STATUS_INVALID_PARAMETER_5);
  NT_EXPECT_EQ(map(0, 0, 3, 0), STATUS_INVALID_PARAMETER_8);
  NT_EXPECT_EQ(map(0, 0, ViewUnmap, 0x1234), STATUS_INVALID_PARAMETER_9);
  NT_EXPECT_SUCCESS(map(1, PAGE_SIZE, ViewShare, MEM_TOP_DOWN));
  NT_EXPECT_TRUE(reinterpret_cast<ULONG_PTR>(base) < (1ull << 31));
  Unmap(static_cast<volatile UCHAR*>(base));
  ZwClose(section);
}
