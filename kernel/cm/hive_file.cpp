// The system hive's file. It is written to a new file, flushed and renamed over the old one: whenever the
// machine stops, one of the two is there, whole. A file that does not check is left alone and nothing is
// written in this session.
#include "cm_internal.h"

namespace cm {
namespace {

constexpr wchar_t kFile[] = L"\\SystemRoot\\System32\\config\\SYSTEM";
constexpr wchar_t kNewFile[] = L"\\SystemRoot\\System32\\config\\SYSTEM.new";
constexpr ULONG kTag = 'fHMC';
constexpr ULONG kMaximumSize = 64 * 1024 * 1024;

NTSTATUS OpenFile(const wchar_t* path, ACCESS_MASK access, ULONG disposition, HANDLE* file) {
  UNICODE_STRING name = ob::String(path);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  IO_STATUS_BLOCK iosb;
  return ZwCreateFile(file, access | SYNCHRONIZE, &attributes, &iosb, nullptr, FILE_ATTRIBUTE_NORMAL, 0,
                      disposition, FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE, nullptr, 0);
}

NTSTATUS ReadWhole(HANDLE file, UCHAR** data, ULONG* size) {
  IO_STATUS_BLOCK iosb;
  FILE_STANDARD_INFORMATION standard;
  NTSTATUS status = ZwQueryInformationFile(file, &iosb, &standard, sizeof(standard), FileStandardInformation);
  if (!NT_SUCCESS(status)) return status;
  if (standard.EndOfFile.QuadPart == 0 || standard.EndOfFile.QuadPart > kMaximumSize)
    return STATUS_REGISTRY_CORRUPT;
  *size = static_cast<ULONG>(standard.EndOfFile.QuadPart);
  *data = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, *size, kTag));
  if (*data == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  LARGE_INTEGER offset = {};
  status = ZwReadFile(file, nullptr, nullptr, nullptr, &iosb, *data, *size, &offset, nullptr);
  if (NT_SUCCESS(status) && iosb.Information != *size) status = STATUS_REGISTRY_CORRUPT;
  if (!NT_SUCCESS(status)) ExFreePoolWithTag(*data, kTag);
  return status;
}

NTSTATUS WriteWhole(const UCHAR* data, ULONG size) {
  HANDLE file;
  NTSTATUS status = OpenFile(kNewFile, FILE_WRITE_DATA | DELETE, FILE_OVERWRITE_IF, &file);
  if (!NT_SUCCESS(status)) return status;
  IO_STATUS_BLOCK iosb;
  LARGE_INTEGER offset = {};
  status =
      ZwWriteFile(file, nullptr, nullptr, nullptr, &iosb, const_cast<UCHAR*>(data), size, &offset, nullptr);
  if (NT_SUCCESS(status)) status = ZwFlushBuffersFile(file, &iosb);
  if (NT_SUCCESS(status)) {
    struct {
      FILE_RENAME_INFORMATION rename;
      WCHAR rest[16];
    } target = {};
    constexpr wchar_t kName[] = L"SYSTEM";
    target.rename.ReplaceIfExists = TRUE;
    target.rename.FileNameLength = sizeof(kName) - sizeof(WCHAR);
    RtlCopyMemory(target.rename.FileName, kName, sizeof(kName) - sizeof(WCHAR));
    status = ZwSetInformationFile(file, &iosb, &target, sizeof(target), FileRenameInformation);
  }
  ZwClose(file);
  return status;
}

}  // namespace
}  // namespace cm

extern "C" NTSTATUS CmLoadSystemHive() {
  HANDLE file;
  NTSTATUS status = cm::OpenFile(cm::kFile, FILE_READ_DATA, FILE_OPEN, &file);
  if (status == STATUS_OBJECT_NAME_NOT_FOUND || status == STATUS_OBJECT_PATH_NOT_FOUND) {
    cm::g_may_write = true;
    return STATUS_SUCCESS;
  }
  if (!NT_SUCCESS(status)) return status;
  UCHAR* data = nullptr;
  ULONG size = 0;
  status = cm::ReadWhole(file, &data, &size);
  ZwClose(file);
  if (!NT_SUCCESS(status)) return status;
  {
    cm::RegistryLock lock(cm::RegistryLock::Access::kExclusive);
    status = cm::StatusOf(cm::ReadHive(data, size, cm::g_system));
    cm::g_may_write = NT_SUCCESS(status);
    cm::g_dirty = false;
  }
  ExFreePoolWithTag(data, cm::kTag);
  return status;
}

extern "C" NTSTATUS CmFlushHives() {
  UCHAR* data = nullptr;
  size_t size = 0;
  {
    cm::RegistryLock lock(cm::RegistryLock::Access::kExclusive);
    if (!cm::g_dirty) return STATUS_SUCCESS;
    if (!cm::g_may_write) return STATUS_REGISTRY_CORRUPT;
    size = cm::WriteHive(cm::g_system, nullptr, 0);
    data = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, size, cm::kTag));
    if (data == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    cm::WriteHive(cm::g_system, data, size);
    cm::g_dirty = false;
  }
  NTSTATUS status = cm::WriteWhole(data, static_cast<ULONG>(size));
  ExFreePoolWithTag(data, cm::kTag);
  if (!NT_SUCCESS(status)) cm::g_dirty = true;
  return status;
}
