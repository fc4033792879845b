// Extended attributes of files.
#include "io_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "user_mode.h"

namespace {

constexpr ULONG kMaximumEaList = 0x10000;

// A list of FILE_GET_EA_INFORMATION: every entry inside the list, every name inside its entry.
NTSTATUS CheckGetList(const UCHAR* list, ULONG length) {
  constexpr ULONG kFixed = FIELD_OFFSET(FILE_GET_EA_INFORMATION, EaName);
  for (ULONG at = 0;;) {
    if (length - at < kFixed) return STATUS_EA_LIST_INCONSISTENT;
    const auto* entry = reinterpret_cast<const FILE_GET_EA_INFORMATION*>(list + at);
    if (length - at < kFixed + entry->EaNameLength + 1u) return STATUS_EA_LIST_INCONSISTENT;
    if (entry->NextEntryOffset == 0) return STATUS_SUCCESS;
    const ULONG least = (kFixed + entry->EaNameLength + 1u + 3) & ~3u;
    if (entry->NextEntryOffset < least || entry->NextEntryOffset % sizeof(ULONG) != 0 ||
        entry->NextEntryOffset > length - at)
      return STATUS_EA_LIST_INCONSISTENT;
    at += entry->NextEntryOffset;
  }
}

// The list goes with the IRP, in its auxiliary buffer.
NTSTATUS AttachList(io::FileService* service, PIO_STACK_LOCATION stack, PVOID list, ULONG length) {
  if (list == nullptr || length == 0) return STATUS_SUCCESS;
  if (length > kMaximumEaList) return STATUS_INVALID_PARAMETER;
  PVOID copy = ExAllocatePoolWithTag(NonPagedPoolNx, length, kNameTag);
  if (copy == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  service->irp->Tail.Overlay.AuxiliaryBuffer = static_cast<PCHAR>(copy);
  stack->Parameters.QueryEa.EaList = copy;
  stack->Parameters.QueryEa.EaListLength = length;
  const NTSTATUS status = io::CopyFromCaller(copy, list, length);
  return NT_SUCCESS(status) ? CheckGetList(static_cast<const UCHAR*>(copy), length) : status;
}

}  // namespace

/// Reads a file's extended attributes; see ZwQueryEaFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtQueryEaFile.
NT_EXPORT(NtQueryEaFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoInformation.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtQueryEaFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock,
                                                          PVOID Buffer, ULONG Length,
                                                          BOOLEAN ReturnSingleEntry, PVOID EaList,
                                                          ULONG EaListLength, PULONG EaIndex,
                                                          BOOLEAN RestartScan) {
  ULONG index = 0;
  NTSTATUS status = io::ProbeCallerWrite(IoStatusBlock, sizeof(*IoStatusBlock), sizeof(ULONG));
  if (NT_SUCCESS(status)) status = io::ProbeCallerWrite(Buffer, Length, sizeof(ULONG));
  if (NT_SUCCESS(status) && EaIndex != nullptr) status = io::CopyFromCaller(&index, EaIndex, sizeof(index));
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(FileHandle, nullptr, &service);
  if (status != STATUS_SUCCESS) return status;
  if (!(service.granted & FILE_READ_EA)) return io::AbandonService(&service, STATUS_ACCESS_DENIED);
  PIO_STACK_LOCATION stack = io::PrepareIrp(&service, IoStatusBlock, nullptr, nullptr, IRP_MJ_QUERY_EA);
  if (stack == nullptr) return io::AbandonService(&service, STATUS_INSUFFICIENT_RESOURCES);
  stack->Flags =
      static_cast<UCHAR>((ReturnSingleEntry ? SL_RETURN_SINGLE_ENTRY : 0) |
                         (RestartScan ? SL_RESTART_SCAN : 0) | (EaIndex != nullptr ? SL_INDEX_SPECIFIED : 0));
  stack->Parameters.QueryEa.Length = Length;
  stack->Parameters.QueryEa.EaIndex = index;
  status = AttachList(&service, stack, EaList, EaListLength);
  if (NT_SUCCESS(status)) status = io::AttachOutput(&service, Buffer, Length);
  return io::FinishService(&service, status);
}

/// Reads a file's extended attributes: all, or those of a list.
/// Returns: STATUS_EAS_NOT_SUPPORTED by file systems that have none, STATUS_EA_LIST_INCONSISTENT.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; C: has no extended attributes.
/// Source: WDK ntifs/ZwQueryEaFile.
NT_EXPORT(ZwQueryEaFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoInformation.*");
extern "C" NTSTATUS NTAPI ZwQueryEaFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer,
                                        ULONG Length, BOOLEAN ReturnSingleEntry, PVOID EaList,
                                        ULONG EaListLength, PULONG EaIndex, BOOLEAN RestartScan) {
  return ke::CallService(NtQueryEaFile, FileHandle, IoStatusBlock, Buffer, Length, ReturnSingleEntry, EaList,
                         EaListLength, EaIndex, RestartScan);
}

/// Writes a file's extended attributes; see ZwSetEaFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtSetEaFile.
NT_EXPORT(NtSetEaFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoInformation.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtSetEaFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock,
                                                        PVOID Buffer, ULONG Length) {
  io::CapturedBuffer captured;
  NTSTATUS status = io::ProbeCallerWrite(IoStatusBlock, sizeof(*IoStatusBlock), sizeof(ULONG));
  if (NT_SUCCESS(status)) status = io::ProbeCallerRead(Buffer, Length, sizeof(ULONG));
  if (NT_SUCCESS(status) && Length == 0) status = STATUS_EA_LIST_INCONSISTENT;
  if (NT_SUCCESS(status)) status = captured.Capture(Buffer, Length);
  ULONG wrong = 0;
  if (NT_SUCCESS(status)) {
    status = IoCheckEaBufferValidity(static_cast<PFILE_FULL_EA_INFORMATION>(captured.get()), Length, &wrong);
    const IO_STATUS_BLOCK where = {{status}, wrong};
    if (!NT_SUCCESS(status)) (void)io::CopyToCaller(IoStatusBlock, &where, sizeof(where));
  }
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(FileHandle, nullptr, &service);
  if (status != STATUS_SUCCESS) return status;
  if (!(service.granted & FILE_WRITE_EA)) return io::AbandonService(&service, STATUS_ACCESS_DENIED);
  PIO_STACK_LOCATION stack = io::PrepareIrp(&service, IoStatusBlock, nullptr, nullptr, IRP_MJ_SET_EA);
  if (stack == nullptr) return io::AbandonService(&service, STATUS_INSUFFICIENT_RESOURCES);
  stack->Parameters.SetEa.Length = Length;
  io::AttachInput(&service, captured.Take());
  return io::FinishService(&service, STATUS_SUCCESS);
}

/// Writes extended attributes of a file.
/// Returns: as ZwQueryEaFile; for an inconsistent list IoStatusBlock->Information says where.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; C: has no extended attributes.
/// Source: WDK ntifs/ZwSetEaFile.
NT_EXPORT(ZwSetEaFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoInformation.*");
extern "C" NTSTATUS NTAPI ZwSetEaFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer,
                                      ULONG Length) {
  return ke::CallService(NtSetEaFile, FileHandle, IoStatusBlock, Buffer, Length);
}
