// Programs: their file, their process, their first thread.
#include "program.h"

#include "user_image.h"

#include "ke/ke.h"

namespace ps {
namespace {

constexpr ULONG kTag = 'gPsP';

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
  const UNICODE_STRING& command_line =
      program.command_line.Length != 0 ? program.command_line : program.image;
  FileHandle file;
  NTSTATUS status = OpenOrMake(path, ProgramFile(), &file);
  if (NT_SUCCESS(status)) status = SetImageFile(process, file.handle);
  if (NT_SUCCESS(status)) status = SetCommandLine(process, command_line);
  if (NT_SUCCESS(status)) status = BuildUserMemory(process, file.handle, path, command_line);
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

}  // namespace ps
