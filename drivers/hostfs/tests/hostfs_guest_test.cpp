// hostfs.sys through the ABI: what a driver sees of files on C:. Oracles: the WDK pages of ZwCreateFile,
// ZwSetInformationFile and ZwQueryDirectoryFile; [MS-FSA] for the statuses.
#include "drive_files.h"

using namespace drive;

namespace {

// The names that a pattern finds, one after the other with a '|' behind each.
NTSTATUS List(PCWSTR path, PCWSTR pattern, WCHAR* out, SIZE_T units) {
  const Opened directory = Open(path, FILE_LIST_DIRECTORY, FILE_OPEN, FILE_DIRECTORY_FILE);
  if (!NT_SUCCESS(directory.status)) return directory.status;
  UNICODE_STRING expression;
  RtlInitUnicodeString(&expression, pattern);
  UCHAR buffer[160];  // small: several queries
  NTSTATUS status = STATUS_SUCCESS;
  out[0] = 0;
  for (bool first = true;; first = false) {
    IO_STATUS_BLOCK io;
    status = ZwQueryDirectoryFile(directory.handle, nullptr, nullptr, nullptr, &io, buffer, sizeof buffer,
                                  FileNamesInformation, FALSE, first ? &expression : nullptr, first);
    if (!NT_SUCCESS(status)) break;
    for (auto* entry = reinterpret_cast<FILE_NAMES_INFORMATION*>(buffer);;) {
      RtlStringCchCatNW(out, units, entry->FileName, entry->FileNameLength / sizeof(WCHAR));
      RtlStringCchCatW(out, units, L"|");
      if (entry->NextEntryOffset == 0) break;
      entry =
          reinterpret_cast<FILE_NAMES_INFORMATION*>(reinterpret_cast<UCHAR*>(entry) + entry->NextEntryOffset);
    }
  }
  ZwClose(directory.handle);
  return status;
}

bool Same(PCWSTR a, PCWSTR b) {
  return wcscmp(a, b) == 0;
}

#define ROOT L"\\DosDevices\\C:\\hostfs_test"

}  // namespace

NT_TEST(HostFs, DispositionsSayWhatTheyDid) {
  MakeDirectory(ROOT);
  Delete(ROOT L"\\d.txt");
  NT_EXPECT_EQ(Open(ROOT L"\\d.txt", GENERIC_READ, FILE_OPEN, 0).status, STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_EQ(Open(ROOT L"\\d.txt", GENERIC_READ, FILE_OVERWRITE, 0).status, STATUS_OBJECT_NAME_NOT_FOUND);
  struct {
    ULONG disposition;
    NTSTATUS status;
    ULONG_PTR information;
  } const cases[] = {{FILE_CREATE, STATUS_SUCCESS, FILE_CREATED},
                     {FILE_CREATE, STATUS_OBJECT_NAME_COLLISION, 0},
                     {FILE_OPEN, STATUS_SUCCESS, FILE_OPENED},
                     {FILE_OPEN_IF, STATUS_SUCCESS, FILE_OPENED},
                     {FILE_OVERWRITE, STATUS_SUCCESS, FILE_OVERWRITTEN},
                     {FILE_OVERWRITE_IF, STATUS_SUCCESS, FILE_OVERWRITTEN},
                     {FILE_SUPERSEDE, STATUS_SUCCESS, FILE_SUPERSEDED}};
  for (const auto& wanted : cases) {
    const Opened file = Open(ROOT L"\\d.txt", GENERIC_WRITE, wanted.disposition, 0);
    NT_EXPECT_EQ(file.status, wanted.status);
    if (!NT_SUCCESS(file.status)) continue;
    NT_EXPECT_EQ(file.information, wanted.information);
    ZwClose(file.handle);
  }
}

NT_TEST(HostFs, OverwriteCutsTheFile) {
  NT_ASSERT_SUCCESS(Put(ROOT L"\\o.txt", "a long text"));
  NT_ASSERT_SUCCESS(Put(ROOT L"\\o.txt", "short"));
  NT_EXPECT_TRUE(Holds(ROOT L"\\o.txt", "short"));
  NT_EXPECT_TRUE(Holds(L"\\??\\C:\\HOSTFS_TEST\\O.TXT", "short"));
}

NT_TEST(HostFs, FilesAndDirectoriesAreToldApart) {
  MakeDirectory(ROOT L"\\sub");
  NT_ASSERT_SUCCESS(Put(ROOT L"\\f.txt", "x"));
  NT_EXPECT_EQ(Open(ROOT L"\\sub", GENERIC_READ, FILE_OPEN, FILE_NON_DIRECTORY_FILE).status,
               STATUS_FILE_IS_A_DIRECTORY);
  NT_EXPECT_EQ(Open(ROOT L"\\f.txt", GENERIC_READ, FILE_OPEN, FILE_DIRECTORY_FILE).status,
               STATUS_NOT_A_DIRECTORY);
  NT_EXPECT_EQ(Open(ROOT L"\\none\\f.txt", GENERIC_READ, FILE_OPEN_IF, 0).status,
               STATUS_OBJECT_PATH_NOT_FOUND);
  NT_EXPECT_EQ(Open(ROOT L"\\f.txt\\x", GENERIC_READ, FILE_OPEN, 0).status, STATUS_OBJECT_PATH_NOT_FOUND);
  NT_EXPECT_EQ(Open(ROOT L"\\a:b", GENERIC_READ, FILE_OPEN_IF, 0).status, STATUS_OBJECT_NAME_INVALID);
  NT_EXPECT_EQ(Open(ROOT L"\\..\\x", GENERIC_READ, FILE_OPEN_IF, 0).status, STATUS_OBJECT_NAME_INVALID);
}

NT_TEST(HostFs, DelayedWritesAreSeenByOthersAtOnce) {
  const Opened writer = Open(ROOT L"\\w.txt", GENERIC_WRITE | GENERIC_READ, FILE_OVERWRITE_IF, 0);
  NT_ASSERT_SUCCESS(writer.status);
  IO_STATUS_BLOCK io;
  char text[] = "0123456789";
  NT_EXPECT_SUCCESS(ZwWriteFile(writer.handle, nullptr, nullptr, nullptr, &io, text, 10, nullptr, nullptr));
  NT_EXPECT_EQ(SizeOf(writer.handle), 10);
  NT_EXPECT_TRUE(Holds(ROOT L"\\w.txt", "0123456789"));
  LARGE_INTEGER end;
  end.HighPart = -1;
  end.LowPart = FILE_WRITE_TO_END_OF_FILE;
  NT_EXPECT_SUCCESS(ZwWriteFile(writer.handle, nullptr, nullptr, nullptr, &io, text, 2, &end, nullptr));
  LARGE_INTEGER middle;
  middle.QuadPart = 4;
  NT_EXPECT_SUCCESS(ZwWriteFile(writer.handle, nullptr, nullptr, nullptr, &io, const_cast<char*>("xy"), 2,
                                &middle, nullptr));
  NT_EXPECT_SUCCESS(ZwWriteFile(writer.handle, nullptr, nullptr, nullptr, &io, const_cast<char*>("z"), 1,
                                nullptr, nullptr));
  NT_EXPECT_EQ(SizeOf(writer.handle), 12);
  NT_EXPECT_SUCCESS(ZwFlushBuffersFile(writer.handle, &io));
  ZwClose(writer.handle);
  NT_EXPECT_TRUE(Holds(ROOT L"\\w.txt", "0123xyz78901"));
}

NT_TEST(HostFs, LargeWritesAndReads) {
  constexpr ULONG kSize = 200000;
  auto* data = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, 2 * kSize, 'tsfH'));
  NT_ASSERT_TRUE(data != nullptr);
  for (ULONG i = 0; i < kSize; ++i) data[i] = static_cast<UCHAR>(i * 31 >> 3);
  const Opened file = Open(ROOT L"\\large.bin", GENERIC_READ | GENERIC_WRITE, FILE_SUPERSEDE, 0);
  NT_EXPECT_SUCCESS(file.status);
  if (NT_SUCCESS(file.status)) {
    IO_STATUS_BLOCK io = {};
    LARGE_INTEGER at = {};
    NT_EXPECT_SUCCESS(ZwWriteFile(file.handle, nullptr, nullptr, nullptr, &io, data, kSize, &at, nullptr));
    NT_EXPECT_EQ(io.Information, kSize);
    NT_EXPECT_SUCCESS(
        ZwReadFile(file.handle, nullptr, nullptr, nullptr, &io, data + kSize, kSize, &at, nullptr));
    NT_EXPECT_EQ(io.Information, kSize);
    NT_EXPECT_EQ(RtlCompareMemory(data, data + kSize, kSize), kSize);
    NT_EXPECT_EQ(ZwReadFile(file.handle, nullptr, nullptr, nullptr, &io, data, 1, nullptr, nullptr),
                 STATUS_END_OF_FILE);
    ZwClose(file.handle);
  }
  ExFreePoolWithTag(data, 'tsfH');
}

NT_TEST(HostFs, EndOfFileCanBeSet) {
  NT_ASSERT_SUCCESS(Put(ROOT L"\\e.txt", "0123456789"));
  const Opened file = Open(ROOT L"\\e.txt", GENERIC_WRITE, FILE_OPEN, 0);
  NT_ASSERT_SUCCESS(file.status);
  IO_STATUS_BLOCK io;
  FILE_END_OF_FILE_INFORMATION size;
  size.EndOfFile.QuadPart = 4;
  NT_EXPECT_SUCCESS(ZwSetInformationFile(file.handle, &io, &size, sizeof size, FileEndOfFileInformation));
  NT_EXPECT_EQ(SizeOf(file.handle), 4);
  ZwClose(file.handle);
  NT_EXPECT_TRUE(Holds(ROOT L"\\e.txt", "0123"));
}

NT_TEST(HostFs, RenameMovesReplacesAndCollides) {
  MakeDirectory(ROOT L"\\sub");
  NT_ASSERT_SUCCESS(Put(ROOT L"\\r1.txt", "one"));
  NT_ASSERT_SUCCESS(Put(ROOT L"\\r2.txt", "two"));
  const Opened file = Open(ROOT L"\\r1.txt", DELETE, FILE_OPEN, 0);
  NT_ASSERT_SUCCESS(file.status);
  NT_EXPECT_EQ(Rename(file.handle, ROOT L"\\R2.TXT", FALSE), STATUS_OBJECT_NAME_COLLISION);
  NT_EXPECT_SUCCESS(Rename(file.handle, ROOT L"\\R2.TXT", TRUE));
  NT_EXPECT_SUCCESS(Rename(file.handle, ROOT L"\\sub\\r3.txt", TRUE));
  NT_EXPECT_EQ(Rename(file.handle, ROOT L"\\nowhere\\r3.txt", TRUE), STATUS_OBJECT_PATH_NOT_FOUND);
  ZwClose(file.handle);
  NT_EXPECT_TRUE(Holds(ROOT L"\\sub\\r3.txt", "one"));
  NT_EXPECT_EQ(Open(ROOT L"\\r2.txt", GENERIC_READ, FILE_OPEN, 0).status, STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_SUCCESS(Delete(ROOT L"\\sub\\r3.txt"));
}

NT_TEST(HostFs, RenameDoesNotReplaceAnOpenFile) {
  NT_ASSERT_SUCCESS(Put(ROOT L"\\p1.txt", "one"));
  NT_ASSERT_SUCCESS(Put(ROOT L"\\p2.txt", "two"));
  const Opened target = Open(ROOT L"\\p2.txt", GENERIC_READ, FILE_OPEN, 0);
  const Opened file = Open(ROOT L"\\p1.txt", DELETE, FILE_OPEN, 0);
  NT_EXPECT_EQ(Rename(file.handle, ROOT L"\\p2.txt", TRUE), STATUS_ACCESS_DENIED);
  ZwClose(target.handle);
  NT_EXPECT_SUCCESS(Rename(file.handle, ROOT L"\\p2.txt", TRUE));
  ZwClose(file.handle);
  NT_EXPECT_TRUE(Holds(ROOT L"\\p2.txt", "one"));
}

NT_TEST(HostFs, DirectoriesMoveWithTheirFiles) {
  MakeDirectory(ROOT L"\\sub\\old");
  NT_ASSERT_SUCCESS(Put(ROOT L"\\sub\\old\\x.txt", "inside"));
  const Opened directory = Open(ROOT L"\\sub\\old", DELETE, FILE_OPEN, FILE_DIRECTORY_FILE);
  NT_ASSERT_SUCCESS(directory.status);
  NT_EXPECT_EQ(Rename(directory.handle, ROOT L"\\sub\\old\\deeper", FALSE), STATUS_SHARING_VIOLATION);
  NT_EXPECT_SUCCESS(Rename(directory.handle, ROOT L"\\new", FALSE));
  ZwClose(directory.handle);
  NT_EXPECT_TRUE(Holds(ROOT L"\\new\\x.txt", "inside"));
  NT_EXPECT_EQ(Open(ROOT L"\\sub\\old\\x.txt", GENERIC_READ, FILE_OPEN, 0).status,
               STATUS_OBJECT_PATH_NOT_FOUND);
  const Opened again = Open(ROOT L"\\new", DELETE, FILE_OPEN, FILE_DIRECTORY_FILE);
  NT_EXPECT_EQ(Dispose(again.handle, TRUE), STATUS_DIRECTORY_NOT_EMPTY);
  NT_EXPECT_SUCCESS(Delete(ROOT L"\\new\\x.txt"));
  NT_EXPECT_SUCCESS(Dispose(again.handle, TRUE));
  NT_EXPECT_EQ(Open(ROOT L"\\new", FILE_LIST_DIRECTORY, FILE_OPEN, FILE_DIRECTORY_FILE).status,
               STATUS_DELETE_PENDING);
  ZwClose(again.handle);
  NT_EXPECT_EQ(Open(ROOT L"\\new", FILE_LIST_DIRECTORY, FILE_OPEN, 0).status, STATUS_OBJECT_NAME_NOT_FOUND);
}

NT_TEST(HostFs, DeletionWaitsForTheLastHandle) {
  NT_ASSERT_SUCCESS(Put(ROOT L"\\x.txt", "x"));
  const Opened first = Open(ROOT L"\\x.txt", GENERIC_READ, FILE_OPEN, 0);
  const Opened second = Open(ROOT L"\\x.txt", DELETE, FILE_OPEN, FILE_DELETE_ON_CLOSE);
  NT_ASSERT_SUCCESS(second.status);
  ZwClose(second.handle);
  NT_EXPECT_EQ(Open(ROOT L"\\x.txt", GENERIC_READ, FILE_OPEN, 0).status, STATUS_DELETE_PENDING);
  NT_EXPECT_SUCCESS(Dispose(first.handle, FALSE) == STATUS_ACCESS_DENIED ? STATUS_SUCCESS
                                                                         : STATUS_UNSUCCESSFUL);
  ZwClose(first.handle);
  NT_EXPECT_EQ(Open(ROOT L"\\x.txt", GENERIC_READ, FILE_OPEN, 0).status, STATUS_OBJECT_NAME_NOT_FOUND);
}

NT_TEST(HostFs, ReadOnlyFilesAreNotWritten) {
  Delete(ROOT L"\\ro.txt");
  const Opened made =
      Open(ROOT L"\\ro.txt", GENERIC_WRITE, FILE_CREATE, 0, kShareAll, FILE_ATTRIBUTE_READONLY);
  NT_ASSERT_SUCCESS(made.status);
  ZwClose(made.handle);
  NT_EXPECT_EQ(Open(ROOT L"\\ro.txt", GENERIC_WRITE, FILE_OPEN, 0).status, STATUS_ACCESS_DENIED);
  const Opened file =
      Open(ROOT L"\\ro.txt", DELETE | FILE_WRITE_ATTRIBUTES | FILE_READ_ATTRIBUTES, FILE_OPEN, 0);
  NT_ASSERT_SUCCESS(file.status);
  NT_EXPECT_EQ(Dispose(file.handle, TRUE), STATUS_CANNOT_DELETE);
  IO_STATUS_BLOCK io;
  FILE_BASIC_INFORMATION basic = {};
  NT_EXPECT_SUCCESS(ZwQueryInformationFile(file.handle, &io, &basic, sizeof basic, FileBasicInformation));
  NT_EXPECT_TRUE((basic.FileAttributes & FILE_ATTRIBUTE_READONLY) != 0);
  basic = {};
  basic.FileAttributes = FILE_ATTRIBUTE_NORMAL;
  basic.LastWriteTime.QuadPart = 133480798599210000;
  NT_EXPECT_SUCCESS(ZwSetInformationFile(file.handle, &io, &basic, sizeof basic, FileBasicInformation));
  NT_EXPECT_SUCCESS(ZwQueryInformationFile(file.handle, &io, &basic, sizeof basic, FileBasicInformation));
  NT_EXPECT_EQ(basic.LastWriteTime.QuadPart, 133480798599210000);
  NT_EXPECT_SUCCESS(Dispose(file.handle, TRUE));
  ZwClose(file.handle);
}

NT_TEST(HostFs, PatternsAndOrderOfListings) {
  MakeDirectory(ROOT L"\\list");
  const PCWSTR files[] = {ROOT L"\\list\\b.txt", ROOT L"\\list\\A.txt", ROOT L"\\list\\c.log",
                          ROOT L"\\list\\d"};
  for (PCWSTR name : files) {
    NT_ASSERT_SUCCESS(Put(name, ""));
  }
  static WCHAR names[128];
  NT_EXPECT_EQ(List(ROOT L"\\list", L"*", names, 128), STATUS_NO_MORE_FILES);
  NT_EXPECT_TRUE(Same(names, L".|..|A.txt|b.txt|c.log|d|"));
  NT_EXPECT_EQ(List(ROOT L"\\list", L"*.TXT", names, 128), STATUS_NO_MORE_FILES);
  NT_EXPECT_TRUE(Same(names, L"A.txt|b.txt|"));
  NT_EXPECT_EQ(List(ROOT L"\\list", L"?.*", names, 128), STATUS_NO_MORE_FILES);
  NT_EXPECT_TRUE(Same(names, L"..|A.txt|b.txt|c.log|"));
  NT_EXPECT_EQ(List(ROOT L"\\list", L"none*", names, 128), STATUS_NO_SUCH_FILE);
  NT_EXPECT_EQ(List(ROOT L"\\list", L"D", names, 128), STATUS_NO_MORE_FILES);
  NT_EXPECT_TRUE(Same(names, L"d|"));
}

NT_TEST(HostFs, NamesOfFiles) {
  NT_ASSERT_SUCCESS(Put(ROOT L"\\named.txt", "n"));
  const Opened file = Open(ROOT L"\\NAMED.TXT", GENERIC_READ, FILE_OPEN, 0);
  NT_ASSERT_SUCCESS(file.status);
  IO_STATUS_BLOCK io = {};
  union {
    FILE_NAME_INFORMATION name;
    UCHAR bytes[128];
  } u = {};
  NT_EXPECT_SUCCESS(ZwQueryInformationFile(file.handle, &io, &u, sizeof u, FileNameInformation));
  const UNICODE_STRING got = {static_cast<USHORT>(u.name.FileNameLength),
                              static_cast<USHORT>(u.name.FileNameLength), u.name.FileName};
  UNICODE_STRING wanted;
  RtlInitUnicodeString(&wanted, L"\\hostfs_test\\named.txt");
  NT_EXPECT_TRUE(RtlEqualUnicodeString(&got, &wanted, TRUE));
  NT_EXPECT_EQ(ZwQueryInformationFile(file.handle, &io, &u, 12, FileNameInformation), STATUS_BUFFER_OVERFLOW);
  NT_EXPECT_EQ(u.name.FileNameLength, wanted.Length);
  ZwClose(file.handle);
}

NT_TEST(HostFs, VolumeFacts) {
  const Opened directory = Open(ROOT, FILE_LIST_DIRECTORY, FILE_OPEN, FILE_DIRECTORY_FILE);
  NT_ASSERT_SUCCESS(directory.status);
  IO_STATUS_BLOCK io;
  FILE_FS_SIZE_INFORMATION size = {};
  NT_EXPECT_SUCCESS(
      ZwQueryVolumeInformationFile(directory.handle, &io, &size, sizeof size, FileFsSizeInformation));
  NT_EXPECT_TRUE(size.TotalAllocationUnits.QuadPart > size.AvailableAllocationUnits.QuadPart);
  NT_EXPECT_EQ(size.BytesPerSector, 512u);
  ZwClose(directory.handle);
}
