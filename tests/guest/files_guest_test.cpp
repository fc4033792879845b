// Files on C: as a driver sees them, through hostfs to a folder of the host. Oracle: the WDK pages of the
// routines and the statuses of NTFS; not yet run on a real NT.
#include "nt_test.h"

namespace {

NTSTATUS Open(PCWSTR text, ACCESS_MASK access, ULONG disposition, ULONG options, HANDLE* file,
              IO_STATUS_BLOCK* io, ULONG share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE) {
  UNICODE_STRING name;
  OBJECT_ATTRIBUTES attributes;
  RtlInitUnicodeString(&name, text);
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  return ZwCreateFile(file, access | SYNCHRONIZE, &attributes, io, nullptr, FILE_ATTRIBUTE_NORMAL, share,
                      disposition, options | FILE_SYNCHRONOUS_IO_NONALERT, nullptr, 0);
}

NTSTATUS Delete(PCWSTR text) {
  UNICODE_STRING name;
  OBJECT_ATTRIBUTES attributes;
  RtlInitUnicodeString(&name, text);
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  return ZwDeleteFile(&attributes);
}

}  // namespace

NT_TEST(KernelIo, WhatIsWrittenIsRead) {
  HANDLE file;
  IO_STATUS_BLOCK io;
  char data[] = "0123456789", back[16] = {};
  NT_ASSERT_SUCCESS(Open(L"\\DosDevices\\C:\\io_test.txt", GENERIC_READ | GENERIC_WRITE, FILE_OVERWRITE_IF,
                         FILE_NON_DIRECTORY_FILE, &file, &io));
  NT_EXPECT_TRUE(io.Information == FILE_CREATED || io.Information == FILE_OVERWRITTEN);
  NT_EXPECT_SUCCESS(ZwWriteFile(file, nullptr, nullptr, nullptr, &io, data, 10, nullptr, nullptr));
  NT_EXPECT_EQ(io.Information, 10);
  LARGE_INTEGER offset = {};
  offset.QuadPart = 4;
  NT_EXPECT_SUCCESS(ZwReadFile(file, nullptr, nullptr, nullptr, &io, back, sizeof(back), &offset, nullptr));
  NT_EXPECT_EQ(io.Information, 6);
  NT_EXPECT_EQ(RtlCompareMemory(back, "456789", 6), 6);
  NT_EXPECT_EQ(ZwReadFile(file, nullptr, nullptr, nullptr, &io, back, sizeof(back), nullptr, nullptr),
               STATUS_END_OF_FILE);
  FILE_STANDARD_INFORMATION standard = {};
  NT_EXPECT_SUCCESS(ZwQueryInformationFile(file, &io, &standard, sizeof(standard), FileStandardInformation));
  NT_EXPECT_EQ(standard.EndOfFile.QuadPart, 10);
  NT_EXPECT_TRUE(!standard.Directory);
  FILE_END_OF_FILE_INFORMATION end = {};
  end.EndOfFile.QuadPart = 3;
  NT_EXPECT_SUCCESS(ZwSetInformationFile(file, &io, &end, sizeof(end), FileEndOfFileInformation));
  NT_EXPECT_SUCCESS(ZwQueryInformationFile(file, &io, &standard, sizeof(standard), FileStandardInformation));
  NT_EXPECT_EQ(standard.EndOfFile.QuadPart, 3);
  NT_EXPECT_SUCCESS(ZwClose(file));
  NT_EXPECT_SUCCESS(Delete(L"\\DosDevices\\C:\\io_test.txt"));
}

NT_TEST(KernelIo, MissingNamesHaveTheirStatuses) {
  HANDLE file;
  IO_STATUS_BLOCK io;
  NT_EXPECT_EQ(Open(L"\\DosDevices\\C:\\absent.txt", GENERIC_READ, FILE_OPEN, 0, &file, &io),
               STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_EQ(Open(L"\\DosDevices\\C:\\absent\\file.txt", GENERIC_READ, FILE_OPEN, 0, &file, &io),
               STATUS_OBJECT_PATH_NOT_FOUND);
  NT_EXPECT_EQ(Open(L"\\DosDevices\\C:\\absent\\file.txt", GENERIC_WRITE, FILE_CREATE, 0, &file, &io),
               STATUS_OBJECT_PATH_NOT_FOUND);
  NT_EXPECT_TRUE(!NT_SUCCESS(Open(L"\\DosDevices\\Q:\\file.txt", GENERIC_READ, FILE_OPEN, 0, &file, &io)));
}

NT_TEST(KernelIo, PathsCannotLeaveTheFolder) {
  HANDLE file;
  IO_STATUS_BLOCK io;
  NT_EXPECT_TRUE(
      !NT_SUCCESS(Open(L"\\DosDevices\\C:\\..\\escape.txt", GENERIC_WRITE, FILE_CREATE, 0, &file, &io)));
  NT_EXPECT_TRUE(
      !NT_SUCCESS(Open(L"\\DosDevices\\C:\\a/../../escape.txt", GENERIC_WRITE, FILE_CREATE, 0, &file, &io)));
}

NT_TEST(KernelIo, CreateCollidesAndNamesIgnoreCase) {
  HANDLE file, other;
  IO_STATUS_BLOCK io;
  NT_ASSERT_SUCCESS(Open(L"\\DosDevices\\C:\\Case.TXT", GENERIC_WRITE, FILE_CREATE, 0, &file, &io));
  ZwClose(file);
  NT_EXPECT_EQ(Open(L"\\DosDevices\\C:\\case.txt", GENERIC_WRITE, FILE_CREATE, 0, &other, &io),
               STATUS_OBJECT_NAME_COLLISION);
  NT_EXPECT_SUCCESS(Open(L"\\DosDevices\\c:\\cASE.txt", GENERIC_READ, FILE_OPEN, 0, &file, &io));
  NT_EXPECT_EQ(io.Information, FILE_OPENED);
  ZwClose(file);
  NT_EXPECT_SUCCESS(Delete(L"\\DosDevices\\C:\\CASE.txt"));
}

NT_TEST(KernelIo, SharingIsHonoured) {
  HANDLE file, other;
  IO_STATUS_BLOCK io;
  NT_ASSERT_SUCCESS(Open(L"\\DosDevices\\C:\\share.txt", GENERIC_WRITE, FILE_OVERWRITE_IF, 0, &file, &io, 0));
  NT_EXPECT_EQ(Open(L"\\DosDevices\\C:\\share.txt", GENERIC_READ, FILE_OPEN, 0, &other, &io),
               STATUS_SHARING_VIOLATION);
  ZwClose(file);
  NT_EXPECT_SUCCESS(Open(L"\\DosDevices\\C:\\share.txt", GENERIC_READ, FILE_OPEN, 0, &other, &io));
  ZwClose(other);
  NT_EXPECT_SUCCESS(Delete(L"\\DosDevices\\C:\\share.txt"));
}

NT_TEST(KernelIo, DispositionDeletesAtTheLastClose) {
  HANDLE file;
  IO_STATUS_BLOCK io;
  NT_ASSERT_SUCCESS(
      Open(L"\\DosDevices\\C:\\gone.txt", DELETE | GENERIC_WRITE, FILE_OVERWRITE_IF, 0, &file, &io));
  FILE_DISPOSITION_INFORMATION disposition = {TRUE};
  NT_EXPECT_SUCCESS(
      ZwSetInformationFile(file, &io, &disposition, sizeof(disposition), FileDispositionInformation));
  ZwClose(file);
  NT_EXPECT_EQ(Open(L"\\DosDevices\\C:\\gone.txt", GENERIC_READ, FILE_OPEN, 0, &file, &io),
               STATUS_OBJECT_NAME_NOT_FOUND);
}

NT_TEST(KernelIo, ADirectoryIsListed) {
  HANDLE folder, file;
  IO_STATUS_BLOCK io;
  NT_ASSERT_SUCCESS(Open(L"\\DosDevices\\C:\\listed", FILE_LIST_DIRECTORY, FILE_OPEN_IF, FILE_DIRECTORY_FILE,
                         &folder, &io));
  NT_ASSERT_SUCCESS(
      Open(L"\\DosDevices\\C:\\listed\\one.txt", GENERIC_WRITE, FILE_OVERWRITE_IF, 0, &file, &io));
  ZwClose(file);
  struct {
    FILE_DIRECTORY_INFORMATION header;
    WCHAR rest[64];
  } entry = {};
  bool found = false;
  for (int i = 0; i < 10; ++i) {
    const NTSTATUS status =
        ZwQueryDirectoryFile(folder, nullptr, nullptr, nullptr, &io, &entry, sizeof(entry),
                             FileDirectoryInformation, TRUE, nullptr, i == 0);
    if (!NT_SUCCESS(status)) {
      NT_EXPECT_EQ(status, STATUS_NO_MORE_FILES);
      break;
    }
    const PWSTR name = reinterpret_cast<PWSTR>(reinterpret_cast<PUCHAR>(&entry) +
                                               FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, FileName));
    found |= entry.header.FileNameLength == 14 && RtlCompareMemory(name, L"one.txt", 14) == 14;
  }
  NT_EXPECT_TRUE(found);
  ZwClose(folder);
  NT_EXPECT_EQ(
      Open(L"\\DosDevices\\C:\\listed", GENERIC_READ, FILE_OPEN, FILE_NON_DIRECTORY_FILE, &file, &io),
      STATUS_FILE_IS_A_DIRECTORY);
  NT_EXPECT_SUCCESS(Delete(L"\\DosDevices\\C:\\listed\\one.txt"));
  NT_EXPECT_SUCCESS(Delete(L"\\DosDevices\\C:\\listed"));
}
