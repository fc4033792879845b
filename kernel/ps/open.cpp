// Handles to processes and threads by their ids.
#include "ps_internal.h"

#include "ke/service_call.h"
#include "nt/export.h"

namespace {

// Exactly one of a name and a client id: and names are for no process or thread.
NTSTATUS CheckIdentification(const OBJECT_ATTRIBUTES* attributes, const CLIENT_ID* client_id) {
  const bool named = attributes->ObjectName != nullptr;
  if (named == (client_id != nullptr)) return STATUS_INVALID_PARAMETER_MIX;
  return named ? STATUS_OBJECT_NAME_NOT_FOUND : STATUS_SUCCESS;
}

NTSTATUS LookupThread(const CLIENT_ID& client_id, PETHREAD* thread) {
  const NTSTATUS status = PsLookupThreadByThreadId(client_id.UniqueThread, thread);
  if (!NT_SUCCESS(status)) return status;
  if (client_id.UniqueProcess == nullptr || (*thread)->Cid.UniqueProcess == client_id.UniqueProcess)
    return status;
  ObfDereferenceObject(*thread);
  return STATUS_INVALID_CID;
}

}  // namespace

/// Opens a handle to the process with an id (or whose thread has the id in ClientId->UniqueThread).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: a process without a program has no descriptor: everybody may open it.
/// Source: WDK ntddk/NtOpenProcess.
NT_EXPORT(NtOpenProcess, nt::AtMost(PASSIVE_LEVEL), Full, "PsOpen.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenProcess(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess,
                                                          POBJECT_ATTRIBUTES ObjectAttributes,
                                                          PCLIENT_ID ClientId) {
  NTSTATUS status = CheckIdentification(ObjectAttributes, ClientId);
  if (!NT_SUCCESS(status)) return status;
  PEPROCESS process;
  if (ClientId->UniqueThread != nullptr) {
    PETHREAD thread;
    status = LookupThread(*ClientId, &thread);
    if (!NT_SUCCESS(status)) return status;
    process = IoThreadToProcess(thread);
    ObfReferenceObject(process);
    ObfDereferenceObject(thread);
  } else {
    status = PsLookupProcessByProcessId(ClientId->UniqueProcess, &process);
    if (!NT_SUCCESS(status)) return status;
  }
  // Who may debug may open any process.
  KPROCESSOR_MODE mode = KeGetCurrentThread()->PreviousMode;
  if (mode != KernelMode && SeSinglePrivilegeCheck(SeExports->SeDebugPrivilege, mode)) mode = KernelMode;
  status = ObOpenObjectByPointer(process, ObjectAttributes->Attributes, nullptr, DesiredAccess, PsProcessType,
                                 mode, ProcessHandle);
  ObfDereferenceObject(process);
  return status;
}

/// Opens a handle to the process with an id.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: a process without a program has no descriptor: everybody may open it.
/// Source: WDK ntddk/ZwOpenProcess.
NT_EXPORT(ZwOpenProcess, nt::AtMost(PASSIVE_LEVEL), Full, "PsOpen.*");
extern "C" NTSTATUS NTAPI ZwOpenProcess(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess,
                                        POBJECT_ATTRIBUTES ObjectAttributes, PCLIENT_ID ClientId) {
  return ke::CallService(NtOpenProcess, ProcessHandle, DesiredAccess, ObjectAttributes, ClientId);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenThread(PHANDLE ThreadHandle, ACCESS_MASK DesiredAccess,
                                                         POBJECT_ATTRIBUTES ObjectAttributes,
                                                         PCLIENT_ID ClientId) {
  NTSTATUS status = CheckIdentification(ObjectAttributes, ClientId);
  if (!NT_SUCCESS(status)) return status;
  PETHREAD thread;
  status = LookupThread(*ClientId, &thread);
  if (!NT_SUCCESS(status)) return status;
  status = ObOpenObjectByPointer(thread, ObjectAttributes->Attributes, nullptr, DesiredAccess, PsThreadType,
                                 KeGetCurrentThread()->PreviousMode, ThreadHandle);
  ObfDereferenceObject(thread);
  return status;
}

/// Opens a handle to the thread with an id.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: a thread has a descriptor only if its creator gave one.
/// Source: not documented for drivers; the API OpenThread.
NT_EXPORT(ZwOpenThread, nt::AtMost(PASSIVE_LEVEL), Full, "PsOpen.*");
extern "C" NTSTATUS NTAPI ZwOpenThread(PHANDLE ThreadHandle, ACCESS_MASK DesiredAccess,
                                       POBJECT_ATTRIBUTES ObjectAttributes, PCLIENT_ID ClientId) {
  return ke::CallService(NtOpenThread, ThreadHandle, DesiredAccess, ObjectAttributes, ClientId);
}
