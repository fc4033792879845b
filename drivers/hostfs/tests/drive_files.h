// Files on C: as a driver sees them. Part of the guest tests of hostfs.
#pragma once

#include "nt_test.h"

#include <ntstrsafe.h>

namespace drive {

inline constexpr ULONG kShareAll = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

struct Opened {
  NTSTATUS status;
  ULONG_PTR information;
  HANDLE handle;
};

inline Opened Open(PCWSTR path, ACCESS_MASK access, ULONG disposition, ULONG options, ULONG share = kShareAll,
                   ULONG attributes = FILE_ATTRIBUTE_NORMAL) {
  UNICODE_STRING name;
  OBJECT_ATTRIBUTES object;
  IO_STATUS_BLOCK io = {};
  Opened opened = {};
  RtlInitUnicodeString(&name, path);
  InitializeObjectAttributes(&object, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  opened.status = ZwCreateFile(&opened.handle, access | SYNCHRONIZE, &object, &io, nullptr, attributes, share,
                               disposition, options | FILE_SYNCHRONOUS_IO_NONALERT, nullptr, 0);
  opened.information = io.Information;
  return opened;
}

// Creates or replaces a file with a text; its status.
inline NTSTATUS Put(PCWSTR path, const char* text) {
  const Opened file = Open(path, GENERIC_WRITE, FILE_OVERWRITE_IF, FILE_NON_DIRECTORY_FILE);
  if (!NT_SUCCESS(file.status)) return file.status;
  IO_STATUS_BLOCK io;
  const NTSTATUS status = ZwWriteFile(file.handle, nullptr, nullptr, nullptr, &io, const_cast<char*>(text),
                                      static_cast<ULONG>(strlen(text)), nullptr, nullptr);
  ZwClose(file.handle);
  return status;
}

// Whether a file holds exactly a text.
inline bool Holds(PCWSTR path, const char* text) {
  const Opened file = Open(path, GENERIC_READ, FILE_OPEN, FILE_NON_DIRECTORY_FILE);
  if (!NT_SUCCESS(file.status)) return false;
  char buffer[256];
  IO_STATUS_BLOCK io = {};
  const NTSTATUS status =
      ZwReadFile(file.handle, nullptr, nullptr, nullptr, &io, buffer, sizeof buffer, nullptr, nullptr);
  ZwClose(file.handle);
  const SIZE_T length = strlen(text);
  if (length == 0) return status == STATUS_END_OF_FILE;
  return NT_SUCCESS(status) && io.Information == length && RtlCompareMemory(buffer, text, length) == length;
}

inline NTSTATUS Rename(HANDLE file, PCWSTR target, BOOLEAN replace) {
  union {
    FILE_RENAME_INFORMATION rename;
    UCHAR bytes[256];
  } u = {};
  IO_STATUS_BLOCK io;
  u.rename.ReplaceIfExists = replace;
  u.rename.FileNameLength = static_cast<ULONG>(wcslen(target) * sizeof(WCHAR));
  RtlCopyMemory(u.rename.FileName, target, u.rename.FileNameLength);
  return ZwSetInformationFile(file, &io, &u, sizeof u, FileRenameInformation);
}

inline NTSTATUS Delete(PCWSTR path) {
  UNICODE_STRING name;
  OBJECT_ATTRIBUTES object;
  RtlInitUnicodeString(&name, path);
  InitializeObjectAttributes(&object, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  return ZwDeleteFile(&object);
}

inline NTSTATUS Dispose(HANDLE file, BOOLEAN remove) {
  IO_STATUS_BLOCK io;
  FILE_DISPOSITION_INFORMATION disposition = {remove};
  return ZwSetInformationFile(file, &io, &disposition, sizeof disposition, FileDispositionInformation);
}

inline LONGLONG SizeOf(HANDLE file) {
  IO_STATUS_BLOCK io;
  FILE_STANDARD_INFORMATION standard = {};
  const NTSTATUS status =
      ZwQueryInformationFile(file, &io, &standard, sizeof standard, FileStandardInformation);
  return NT_SUCCESS(status) ? standard.EndOfFile.QuadPart : -1;
}

inline void MakeDirectory(PCWSTR path) {
  const Opened made = Open(path, FILE_LIST_DIRECTORY, FILE_OPEN_IF, FILE_DIRECTORY_FILE);
  if (NT_SUCCESS(made.status)) ZwClose(made.handle);
}

}  // namespace drive
