// Programs: their file, their process, their first thread.
#include "program.h"

#include "ke/ke.h"

namespace ps {
namespace {

constexpr ULONG kTag = 'gPsP';
constexpr ULONG kMinimumImageSize = 2 * PAGE_SIZE;
constexpr ULONG kMaximumImageSize = 64 * 1024 * 1024;

// Where the fields of a 64-bit image's headers stand that this file writes or reads.
constexpr ULONG kNewHeader = 0x80, kFileHeader = kNewHeader + 4, kOptionalHeader = kFileHeader + 20;

template <typename T>
void Put(UCHAR* page, ULONG offset, T value) {
  RtlCopyMemory(page + offset, &value, sizeof(value));
}

// An image without sections: headers that a loader accepts.
void WriteHeaders(UCHAR* page) {
  RtlZeroMemory(page, PAGE_SIZE);
  Put<USHORT>(page, 0, 0x5A4D);
  Put<ULONG>(page, 0x3C, kNewHeader);
  Put<ULONG>(page, kNewHeader, 0x4550);
  Put<USHORT>(page, kFileHeader, 0x8664);
  Put<USHORT>(page, kFileHeader + 16, 240);               // SizeOfOptionalHeader
  Put<USHORT>(page, kFileHeader + 18, 0x22);              // executable, large address aware
  Put<USHORT>(page, kOptionalHeader, 0x20B);              // PE32+
  Put<ULONG64>(page, kOptionalHeader + 24, 0x140000000);  // ImageBase
  Put<ULONG>(page, kOptionalHeader + 32, PAGE_SIZE);      // SectionAlignment
  Put<ULONG>(page, kOptionalHeader + 36, 512);            // FileAlignment
  Put<USHORT>(page, kOptionalHeader + 48, 6);             // MajorSubsystemVersion
  Put<ULONG>(page, kOptionalHeader + 56, kMinimumImageSize);
  Put<ULONG>(page, kOptionalHeader + 60, PAGE_SIZE);  // SizeOfHeaders
  Put<USHORT>(page, kOptionalHeader + 68, 3);         // a console program
  Put<ULONG>(page, kOptionalHeader + 108, 16);        // NumberOfRvaAndSizes
}

ULONG SizeOfImage(const UCHAR* page) {
  ULONG header, size;
  RtlCopyMemory(&header, page + 0x3C, sizeof(header));
  if (page[0] != 'M' || page[1] != 'Z' || header > PAGE_SIZE - 256) return 0;
  RtlCopyMemory(&size, page + header + 24 + 56, sizeof(size));
  return size >= PAGE_SIZE && size <= kMaximumImageSize ? size : 0;
}

struct FileHandle {
  HANDLE handle = nullptr;
  FileHandle() = default;
  ~FileHandle() {
    if (handle != nullptr) ZwClose(handle);
  }
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
};

// Opens the image; one that is not there is made.
NTSTATUS OpenImage(const UNICODE_STRING& path, FileHandle* file, UCHAR* page) {
  UNICODE_STRING name = path;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  IO_STATUS_BLOCK iosb;
  NTSTATUS status = ZwCreateFile(&file->handle, FILE_READ_DATA | SYNCHRONIZE, &attributes, &iosb, nullptr,
                                 FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ | FILE_SHARE_DELETE, FILE_OPEN,
                                 FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE, nullptr, 0);
  LARGE_INTEGER offset = {};
  RtlZeroMemory(page, PAGE_SIZE);
  if (NT_SUCCESS(status))
    return ZwReadFile(file->handle, nullptr, nullptr, nullptr, &iosb, page, PAGE_SIZE, &offset, nullptr);
  if (status != STATUS_OBJECT_NAME_NOT_FOUND) return status;
  status = ZwCreateFile(&file->handle, FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE, &attributes, &iosb,
                        nullptr, FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ | FILE_SHARE_DELETE, FILE_CREATE,
                        FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE, nullptr, 0);
  if (!NT_SUCCESS(status)) return status;
  WriteHeaders(page);
  return ZwWriteFile(file->handle, nullptr, nullptr, nullptr, &iosb, page, PAGE_SIZE, &offset, nullptr);
}

void SetImageFileName(PEPROCESS process, const UNICODE_STRING& path) {
  USHORT start = path.Length / sizeof(WCHAR);
  while (start > 0 && path.Buffer[start - 1] != L'\\') --start;
  RtlZeroMemory(process->ImageFileName, sizeof(process->ImageFileName));
  for (USHORT i = 0; i + 1u < sizeof(process->ImageFileName) && start + i < path.Length / sizeof(WCHAR);
       ++i) {
    const WCHAR c = path.Buffer[start + i];
    process->ImageFileName[i] = c < 0x80 ? static_cast<UCHAR>(c) : '?';
  }
}

// The file and its full name: what SeLocateProcessImageName answers.
NTSTATUS SetImageFile(PEPROCESS process, HANDLE handle) {
  PVOID object;
  NTSTATUS status = ObReferenceObjectByHandle(handle, 0, nullptr, KernelMode, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  process->ImageFilePointer = static_cast<PFILE_OBJECT>(object);
  ULONG length = 0;
  (void)ObQueryNameString(object, nullptr, 0, &length);
  auto* name = static_cast<POBJECT_NAME_INFORMATION>(ExAllocatePoolWithTag(NonPagedPoolNx, length, kTag));
  if (name == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  status = ObQueryNameString(object, name, length, &length);
  if (!NT_SUCCESS(status)) {
    ExFreePoolWithTag(name, kTag);
    return status;
  }
  process->SeAuditProcessCreationInfo.ImageFileName = name;
  SetImageFileName(process, name->Name);
  return STATUS_SUCCESS;
}

NTSTATUS SetCommandLine(PEPROCESS process, const UNICODE_STRING& text) {
  auto* copy = static_cast<PUNICODE_STRING>(ExAllocatePoolWithTag(NonPagedPoolNx, PackedBytes(text), kTag));
  if (copy == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  PackString(copy, text);
  process->CommandLine = copy;
  return STATUS_SUCCESS;
}

// A name alone is a file of the system's folder.
NTSTATUS FullPath(const UNICODE_STRING& image, UNICODE_STRING* path) {
  const bool full = image.Length != 0 && image.Buffer[0] == L'\\';
  UNICODE_STRING folder = full ? UNICODE_STRING{} : ob::String(L"\\??\\C:\\Windows\\System32\\");
  const ULONG bytes = folder.Length + image.Length + sizeof(WCHAR);
  if (image.Length == 0 || bytes > 0xFFFE) return STATUS_OBJECT_NAME_INVALID;
  auto* buffer = static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kTag));
  if (buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *path = {0, static_cast<USHORT>(bytes), buffer};
  (void)RtlAppendUnicodeStringToString(path, &folder);
  return RtlAppendUnicodeStringToString(path, &image);
}

// Everything but threads. The process is not yet announced.
NTSTATUS Build(PEPROCESS process, const Program& program, const UNICODE_STRING& path) {
  auto* image = static_cast<ProgramImage*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ProgramImage), kTag));
  if (image == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  NTSTATUS status;
  {
    FileHandle file;
    status = OpenImage(path, &file, image->headers);
    if (NT_SUCCESS(status)) status = SetImageFile(process, file.handle);
  }
  if (NT_SUCCESS(status)) {
    image->size = SizeOfImage(image->headers);
    if (image->size == 0) status = STATUS_INVALID_IMAGE_NOT_MZ;
  }
  const UNICODE_STRING& command_line =
      program.command_line.Length != 0 ? program.command_line : program.image;
  if (NT_SUCCESS(status)) status = SetCommandLine(process, command_line);
  if (NT_SUCCESS(status)) status = BuildUserMemory(process, image, path, command_line);
  ExFreePoolWithTag(image, kTag);
  return status;
}

NTSTATUS StartFirstThread(PEPROCESS process) {
  PETHREAD thread;
  NTSTATUS status = PrepareUserThread(process, &thread);
  if (!NT_SUCCESS(status)) return status;
  status = BuildTeb(process, thread);
  if (NT_SUCCESS(status)) status = Announce(process);
  if (NT_SUCCESS(status)) {
    StartThread(thread);
    return status;
  }
  DropThread(process, thread);
  return status;
}

// The process belongs to its own user.
NTSTATUS AssignSecurity(PEPROCESS process) {
  SECURITY_SUBJECT_CONTEXT subject = {};
  subject.PrimaryToken = process->Token;
  PSECURITY_DESCRIPTOR made = nullptr;
  const NTSTATUS status = SeAssignSecurity(nullptr, nullptr, &made, FALSE, &subject,
                                           &PsProcessType->TypeInfo.GenericMapping, NonPagedPoolNx);
  if (NT_SUCCESS(status)) ObjectToHeader(process)->SecurityDescriptor = made;
  return status;
}

NTSTATUS Create(const Program& program, PEPROCESS parent, const UNICODE_STRING& path, PEPROCESS* result) {
  PEPROCESS process;
  NTSTATUS status = CreateProcessObject(nullptr, parent, &process);
  if (!NT_SUCCESS(status)) return status;
  status = ObInsertObject(process, nullptr, 0, 0, nullptr, nullptr);
  if (!NT_SUCCESS(status)) return status;
  process->SessionId = program.session;
  PVOID inherited = process->Token;
  status = SetToken(process, program.account, program.session);
  if (NT_SUCCESS(status)) ObfDereferenceObject(inherited);
  if (NT_SUCCESS(status)) status = AssignSecurity(process);
  // The System process's handles are the kernel's.
  if (NT_SUCCESS(status) && program.inherit_handles && parent != PsInitialSystemProcess)
    status = ob::InheritHandles(process->ObjectTable, parent->ObjectTable);
  if (NT_SUCCESS(status)) status = Build(process, program, path);
  if (NT_SUCCESS(status)) status = StartFirstThread(process);
  if (!NT_SUCCESS(status)) {
    ExitProcess(process, status);
    ObfDereferenceObject(process);
    return status;
  }
  *result = process;
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS StartProgram(const Program& program, PEPROCESS* process) {
  PEPROCESS parent = PsInitialSystemProcess;
  NTSTATUS status = STATUS_SUCCESS;
  if (program.parent != nullptr)
    status = PsLookupProcessByProcessId(program.parent, &parent);
  else
    ObfReferenceObject(parent);
  if (!NT_SUCCESS(status)) return status;
  UNICODE_STRING path = {};
  status = FullPath(program.image, &path);
  if (NT_SUCCESS(status)) status = Create(program, parent, path, process);
  if (path.Buffer != nullptr) ExFreePoolWithTag(path.Buffer, kTag);
  ObfDereferenceObject(parent);
  return status;
}

NTSTATUS StartProgramThread(PEPROCESS process, HANDLE* thread_id) {
  if (process->Peb == nullptr) return STATUS_NOT_SUPPORTED;
  if (process->ExitStatus != STATUS_PENDING) return STATUS_PROCESS_IS_TERMINATING;
  PETHREAD thread;
  NTSTATUS status = PrepareUserThread(process, &thread);
  if (!NT_SUCCESS(status)) return status;
  status = BuildTeb(process, thread);
  if (!NT_SUCCESS(status)) {
    DropThread(process, thread);
    return status;
  }
  *thread_id = thread->Cid.UniqueThread;
  StartThread(thread);
  return STATUS_SUCCESS;
}

namespace {

ULONG MappedSize(PEPROCESS process) {
  ULONG header = 0, size = 0;
  __try {
    const auto* base = static_cast<const UCHAR*>(process->SectionBaseAddress);
    header = *reinterpret_cast<const ULONG*>(base + 0x3C);
    size = *reinterpret_cast<const ULONG*>(base + header + 24 + 56);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    size = 0;
  }
  return size;
}

}  // namespace
}  // namespace ps

extern "C" VOID NTAPI PspUserThreadStartup(PVOID context) {
  auto* process = static_cast<PEPROCESS>(context);
  auto* thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  ps::NotifyNewThread(thread);
  // The first thread maps the image, and says so.
  if (process->ThreadListHead.Flink == &thread->ThreadListEntry &&
      InterlockedExchange(&process->Announced, 2) == 1)
    ps::NotifyImage(&process->SeAuditProcessCreationInfo.ImageFileName->Name, process->UniqueProcessId,
                    process->SectionBaseAddress, ps::MappedSize(process), process->ImageFilePointer);
  KeWaitForSingleObject(&process->TerminateEvent, UserRequest, KernelMode, FALSE, nullptr);
  PspExitThread(process->ExitStatus);
}
