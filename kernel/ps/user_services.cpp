// The services of programs (nt/user_services.inc), as far as they are not those that Zw routines call:
// pointers are checked here, handles are the process's own.
#include "ke/ke.h"
#include "ke/user_mode.h"
#include "program.h"
#include "nt/ntos.h"

extern "C" {
NTSTATUS NTAPI NtYieldExecution();
BOOLEAN NTAPI KeTestAlertThread(KPROCESSOR_MODE AlertMode);
VOID NTAPI KeInitializeApc(PRKAPC Apc, PRKTHREAD Thread, ULONG Environment, PKKERNEL_ROUTINE KernelRoutine,
                           PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine,
                           KPROCESSOR_MODE ApcMode, PVOID NormalContext);
BOOLEAN NTAPI KeInsertQueueApc(PRKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment);
NTSTATUS NTAPI NtContinue(PCONTEXT context, BOOLEAN test_alert);
NTSTATUS NTAPI NtRaiseException(PEXCEPTION_RECORD record, PCONTEXT context, BOOLEAN first_chance);
NTSTATUS NTAPI ZwProtectVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize,
                                      ULONG NewProtect, PULONG OldProtect);
NTSTATUS NTAPI NtTerminateProcess(HANDLE ProcessHandle, NTSTATUS ExitStatus);
}

namespace ps {
namespace services {

using ::NtClose;
using ::NtContinue;
using ::NtCreateFile;
using ::NtDeviceIoControlFile;
using ::NtOpenFile;
using ::NtRaiseException;
using ::NtReadFile;
using ::NtTerminateProcess;
using ::NtWriteFile;
using ::NtYieldExecution;

constexpr ULONG kTag = 'sPsP';

// A program's handle to a process as one that the kernel may use.
class TargetProcess {
 public:
  TargetProcess(HANDLE handle, ACCESS_MASK access) {
    if (handle == ZwCurrentProcess()) return;
    PVOID object;
    status_ = ObReferenceObjectByHandle(handle, access, PsProcessType, UserMode, &object, nullptr);
    if (!NT_SUCCESS(status_)) return;
    status_ = ObOpenObjectByPointer(object, OBJ_KERNEL_HANDLE, nullptr, access, PsProcessType, KernelMode,
                                    &opened_);
    ObfDereferenceObject(object);
  }
  ~TargetProcess() {
    if (opened_ != nullptr) ZwClose(opened_);
  }
  TargetProcess(const TargetProcess&) = delete;
  TargetProcess& operator=(const TargetProcess&) = delete;
  NTSTATUS status() const { return status_; }
  HANDLE handle() const { return opened_ != nullptr ? opened_ : ZwCurrentProcess(); }

 private:
  NTSTATUS status_ = STATUS_SUCCESS;
  HANDLE opened_ = nullptr;
};

// A range of memory as the program's variables tell it, and as they shall tell it afterwards.
struct Range {
  PVOID base;
  SIZE_T size;
  bool Capture(PVOID* user_base, PSIZE_T user_size) {
    return NT_SUCCESS(KeCopyFromUser(&base, user_base, sizeof(base))) &&
           NT_SUCCESS(KeCopyFromUser(&size, user_size, sizeof(size)));
  }
  NTSTATUS Answer(PVOID* user_base, PSIZE_T user_size) const {
    return NT_SUCCESS(KeCopyToUser(user_base, &base, sizeof(base))) &&
                   NT_SUCCESS(KeCopyToUser(user_size, &size, sizeof(size)))
               ? STATUS_SUCCESS
               : STATUS_ACCESS_VIOLATION;
  }
};

NTSTATUS NtAllocateVirtualMemory(HANDLE process, PVOID* base, ULONG_PTR zero_bits, PSIZE_T size, ULONG type,
                                 ULONG protect) {
  Range range;
  if (!range.Capture(base, size)) return STATUS_ACCESS_VIOLATION;
  const TargetProcess target(process, PROCESS_VM_OPERATION);
  if (!NT_SUCCESS(target.status())) return target.status();
  const NTSTATUS status =
      ZwAllocateVirtualMemory(target.handle(), &range.base, zero_bits, &range.size, type, protect);
  return NT_SUCCESS(status) ? range.Answer(base, size) : status;
}

NTSTATUS NtFreeVirtualMemory(HANDLE process, PVOID* base, PSIZE_T size, ULONG type) {
  Range range;
  if (!range.Capture(base, size)) return STATUS_ACCESS_VIOLATION;
  const TargetProcess target(process, PROCESS_VM_OPERATION);
  if (!NT_SUCCESS(target.status())) return target.status();
  const NTSTATUS status = ZwFreeVirtualMemory(target.handle(), &range.base, &range.size, type);
  return NT_SUCCESS(status) ? range.Answer(base, size) : status;
}

NTSTATUS NtProtectVirtualMemory(HANDLE process, PVOID* base, PSIZE_T size, ULONG protect, PULONG old) {
  Range range;
  ULONG before = 0;
  if (!range.Capture(base, size)) return STATUS_ACCESS_VIOLATION;
  const TargetProcess target(process, PROCESS_VM_OPERATION);
  if (!NT_SUCCESS(target.status())) return target.status();
  const NTSTATUS status = ZwProtectVirtualMemory(target.handle(), &range.base, &range.size, protect, &before);
  if (!NT_SUCCESS(status)) return status;
  if (!NT_SUCCESS(KeCopyToUser(old, &before, sizeof(before)))) return STATUS_ACCESS_VIOLATION;
  return range.Answer(base, size);
}

NTSTATUS NtDelayExecution(BOOLEAN alertable, const LARGE_INTEGER* interval) {
  LARGE_INTEGER captured;
  if (!NT_SUCCESS(KeCopyFromUser(&captured, interval, sizeof(captured)))) return STATUS_ACCESS_VIOLATION;
  return KeDelayExecutionThread(UserMode, alertable, &captured);
}

NTSTATUS NtWaitForSingleObject(HANDLE handle, BOOLEAN alertable, const LARGE_INTEGER* timeout) {
  LARGE_INTEGER captured;
  if (timeout != nullptr && !NT_SUCCESS(KeCopyFromUser(&captured, timeout, sizeof(captured))))
    return STATUS_ACCESS_VIOLATION;
  PVOID object;
  NTSTATUS status = ObReferenceObjectByHandle(handle, SYNCHRONIZE, nullptr, UserMode, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  PVOID dispatcher = ob::DispatcherObject(object);
  status = dispatcher != nullptr ? KeWaitForSingleObject(dispatcher, UserRequest, UserMode, alertable,
                                                         timeout != nullptr ? &captured : nullptr)
                                 : STATUS_OBJECT_TYPE_MISMATCH;
  ObfDereferenceObject(object);
  return status;
}

NTSTATUS NtTestAlert() {
  return KeTestAlertThread(UserMode) ? STATUS_ALERTED : STATUS_SUCCESS;
}

VOID NTAPI FreeApc(PKAPC apc, PKNORMAL_ROUTINE*, PVOID*, PVOID*, PVOID*) {
  ExFreePoolWithTag(apc, kTag);
}
VOID NTAPI RundownApc(PKAPC apc) {
  ExFreePoolWithTag(apc, kTag);
}

NTSTATUS ThreadOf(HANDLE handle, ACCESS_MASK access, PETHREAD* thread) {
  PVOID object = nullptr;
  const NTSTATUS status = ObReferenceObjectByHandle(handle, access, PsThreadType, UserMode, &object, nullptr);
  *thread = static_cast<PETHREAD>(object);
  return status;
}

NTSTATUS NtQueueApcThread(HANDLE handle, PKNORMAL_ROUTINE routine, PVOID context, PVOID argument1,
                          PVOID argument2) {
  PETHREAD thread;
  NTSTATUS status = ThreadOf(handle, THREAD_SET_CONTEXT, &thread);
  if (!NT_SUCCESS(status)) return status;
  auto* apc = static_cast<PKAPC>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(KAPC), kTag));
  if (thread->SystemThread) {
    status = STATUS_INVALID_HANDLE;
  } else if (apc == nullptr || routine == nullptr) {
    status = apc == nullptr ? STATUS_NO_MEMORY : STATUS_INVALID_PARAMETER;
  } else {
    KeInitializeApc(apc, &thread->Tcb, 0, FreeApc, RundownApc, routine, UserMode, context);
    status = KeInsertQueueApc(apc, argument1, argument2, 0) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
  }
  if (!NT_SUCCESS(status) && apc != nullptr) ExFreePoolWithTag(apc, kTag);
  ObfDereferenceObject(thread);
  return status;
}

NTSTATUS NtTerminateThread(HANDLE handle, NTSTATUS exit_status) {
  PETHREAD thread;
  const NTSTATUS status = ThreadOf(handle, THREAD_TERMINATE, &thread);
  if (!NT_SUCCESS(status)) return status;
  const bool system = thread->SystemThread;
  if (!system) EndUserThread(thread, exit_status);
  ObfDereferenceObject(thread);
  return system ? STATUS_INVALID_HANDLE : STATUS_SUCCESS;
}

#define USER_SERVICE(name, arguments) {reinterpret_cast<PVOID>(&name), arguments},
const KeUserService kServices[] = {
#include "nt/user_services.inc"
};
#undef USER_SERVICE

}  // namespace services

void RegisterUserServices() {
  KeSetUserServices(services::kServices, RTL_NUMBER_OF(services::kServices));
}

}  // namespace ps
