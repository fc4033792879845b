// Threads of programs made by drivers.
#include "program.h"

#include "nt/export.h"

namespace ps {
namespace {

struct Request {
  PVOID start, parameter;
  PHANDLE handle;  // may be 0
  PCLIENT_ID cid;  // may be 0
};

NTSTATUS CreateUserThread(PEPROCESS process, const Request& request) {
  if (process->Peb == nullptr) return STATUS_NOT_SUPPORTED;
  PETHREAD thread;
  NTSTATUS status = PrepareUserThread(process, &thread);
  if (!NT_SUCCESS(status)) return status;
  status = BuildTeb(process, thread);
  thread->Win32StartAddress = request.start;
  thread->UserParameter = request.parameter;
  if (NT_SUCCESS(status) && request.handle != nullptr)
    status = ObOpenObjectByPointer(thread, 0, nullptr, THREAD_ALL_ACCESS, PsThreadType, KernelMode,
                                   request.handle);
  if (!NT_SUCCESS(status)) {
    DropThread(process, thread);
    return status;
  }
  if (request.cid != nullptr) *request.cid = thread->Cid;
  StartThread(thread);
  return STATUS_SUCCESS;
}

}  // namespace
}  // namespace ps

/// Creates a thread of a program, which calls the routine in ring 3 and ends with what that returns.
/// Returns: STATUS_PROCESS_IS_TERMINATING; STATUS_NOT_SUPPORTED for a process that runs no program, and for
/// CreateSuspended.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: a thread cannot be created suspended; every stack has 256 KiB, whatever is asked for; the
/// descriptor is not used.
/// Source: not documented by Microsoft.
NT_EXPORT(RtlCreateUserThread, nt::AtMost(PASSIVE_LEVEL), Partial, "UserThread.*");
extern "C" NTSTATUS NTAPI RtlCreateUserThread(HANDLE ProcessHandle, PSECURITY_DESCRIPTOR,
                                              BOOLEAN CreateSuspended, ULONG, SIZE_T, SIZE_T,
                                              PVOID StartAddress, PVOID Parameter, PHANDLE ThreadHandle,
                                              PCLIENT_ID ClientId) {
  if (CreateSuspended) return STATUS_NOT_SUPPORTED;
  PVOID process;
  NTSTATUS status = ObReferenceObjectByHandle(ProcessHandle, 0, PsProcessType, KernelMode, &process, nullptr);
  if (!NT_SUCCESS(status)) return status;
  status = ps::CreateUserThread(static_cast<PEPROCESS>(process),
                                {StartAddress, Parameter, ThreadHandle, ClientId});
  ObfDereferenceObject(process);
  return status;
}
