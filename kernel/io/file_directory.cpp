// Directories: listing them, waiting for changes below them.
#include "io_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "user_mode.h"

namespace {

// The pattern, in the IRP's auxiliary buffer: it must outlive the service, and may lie in pageable memory.
NTSTATUS AttachPattern(io::FileService* service, PIO_STACK_LOCATION stack, const UNICODE_STRING* name) {
  if (name == nullptr) return STATUS_SUCCESS;
  UNICODE_STRING given;
  NTSTATUS status = io::CopyFromCaller(&given, name, sizeof(given));
  if (!NT_SUCCESS(status) || given.Length == 0) return status;
  if (given.Length % sizeof(WCHAR) != 0) return STATUS_INVALID_PARAMETER;
  auto* copy = static_cast<PUNICODE_STRING>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(UNICODE_STRING) + given.Length, kNameTag));
  if (copy == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *copy = {given.Length, given.Length, reinterpret_cast<PWCH>(copy + 1)};
  service->irp->Tail.Overlay.AuxiliaryBuffer = reinterpret_cast<PCHAR>(copy);
  stack->Parameters.QueryDirectory.FileName = copy;
  return io::CopyFromCaller(copy->Buffer, given.Buffer, given.Length);
}

// The answer's place: a system buffer where the device wants one, else the caller's address (which a file
// system that answers in the caller's thread locks itself).
NTSTATUS AttachAnswer(io::FileService* service, PVOID buffer, ULONG length) {
  if (service->device->Flags & DO_BUFFERED_IO) return io::AttachOutput(service, buffer, length);
  service->irp->UserBuffer = buffer;
  return STATUS_SUCCESS;
}

NTSTATUS QueryDirectory(HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, PVOID apc_context,
                        PIO_STATUS_BLOCK iosb, PVOID buffer, ULONG length,
                        FILE_INFORMATION_CLASS information_class, UCHAR flags, PUNICODE_STRING name) {
  NTSTATUS status = io::ProbeCallerWrite(iosb, sizeof(*iosb), sizeof(ULONG));
  if (NT_SUCCESS(status)) status = io::ProbeCallerWrite(buffer, length, sizeof(ULONG));
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(handle, event, &service);
  if (status != STATUS_SUCCESS) return status;
  if (!(service.granted & FILE_LIST_DIRECTORY)) return io::AbandonService(&service, STATUS_ACCESS_DENIED);
  PIO_STACK_LOCATION stack = io::PrepareIrp(&service, iosb, apc, apc_context, IRP_MJ_DIRECTORY_CONTROL);
  if (stack == nullptr) return io::AbandonService(&service, STATUS_INSUFFICIENT_RESOURCES);
  stack->MinorFunction = IRP_MN_QUERY_DIRECTORY;
  stack->Flags = flags;
  stack->Parameters.QueryDirectory.Length = length;
  stack->Parameters.QueryDirectory.FileInformationClass = information_class;
  status = AttachPattern(&service, stack, name);
  if (NT_SUCCESS(status)) status = AttachAnswer(&service, buffer, length);
  return io::FinishService(&service, status);
}

}  // namespace

/// Lists a directory; see ZwQueryDirectoryFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtQueryDirectoryFile.
NT_EXPORT(NtQueryDirectoryFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoInformation.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtQueryDirectoryFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                     PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                     FILE_INFORMATION_CLASS FileInformationClass, BOOLEAN ReturnSingleEntry,
                     PUNICODE_STRING FileName, BOOLEAN RestartScan) {
  const auto flags = static_cast<UCHAR>((ReturnSingleEntry ? SL_RETURN_SINGLE_ENTRY : 0) |
                                        (RestartScan ? SL_RESTART_SCAN : 0));
  return QueryDirectory(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, FileInformation, Length,
                        FileInformationClass, flags, FileName);
}

/// Lists a directory, entry by entry or as many as the buffer holds.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwQueryDirectoryFile.
NT_EXPORT(ZwQueryDirectoryFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoInformation.*");
extern "C" NTSTATUS NTAPI ZwQueryDirectoryFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                                               PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock,
                                               PVOID FileInformation, ULONG Length,
                                               FILE_INFORMATION_CLASS FileInformationClass,
                                               BOOLEAN ReturnSingleEntry, PUNICODE_STRING FileName,
                                               BOOLEAN RestartScan) {
  return ke::CallService(NtQueryDirectoryFile, FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock,
                         FileInformation, Length, FileInformationClass, ReturnSingleEntry, FileName,
                         RestartScan);
}

/// Lists a directory, with flags: SL_RESTART_SCAN, SL_RETURN_SINGLE_ENTRY, SL_INDEX_SPECIFIED and others that
/// the file system knows.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtQueryDirectoryFileEx.
NT_EXPORT(NtQueryDirectoryFileEx, nt::AtMost(PASSIVE_LEVEL), Full, "IoInformation.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtQueryDirectoryFileEx(
    HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
    PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
    FILE_INFORMATION_CLASS FileInformationClass, ULONG QueryFlags, PUNICODE_STRING FileName) {
  if (QueryFlags > 0xFF) return STATUS_INVALID_PARAMETER;
  return QueryDirectory(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, FileInformation, Length,
                        FileInformationClass, static_cast<UCHAR>(QueryFlags), FileName);
}

/// Waits for a change below a directory: completed with FILE_NOTIFY_INFORMATION of what changed.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtNotifyChangeDirectoryFile.
NT_EXPORT(NtNotifyChangeDirectoryFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoLocks.* HostFsNotify.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtNotifyChangeDirectoryFile(
    HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
    PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, ULONG CompletionFilter, BOOLEAN WatchTree) {
  if (CompletionFilter == 0 || (CompletionFilter & ~FILE_NOTIFY_VALID_MASK)) return STATUS_INVALID_PARAMETER;
  NTSTATUS status = io::ProbeCallerWrite(IoStatusBlock, sizeof(*IoStatusBlock), sizeof(ULONG));
  if (NT_SUCCESS(status)) status = io::ProbeCallerWrite(Buffer, Length, sizeof(ULONG));
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(FileHandle, Event, &service);
  if (status != STATUS_SUCCESS) return status;
  if (!(service.granted & FILE_LIST_DIRECTORY)) return io::AbandonService(&service, STATUS_ACCESS_DENIED);
  PIO_STACK_LOCATION stack =
      io::PrepareIrp(&service, IoStatusBlock, ApcRoutine, ApcContext, IRP_MJ_DIRECTORY_CONTROL);
  if (stack == nullptr) return io::AbandonService(&service, STATUS_INSUFFICIENT_RESOURCES);
  stack->MinorFunction = IRP_MN_NOTIFY_CHANGE_DIRECTORY;
  stack->Flags = WatchTree ? SL_WATCH_TREE : 0;
  stack->Parameters.NotifyDirectory.Length = Length;
  stack->Parameters.NotifyDirectory.CompletionFilter = CompletionFilter;
  // The change comes in another thread: by way of a system buffer.
  return io::FinishService(&service, io::AttachOutput(&service, Buffer, Length));
}
