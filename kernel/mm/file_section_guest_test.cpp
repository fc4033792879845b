// What a file system asks of the sections of a file. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"

extern "C" {
NTKERNELAPI BOOLEAN NTAPI MmCanFileBeTruncated(PSECTION_OBJECT_POINTERS, PLARGE_INTEGER);
NTKERNELAPI ULONG NTAPI MmDoesFileHaveUserWritableReferences(PSECTION_OBJECT_POINTERS);
NTKERNELAPI BOOLEAN NTAPI MmFlushImageSection(PSECTION_OBJECT_POINTERS, MMFLUSH_TYPE);
NTKERNELAPI NTSTATUS NTAPI MmPrefetchPages(ULONG, PREAD_LIST*);
}

namespace {

constexpr ULONG kBytes = 2 * PAGE_SIZE;

// A file of two pages with a section.
class MappedFile {
 public:
  MappedFile() {
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, L"\\??\\C:\\file_section.bin");
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr,
                               nullptr);
    IO_STATUS_BLOCK io;
    NT_EXPECT_SUCCESS(ZwCreateFile(&file_, GENERIC_READ | GENERIC_WRITE | DELETE | SYNCHRONIZE, &attributes,
                                   &io, nullptr, FILE_ATTRIBUTE_NORMAL, 0, FILE_OVERWRITE_IF,
                                   FILE_SYNCHRONOUS_IO_NONALERT | FILE_DELETE_ON_CLOSE, nullptr, 0));
    NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(file_, 0, *IoFileObjectType, KernelMode, &object_, nullptr));
    LARGE_INTEGER size;
    size.QuadPart = kBytes;
    NT_EXPECT_SUCCESS(
        ZwCreateSection(&section_, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, file_));
  }
  ~MappedFile() {
    Unmap();
    ZwClose(section_);
    ObDereferenceObject(object_);
    ZwClose(file_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  PFILE_OBJECT object() const { return static_cast<PFILE_OBJECT>(object_); }
  PSECTION_OBJECT_POINTERS pointers() const { return object()->SectionObjectPointer; }
  volatile UCHAR* Map(ULONG protect) {
    SIZE_T bytes = 0;
    view_ = nullptr;
    NT_EXPECT_SUCCESS(ZwMapViewOfSection(section_, ZwCurrentProcess(), &view_, 0, 0, nullptr, &bytes,
                                         ViewUnmap, 0, protect));
    return static_cast<volatile UCHAR*>(view_);
  }
  void Unmap() {
    if (view_ != nullptr) ZwUnmapViewOfSection(ZwCurrentProcess(), view_);
    view_ = nullptr;
  }

 private:
  HANDLE file_ = nullptr;
  HANDLE section_ = nullptr;
  PVOID object_ = nullptr;
  PVOID view_ = nullptr;
};

LARGE_INTEGER Size(LONGLONG bytes) {
  LARGE_INTEGER size;
  size.QuadPart = bytes;
  return size;
}

}  // namespace

NT_TEST(MmFileSection, TruncatedOnlyBehindUserViews) {
  MappedFile file;
  LARGE_INTEGER smaller = Size(PAGE_SIZE), same = Size(kBytes);
  NT_EXPECT_TRUE(MmCanFileBeTruncated(file.pointers(), &smaller));
  file.Map(PAGE_READONLY);
  NT_EXPECT_TRUE(!MmCanFileBeTruncated(file.pointers(), &smaller));
  NT_EXPECT_TRUE(!MmCanFileBeTruncated(file.pointers(), nullptr));
  NT_EXPECT_TRUE(MmCanFileBeTruncated(file.pointers(), &same));
  file.Unmap();
  NT_EXPECT_TRUE(MmCanFileBeTruncated(file.pointers(), nullptr));
}

NT_TEST(MmFileSection, WritableViewsAreCounted) {
  MappedFile file;
  NT_EXPECT_EQ(MmDoesFileHaveUserWritableReferences(file.pointers()), 0u);
  file.Map(PAGE_READONLY);
  NT_EXPECT_EQ(MmDoesFileHaveUserWritableReferences(file.pointers()), 0u);
  file.Unmap();
  file.Map(PAGE_READWRITE);
  NT_EXPECT_EQ(MmDoesFileHaveUserWritableReferences(file.pointers()), 1u);
  file.Unmap();
  NT_EXPECT_EQ(MmDoesFileHaveUserWritableReferences(file.pointers()), 0u);
}

NT_TEST(MmFileSection, FlushImageRefusesADeletionUnderAView) {
  MappedFile file;
  NT_EXPECT_TRUE(MmFlushImageSection(file.pointers(), MmFlushForDelete));
  file.Map(PAGE_READONLY);
  NT_EXPECT_TRUE(!MmFlushImageSection(file.pointers(), MmFlushForDelete));
  NT_EXPECT_TRUE(MmFlushImageSection(file.pointers(), MmFlushForWrite));
}

NT_TEST(MmFileSection, PrefetchReadsWhatAViewThenShows) {
  MappedFile file;
  READ_LIST list = {};
  list.FileObject = file.object();
  list.NumberOfEntries = 1;
  list.List[0].Alignment = PAGE_SIZE;
  PREAD_LIST lists[] = {&list};
  NT_EXPECT_SUCCESS(MmPrefetchPages(1, lists));
  volatile UCHAR* view = file.Map(PAGE_READONLY);
  NT_EXPECT_EQ(view[PAGE_SIZE], 0);
  list.List[0].Alignment = 100 * PAGE_SIZE;
  NT_EXPECT_EQ(MmPrefetchPages(1, lists), STATUS_END_OF_FILE);
  list.IsImage = TRUE;
  NT_EXPECT_EQ(MmPrefetchPages(1, lists), STATUS_INVALID_PARAMETER);
}
