// Images in programs: files, sections, the addresses at which ntdll.dll is entered.
#pragma once

#include "ke/user_mode.h"
#include "ps_internal.h"

namespace ps {

struct FileHandle {
  HANDLE handle = nullptr;
  FileHandle() = default;
  ~FileHandle() {
    if (handle != nullptr) ZwClose(handle);
  }
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
};

// A file's bytes as they are in the kernel's image.
struct BuiltInFile {
  const UCHAR* data;
  SIZE_T bytes;
};
BuiltInFile ProgramFile();

// Opens a file for reading; creates it with these bytes where it is not there.
NTSTATUS OpenOrMake(const UNICODE_STRING& path, const BuiltInFile& content, FileHandle* file);

struct MappedImage {
  PVOID base;
  SIZE_T bytes;
};
// Maps the image in a file into a process.
NTSTATUS MapImageFile(PEPROCESS process, HANDLE file, MappedImage* image);
// Maps C:\Windows\System32\ntdll.dll, which becomes the kernel's own version if it is another.
NTSTATUS MapNtdll(PEPROCESS process, MappedImage* image);
// ntdll.dll's file; it lies in some process.
PFILE_OBJECT NtdllFileObject();
extern const UNICODE_STRING kNtdllPath;

// Routines of ntdll.dll, relative to its base. Known when it has been mapped once.
struct NtdllEntries {
  ULONG initialize;  // LdrInitializeThunk
  ULONG thread_start;
  ULONG apc;
  ULONG exception;
};
const NtdllEntries& EntriesOfNtdll();

// A 32-bit field of the PE header of the image at an address of the current address space; 0 where that
// cannot be read.
inline constexpr ULONG kEntryPointField = 24 + 16, kSizeOfImageField = 24 + 56;
ULONG HeaderField(PVOID base, ULONG offset);

}  // namespace ps
