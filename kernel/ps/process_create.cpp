// Processes without a program: an address space, handles to it, its end.
#include "ps_internal.h"

#include "ke/ke.h"
#include "mm/mm.h"
#include "ke/service_call.h"
#include "nt/export.h"

namespace {

OBJECT_NAME_INFORMATION g_no_name;

// The process's own part; what fails later is undone by ps::DeleteProcess.
NTSTATUS Prepare(PEPROCESS process) {
  InitializeListHead(&process->ThreadListHead);
  InitializeListHead(&process->ActiveProcessLinks);
  const ULONG64 table = MmCreateProcessAddressSpace();
  if (table == 0) return STATUS_INSUFFICIENT_RESOURCES;
  KeInitializeProcess(&process->Pcb, 8, ~KAFFINITY{0}, table);
  const NTSTATUS status = MmInitializeProcessAddressSpace(process);
  if (!NT_SUCCESS(status)) return status;
  process->UniqueProcessId = ps::NewClientId();
  process->InheritedFromUniqueProcessId = PsGetCurrentProcessId();
  process->ObjectTable = ob::CreateHandleTable(process);
  if (process->ObjectTable == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  process->ExitStatus = STATUS_PENDING;
  process->SeAuditProcessCreationInfo.ImageFileName = &g_no_name;
  process->PriorityClass = 2;
  RtlCopyMemory(process->ImageFileName, "Process", 8);
  KeQuerySystemTime(&process->CreateTime);
  return STATUS_SUCCESS;
}

void LinkProcess(PEPROCESS process) {
  ob::SpinGuard guard(&ps::g_list_lock);
  InsertTailList(&PsActiveProcessHead, &process->ActiveProcessLinks);
}

}  // namespace

namespace ps {

VOID NTAPI DeleteProcess(PVOID object) {
  auto* process = static_cast<PEPROCESS>(object);
  if (process->ActiveProcessLinks.Flink != nullptr) {
    ob::SpinGuard guard(&g_list_lock);
    RemoveEntryList(&process->ActiveProcessLinks);
  }
  if (process->ObjectTable != nullptr) ob::DeleteHandleTable(process->ObjectTable);
  if (process->Pcb.DirectoryTableBase != 0) MmDeleteProcessAddressSpace(process);
}

}  // namespace ps

/// Creates a process with an empty address space and no thread; threads come by PsCreateSystemThread with its
/// handle.
/// Returns: STATUS_INSUFFICIENT_RESOURCES.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: no handles are inherited.
/// Source: not documented; Windows's phase 1 makes its own by it.
NT_EXPORT(PsCreateSystemProcess, nt::Exactly(PASSIVE_LEVEL), Partial, "PsProcess.*");
extern "C" NTSTATUS NTAPI PsCreateSystemProcess(PHANDLE ProcessHandle, ULONG DesiredAccess,
                                                POBJECT_ATTRIBUTES ObjectAttributes) {
  PVOID object;
  NTSTATUS status = ObCreateObject(KernelMode, PsProcessType, ObjectAttributes, KernelMode, nullptr,
                                   sizeof(EPROCESS), 0, 0, &object);
  if (!NT_SUCCESS(status)) return status;
  auto* process = static_cast<PEPROCESS>(object);
  status = Prepare(process);
  if (!NT_SUCCESS(status)) {
    ObfDereferenceObject(process);
    return status;
  }
  LinkProcess(process);
  return ObInsertObject(process, nullptr, DesiredAccess, 0, nullptr, ProcessHandle);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtTerminateProcess(HANDLE ProcessHandle, NTSTATUS ExitStatus) {
  PVOID object;
  NTSTATUS status = ob::ReferenceHandle(ProcessHandle, PsProcessType, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  auto* process = static_cast<PEPROCESS>(object);
  if (process->ActiveThreads != 0 || process == PsInitialSystemProcess) {
    status = STATUS_NOT_SUPPORTED;
  } else if (InterlockedCompareExchange(reinterpret_cast<volatile LONG*>(&process->ExitStatus), ExitStatus,
                                        STATUS_PENDING) != STATUS_PENDING) {
    status = STATUS_PROCESS_IS_TERMINATING;
  } else {
    KeQuerySystemTime(&process->ExitTime);
    MmCleanProcessAddressSpace(process);
  }
  ObfDereferenceObject(process);
  return status;
}

/// Ends a process that has no threads left: its memory goes at once. Pages that a driver has left locked in
/// it are bug check 0x76, with TrackLockedPages 0xCB. Returns: STATUS_PROCESS_IS_TERMINATING for one that has
/// ended, STATUS_NOT_SUPPORTED for one with threads. IRQL: PASSIVE_LEVEL. Differs from NT: threads are not
/// ended. Source: WDK ntddk/ZwTerminateProcess.
NT_EXPORT(ZwTerminateProcess, nt::Exactly(PASSIVE_LEVEL), Partial, "PsProcess.*");
extern "C" NTSTATUS NTAPI ZwTerminateProcess(HANDLE ProcessHandle, NTSTATUS ExitStatus) {
  return ke::CallService(NtTerminateProcess, ProcessHandle, ExitStatus);
}
