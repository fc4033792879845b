// Processes: creation, announcement, end. What a program is made of stands in program.cpp.
#include "ps_internal.h"

#include "ke/ke.h"
#include "ke/service_call.h"
#include "mm/mm.h"
#include "nt/export.h"

namespace ps {
namespace {

// The process's own part; what fails later is undone by ps::DeleteProcess.
NTSTATUS Prepare(PEPROCESS process, PEPROCESS parent) {
  InitializeListHead(&process->ThreadListHead);
  const ULONG64 table = MmCreateProcessAddressSpace();
  if (table == 0) return STATUS_INSUFFICIENT_RESOURCES;
  KeInitializeProcess(&process->Pcb, 8, ~KAFFINITY{0}, table);
  NTSTATUS status = MmInitializeProcessAddressSpace(process);
  if (NT_SUCCESS(status)) status = InheritToken(process, parent);
  if (!NT_SUCCESS(status)) return status;
  process->UniqueProcessId = NewClientId();
  process->InheritedFromUniqueProcessId = parent->UniqueProcessId;
  process->ObjectTable = ob::CreateHandleTable(process);
  if (process->ObjectTable == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  process->ExitStatus = STATUS_PENDING;
  process->SeAuditProcessCreationInfo.ImageFileName = &g_no_name;
  process->PriorityClass = 2;
  process->SessionId = parent->SessionId;
  RtlCopyMemory(process->ImageFileName, "Process", 8);
  KeQuerySystemTime(&process->CreateTime);
  return STATUS_SUCCESS;
}

void LinkProcess(PEPROCESS process) {
  ke::SpinGuard guard(&g_list_lock);
  InsertTailList(&PsActiveProcessHead, &process->ActiveProcessLinks);
}

// Those that ended last, for whoever asks after the object has gone. Under g_list_lock.
struct Ended {
  HANDLE id;
  NTSTATUS status;
};
constexpr ULONG kRemembered = 256;
Ended g_ended[kRemembered];
ULONG g_next_ended;

void Remember(PEPROCESS process) {
  ke::SpinGuard guard(&g_list_lock);
  g_ended[g_next_ended++ % kRemembered] = {process->UniqueProcessId, process->ExitStatus};
}

void Free(PVOID block) {
  if (block != nullptr) ExFreePoolWithTag(block, 0);
}

}  // namespace

NTSTATUS CreateProcessObject(POBJECT_ATTRIBUTES attributes, PEPROCESS parent, PEPROCESS* result) {
  PVOID object;
  NTSTATUS status = ObCreateObject(KernelMode, PsProcessType, attributes, KernelMode, nullptr,
                                   sizeof(EPROCESS), 0, 0, &object);
  if (!NT_SUCCESS(status)) return status;
  auto* process = static_cast<PEPROCESS>(object);
  status = Prepare(process, parent);
  if (!NT_SUCCESS(status)) {
    ObfDereferenceObject(process);
    return status;
  }
  LinkProcess(process);
  *result = process;
  return STATUS_SUCCESS;
}

VOID NTAPI DeleteProcess(PVOID object) {
  auto* process = static_cast<PEPROCESS>(object);
  if (process->ActiveProcessLinks.Flink != nullptr) {
    ke::SpinGuard guard(&g_list_lock);
    RemoveEntryList(&process->ActiveProcessLinks);
  }
  if (process->ObjectTable != nullptr) ob::DeleteHandleTable(process->ObjectTable);
  if (process->ImageFilePointer != nullptr) ObfDereferenceObject(process->ImageFilePointer);
  if (process->Token != nullptr) ObfDereferenceObject(process->Token);
  if (process->SeAuditProcessCreationInfo.ImageFileName != &g_no_name)
    Free(process->SeAuditProcessCreationInfo.ImageFileName);
  Free(process->CommandLine);
  if (process->Pcb.DirectoryTableBase != 0) MmDeleteProcessAddressSpace(process);
}

NTSTATUS Announce(PEPROCESS process) {
  if (InterlockedCompareExchange(&process->Announced, 1, 0) != 0) return STATUS_SUCCESS;
  PS_CREATE_NOTIFY_INFO information = {};
  information.Size = sizeof(information);
  information.FileOpenNameAvailable = process->ImageFilePointer != nullptr;
  information.ParentProcessId = process->InheritedFromUniqueProcessId;
  information.CreatingThreadId = reinterpret_cast<PETHREAD>(KeGetCurrentThread())->Cid;
  information.FileObject = process->ImageFilePointer;
  information.ImageFileName = &process->SeAuditProcessCreationInfo.ImageFileName->Name;
  information.CommandLine = process->CommandLine;
  NotifyProcess(process, &information);
  return information.CreationStatus;
}

void ExitProcess(PEPROCESS process, NTSTATUS status) {
  if (process == PsInitialSystemProcess || InterlockedExchange(&process->ExitNotified, 1) != 0) return;
  InterlockedCompareExchange(reinterpret_cast<volatile LONG*>(&process->ExitStatus), status, STATUS_PENDING);
  KeQuerySystemTime(&process->ExitTime);
  NotifyProcess(process, nullptr);
  ob::CloseAllHandles(process->ObjectTable);
  MmCleanProcessAddressSpace(process);
  process->Peb = nullptr;
  process->SystemDllBase = nullptr;
  Remember(process);
  KeSignalProcess(&process->Pcb);
}

bool LookupEnded(HANDLE id, NTSTATUS* status) {
  ke::SpinGuard guard(&g_list_lock);
  for (const Ended& ended : g_ended) {
    if (ended.id != id || id == nullptr) continue;
    *status = ended.status;
    return true;
  }
  return false;
}

}  // namespace ps

/// Creates a process with an empty address space, no handles and no thread; threads come by
/// PsCreateSystemThread with its handle. It ends with the last of them. Returns:
/// STATUS_INSUFFICIENT_RESOURCES.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: not documented; Windows's phase 1 makes its own by it.
NT_EXPORT(PsCreateSystemProcess, nt::Exactly(PASSIVE_LEVEL), Full, "PsProcess.*");
extern "C" NTSTATUS NTAPI PsCreateSystemProcess(PHANDLE ProcessHandle, ULONG DesiredAccess,
                                                POBJECT_ATTRIBUTES ObjectAttributes) {
  PEPROCESS process;
  const NTSTATUS status = ps::CreateProcessObject(ObjectAttributes, PsInitialSystemProcess, &process);
  if (!NT_SUCCESS(status)) return status;
  process->InheritedFromUniqueProcessId = PsGetCurrentProcessId();
  return ObInsertObject(process, nullptr, DesiredAccess, 0, nullptr, ProcessHandle);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtTerminateProcess(HANDLE ProcessHandle, NTSTATUS ExitStatus) {
  PVOID object;
  NTSTATUS status = ObReferenceObjectByHandle(ProcessHandle, PROCESS_TERMINATE, PsProcessType,
                                              KeGetCurrentThread()->PreviousMode, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  auto* process = static_cast<PEPROCESS>(object);
  if (process == PsInitialSystemProcess) {
    status = STATUS_ACCESS_DENIED;
  } else {
    status = ps::EndProcessThreads(process, ExitStatus);
    if (NT_SUCCESS(status) && process->ActiveThreads == 0) ps::ExitProcess(process, ExitStatus);
  }
  ObfDereferenceObject(process);
  return status;
}

/// Ends a process: its threads end, with the last of them the notification routines are told, its handles are
/// closed and its memory goes; who waits for the process goes on. System threads that a driver has in it go
/// on until they end by themselves. Pages that a driver has left locked in it are bug check 0x76, with
/// TrackLockedPages 0xCB. Returns: STATUS_PROCESS_IS_TERMINATING for one that has been told before.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/ZwTerminateProcess.
NT_EXPORT(ZwTerminateProcess, nt::Exactly(PASSIVE_LEVEL), Full, "PsProcess.* PsProgram.*");
extern "C" NTSTATUS NTAPI ZwTerminateProcess(HANDLE ProcessHandle, NTSTATUS ExitStatus) {
  return ke::CallService(NtTerminateProcess, ProcessHandle, ExitStatus);
}
