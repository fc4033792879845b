// The images of programs, and ntdll.dll in all of them.
#include "user_image.h"

#include "ke/ke.h"
#include "mm/image_parser.h"
#include "mm/mm.h"

extern "C" {
extern const UCHAR PspNtdllFile[], PspNtdllFileEnd[], PspProgramFile[], PspProgramFileEnd[];
NTSTATUS NTAPI ZwCreateSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess,
                               POBJECT_ATTRIBUTES ObjectAttributes, PLARGE_INTEGER MaximumSize,
                               ULONG SectionPageProtection, ULONG AllocationAttributes, HANDLE FileHandle);
NTSTATUS NTAPI ZwMapViewOfSection(HANDLE SectionHandle, HANDLE ProcessHandle, PVOID* BaseAddress,
                                  ULONG_PTR ZeroBits, SIZE_T CommitSize, PLARGE_INTEGER SectionOffset,
                                  PSIZE_T ViewSize, SECTION_INHERIT InheritDisposition, ULONG AllocationType,
                                  ULONG Win32Protect);
}

namespace ps {

namespace {
WCHAR ntdll_path[] = L"\\??\\C:\\Windows\\System32\\ntdll.dll";
constexpr USHORT kNtdllPathBytes = sizeof(ntdll_path) - sizeof(WCHAR);
constexpr ULONG kTag = 'iPsP';
constexpr ULONG kSecImage = 0x01000000;

// ntdll.dll, once it has been opened.
EX_PUSH_LOCK g_lock;
HANDLE g_section;
PFILE_OBJECT g_file;
NtdllEntries g_entries;

NTSTATUS Open(const UNICODE_STRING& path, ACCESS_MASK access, ULONG disposition, HANDLE* handle) {
  UNICODE_STRING name = path;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  IO_STATUS_BLOCK iosb;
  return ZwCreateFile(handle, access | SYNCHRONIZE, &attributes, &iosb, nullptr, FILE_ATTRIBUTE_NORMAL,
                      FILE_SHARE_READ | FILE_SHARE_DELETE, disposition,
                      FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE, nullptr, 0);
}

NTSTATUS Write(HANDLE file, const BuiltInFile& content) {
  IO_STATUS_BLOCK iosb;
  LARGE_INTEGER offset = {};
  return ZwWriteFile(file, nullptr, nullptr, nullptr, &iosb, const_cast<UCHAR*>(content.data),
                     static_cast<ULONG>(content.bytes), &offset, nullptr);
}

// Whether the file has exactly these bytes.
bool Equals(HANDLE file, const BuiltInFile& content) {
  FILE_STANDARD_INFORMATION standard;
  IO_STATUS_BLOCK iosb;
  if (!NT_SUCCESS(ZwQueryInformationFile(file, &iosb, &standard, sizeof(standard), FileStandardInformation)))
    return false;
  if (static_cast<SIZE_T>(standard.EndOfFile.QuadPart) != content.bytes) return false;
  PVOID bytes = ExAllocatePoolWithTag(NonPagedPoolNx, content.bytes, kTag);
  if (bytes == nullptr) return false;
  LARGE_INTEGER offset = {};
  const NTSTATUS status = ZwReadFile(file, nullptr, nullptr, nullptr, &iosb, bytes,
                                     static_cast<ULONG>(content.bytes), &offset, nullptr);
  const bool equal = NT_SUCCESS(status) && iosb.Information == content.bytes &&
                     RtlCompareMemory(bytes, content.data, content.bytes) == content.bytes;
  ExFreePoolWithTag(bytes, kTag);
  return equal;
}

NTSTATUS CreateImageSection(HANDLE file, HANDLE* section) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  return ZwCreateSection(section, SECTION_ALL_ACCESS, &attributes, nullptr, PAGE_EXECUTE, kSecImage, file);
}

NTSTATUS MapSection(PEPROCESS process, HANDLE section, MappedImage* image) {
  *image = {};
  KAPC_STATE state;
  KeStackAttachProcess(&process->Pcb, &state);
  const NTSTATUS status = ZwMapViewOfSection(section, ZwCurrentProcess(), &image->base, 0, 0, nullptr,
                                             &image->bytes, ViewUnmap, 0, PAGE_EXECUTE_WRITECOPY);
  KeUnstackDetachProcess(&state);
  return status;
}

ULONG FindEntry(const mm::ImageView& view, const mm::ImageInfo& info, const char* name) {
  return mm::FindExportByName(view, info.directories[mm::kExportDirectory], name).rva;
}

DECLSPEC_NOINLINE NTSTATUS FindEntriesGuarded(const MappedImage& image, mm::ImageInfo* info) {
  __try {
    const mm::ImageView view = {static_cast<uint8_t*>(image.base), image.bytes};
    const char* reason;
    if (mm::ParseProgram({view.base, PAGE_SIZE}, ~0ull >> 1, info, &reason) != mm::ImageError::kNone)
      return STATUS_INVALID_IMAGE_FORMAT;
    g_entries = {FindEntry(view, *info, "LdrInitializeThunk"), FindEntry(view, *info, "RtlUserThreadStart"),
                 FindEntry(view, *info, "KiUserApcDispatcher"),
                 FindEntry(view, *info, "KiUserExceptionDispatcher")};
    __asm__ volatile("nop");
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return static_cast<NTSTATUS>(_exception_code());
  }
  const bool all = g_entries.initialize != 0 && g_entries.thread_start != 0 && g_entries.apc != 0 &&
                   g_entries.exception != 0;
  return all ? STATUS_SUCCESS : STATUS_ENTRYPOINT_NOT_FOUND;
}

NTSTATUS FindEntries(PEPROCESS process, const MappedImage& image) {
  auto* info =
      static_cast<mm::ImageInfo*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(mm::ImageInfo), kTag));
  if (info == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  KAPC_STATE state;
  KeStackAttachProcess(&process->Pcb, &state);
  const NTSTATUS status = FindEntriesGuarded(image, info);
  KeUnstackDetachProcess(&state);
  ExFreePoolWithTag(info, kTag);
  return status;
}

// The push lock is held.
NTSTATUS OpenNtdll() {
  if (g_section != nullptr) return STATUS_SUCCESS;
  const BuiltInFile content = {PspNtdllFile, static_cast<SIZE_T>(PspNtdllFileEnd - PspNtdllFile)};
  FileHandle file;
  NTSTATUS status = OpenOrMake(kNtdllPath, content, &file);
  if (NT_SUCCESS(status) && !Equals(file.handle, content)) {
    ZwClose(file.handle);
    file.handle = nullptr;
    status = Open(kNtdllPath, FILE_READ_DATA | FILE_WRITE_DATA, FILE_OVERWRITE, &file.handle);
    if (NT_SUCCESS(status)) status = Write(file.handle, content);
  }
  PVOID object = nullptr;
  if (NT_SUCCESS(status))
    status = ObReferenceObjectByHandle(file.handle, 0, nullptr, KernelMode, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  g_file = static_cast<PFILE_OBJECT>(object);
  status = CreateImageSection(file.handle, &g_section);
  if (!NT_SUCCESS(status)) {
    g_section = nullptr;
    ObfDereferenceObject(g_file);
  }
  return status;
}

}  // namespace

const UNICODE_STRING kNtdllPath = {kNtdllPathBytes, kNtdllPathBytes, ntdll_path};

BuiltInFile ProgramFile() {
  return {PspProgramFile, static_cast<SIZE_T>(PspProgramFileEnd - PspProgramFile)};
}

NTSTATUS OpenOrMake(const UNICODE_STRING& path, const BuiltInFile& content, FileHandle* file) {
  const NTSTATUS status = Open(path, FILE_READ_DATA | FILE_EXECUTE, FILE_OPEN, &file->handle);
  if (status != STATUS_OBJECT_NAME_NOT_FOUND) return status;
  {
    FileHandle made;
    NTSTATUS making = Open(path, FILE_READ_DATA | FILE_WRITE_DATA, FILE_CREATE, &made.handle);
    if (NT_SUCCESS(making)) making = Write(made.handle, content);
    if (!NT_SUCCESS(making)) return making;
  }
  return Open(path, FILE_READ_DATA | FILE_EXECUTE, FILE_OPEN, &file->handle);
}

NTSTATUS MapImageFile(PEPROCESS process, HANDLE file, MappedImage* image) {
  HANDLE section;
  NTSTATUS status = CreateImageSection(file, &section);
  if (!NT_SUCCESS(status)) return status;
  status = MapSection(process, section, image);
  ZwClose(section);
  return status;
}

NTSTATUS MapNtdll(PEPROCESS process, MappedImage* image) {
  NTSTATUS status;
  {
    ob::PushLockGuard guard(&g_lock, ob::PushLockGuard::Access::kExclusive);
    status = OpenNtdll();
  }
  if (NT_SUCCESS(status)) status = MapSection(process, g_section, image);
  if (!NT_SUCCESS(status)) return status;
  process->SystemDllBase = image->base;
  return g_entries.initialize != 0 ? STATUS_SUCCESS : FindEntries(process, *image);
}

PFILE_OBJECT NtdllFileObject() {
  return g_file;
}

const NtdllEntries& EntriesOfNtdll() {
  return g_entries;
}

ULONG HeaderField(PVOID base, ULONG offset) {
  ULONG header = 0, value = 0;
  const auto* bytes = static_cast<const UCHAR*>(base);
  if (!NT_SUCCESS(KeCopyFromUser(&header, bytes + 0x3C, sizeof(header))) ||
      !NT_SUCCESS(KeCopyFromUser(&value, bytes + header + offset, sizeof(value))))
    return 0;
  return value;
}

}  // namespace ps
