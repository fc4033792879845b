// What a process is: the Ps getters and ZwQueryInformationProcess.
#include "ke/service_call.h"
#include "nt/export.h"
#include "ps_internal.h"

/// The terminal session of a process.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented by Microsoft.
NT_EXPORT(PsGetProcessSessionId, nt::AnyIrql(), Full, "PsProgram.*");
extern "C" ULONG NTAPI PsGetProcessSessionId(PEPROCESS Process) {
  return Process->SessionId;
}

/// A process's debug port: 0, nobody debugs it.
/// IRQL: any.
/// Differs from NT: none; there is no user-mode debugger that could set one.
/// Source: not documented by Microsoft.
NT_EXPORT(PsGetProcessDebugPort, nt::AnyIrql(), Full, "PsProgram.*");
extern "C" PVOID NTAPI PsGetProcessDebugPort(PEPROCESS Process) {
  return Process->DebugPort;
}

/// The process of a thread.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented by Microsoft.
NT_EXPORT(PsGetThreadProcess, nt::AnyIrql(), Full, "PsProgram.*");
extern "C" PEPROCESS NTAPI PsGetThreadProcess(PETHREAD Thread) {
  return reinterpret_cast<PEPROCESS>(Thread->Tcb.Process);
}

/// The current thread's environment block; 0 for system threads.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/PsGetCurrentThreadTeb.
NT_EXPORT(PsGetCurrentThreadTeb, nt::AnyIrql(), Full, "PsProgram.*");
extern "C" PVOID NTAPI PsGetCurrentThreadTeb(VOID) {
  return KeGetCurrentThread()->Teb;
}

/// A process's environment block, an address of the process; 0 for processes without a program.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented by Microsoft.
NT_EXPORT(PsGetProcessPeb, nt::AnyIrql(), Full, "PsProgram.*");
extern "C" PVOID NTAPI PsGetProcessPeb(PEPROCESS Process) {
  return Process->Peb;
}

/// Where a process's program is mapped.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented by Microsoft.
NT_EXPORT(PsGetProcessSectionBaseAddress, nt::AnyIrql(), Full, "PsProgram.*");
extern "C" PVOID NTAPI PsGetProcessSectionBaseAddress(PEPROCESS Process) {
  return Process->SectionBaseAddress;
}

/// The 32-bit environment block of a process; 0: there are 64-bit ones only.
/// IRQL: any.
/// Differs from NT: none; 32-bit programs cannot be started.
/// Source: not documented by Microsoft.
NT_EXPORT(PsGetProcessWow64Process, nt::AnyIrql(), Full, "PsProgram.*");
extern "C" PVOID NTAPI PsGetProcessWow64Process(PEPROCESS Process) {
  return Process->WoW64Process;
}

/// The same for the current process.
/// IRQL: any.
/// Differs from NT: none; 32-bit programs cannot be started.
/// Source: not documented by Microsoft.
NT_EXPORT(PsGetCurrentProcessWow64Process, nt::AnyIrql(), Full, "PsProgram.*");
extern "C" PVOID NTAPI PsGetCurrentProcessWow64Process(VOID) {
  return IoGetCurrentProcess()->WoW64Process;
}

/// The process that created a process.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented by Microsoft.
NT_EXPORT(PsGetProcessInheritedFromUniqueProcessId, nt::AnyIrql(), Full, "PsProgram.*");
extern "C" HANDLE NTAPI PsGetProcessInheritedFromUniqueProcessId(PEPROCESS Process) {
  return Process->InheritedFromUniqueProcessId;
}

/// The full name of a process's image file, in new memory that the caller frees (ExFreePool).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeLocateProcessImageName.
NT_EXPORT(SeLocateProcessImageName, nt::AtMost(PASSIVE_LEVEL), Full, "PsProgram.*");
extern "C" NTSTATUS NTAPI SeLocateProcessImageName(PEPROCESS Process, PUNICODE_STRING* pImageFileName) {
  const UNICODE_STRING& name = Process->SeAuditProcessCreationInfo.ImageFileName->Name;
  auto* copy = static_cast<PUNICODE_STRING>(ExAllocatePoolWithTag(PagedPool, ps::PackedBytes(name), 'aPeS'));
  *pImageFileName = copy;
  if (copy == nullptr) return STATUS_NO_MEMORY;
  ps::PackString(copy, name);
  return STATUS_SUCCESS;
}

namespace {

constexpr ULONG kCommandLine = 60, kProtection = 61, kSubsystem = 75;  // newer than the header

struct PriorityClass {  // PROCESS_PRIORITY_CLASS
  BOOLEAN foreground;
  UCHAR priority_class;
};

struct Reply {
  PVOID buffer;
  ULONG length;
  ULONG needed;
};

// An answer of fixed size: the caller's length must be just that.
template <typename T>
NTSTATUS PutValue(Reply* reply, const T& value) {
  reply->needed = sizeof(T);
  if (reply->length != sizeof(T)) return STATUS_INFO_LENGTH_MISMATCH;
  RtlCopyMemory(reply->buffer, &value, sizeof(T));
  return STATUS_SUCCESS;
}

// A string and its text behind it.
NTSTATUS PutString(Reply* reply, const UNICODE_STRING& text) {
  reply->needed = ps::PackedBytes(text);
  if (reply->length < reply->needed) return STATUS_INFO_LENGTH_MISMATCH;
  ps::PackString(static_cast<PUNICODE_STRING>(reply->buffer), text);
  return STATUS_SUCCESS;
}

NTSTATUS PutBasic(Reply* reply, PEPROCESS process) {
  const PROCESS_BASIC_INFORMATION basic = {
      process->ExitStatus,
      static_cast<struct _PEB*>(process->Peb),
      static_cast<ULONG_PTR>(KeQueryActiveProcessors()),
      process->Pcb.BasePriority,
      reinterpret_cast<ULONG_PTR>(process->UniqueProcessId),
      reinterpret_cast<ULONG_PTR>(process->InheritedFromUniqueProcessId)};
  if (reply->length != sizeof(PROCESS_EXTENDED_BASIC_INFORMATION)) return PutValue(reply, basic);
  PROCESS_EXTENDED_BASIC_INFORMATION extended = {};
  RtlCopyMemory(&extended, reply->buffer, sizeof(extended.Size));
  if (extended.Size != sizeof(extended)) return STATUS_INVALID_PARAMETER;
  extended.BasicInfo = basic;
  return PutValue(reply, extended);
}

NTSTATUS PutTimes(Reply* reply, PEPROCESS process) {
  const auto ticks = [](ULONG count) {
    LARGE_INTEGER time;
    time.QuadPart = static_cast<LONGLONG>(count) * KeQueryTimeIncrement();
    return time;
  };
  return PutValue(reply, KERNEL_USER_TIMES{process->CreateTime, process->ExitTime,
                                           ticks(process->Pcb.KernelTime), ticks(process->Pcb.UserTime)});
}

NTSTATUS Query(PEPROCESS process, ULONG information, Reply* reply) {
  switch (information) {
    case ProcessBasicInformation:
      return PutBasic(reply, process);
    case ProcessTimes:
      return PutTimes(reply, process);
    case ProcessDebugPort:
    case ProcessWow64Information:
      return PutValue(reply, ULONG_PTR{0});
    case ProcessDebugObjectHandle:
      reply->needed = sizeof(HANDLE);
      return reply->length == sizeof(HANDLE) ? STATUS_PORT_NOT_SET : STATUS_INFO_LENGTH_MISMATCH;
    case ProcessDebugFlags:
      return PutValue(reply, ULONG{1});  // a debugger would not end it
    case ProcessDefaultHardErrorMode:
      return PutValue(reply, ULONG{1});
    case ProcessPriorityClass:
      return PutValue(reply, PriorityClass{FALSE, process->PriorityClass});
    case ProcessHandleCount:
      return PutValue(
          reply, static_cast<ULONG>(process->ObjectTable != nullptr ? process->ObjectTable->HandleCount : 0));
    case ProcessSessionInformation:
      return PutValue(reply, process->SessionId);
    case ProcessBreakOnTermination:
      return PutValue(reply, ULONG{process == PsInitialSystemProcess});
    case ProcessImageFileName:
      return PutString(reply, process->SeAuditProcessCreationInfo.ImageFileName->Name);
    case kCommandLine:
      return PutString(reply, process->CommandLine != nullptr ? *process->CommandLine : UNICODE_STRING{});
    case kProtection:
      return PutValue(reply, UCHAR{0});
    case kSubsystem:
      return PutValue(reply, ULONG{0});  // SubsystemInformationTypeWin32
    default:
      return STATUS_INVALID_INFO_CLASS;
  }
}

}  // namespace

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtQueryInformationProcess(HANDLE ProcessHandle, PROCESSINFOCLASS ProcessInformationClass,
                          PVOID ProcessInformation, ULONG ProcessInformationLength, PULONG ReturnLength) {
  PVOID process;
  const KPROCESSOR_MODE mode = KeGetCurrentThread()->PreviousMode;
  NTSTATUS status = ObReferenceObjectByHandle(ProcessHandle, PROCESS_QUERY_LIMITED_INFORMATION, PsProcessType,
                                              mode, &process, nullptr);
  if (!NT_SUCCESS(status)) return status;
  Reply reply = {ProcessInformation, ProcessInformationLength, 0};
  status = Query(static_cast<PEPROCESS>(process), ProcessInformationClass, &reply);
  if (ReturnLength != nullptr && reply.needed != 0) *ReturnLength = reply.needed;
  ObfDereferenceObject(process);
  return status;
}

/// Facts of a process: basic (status, PEB, ids), times, image name, session, handles, debug
/// port and flags, command line, protection.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: counters of memory and I/O, quotas, affinity, working sets and the Win32 name answer
/// STATUS_INVALID_INFO_CLASS.
/// Source: WDK (SDK) winternl/NtQueryInformationProcess.
NT_EXPORT(ZwQueryInformationProcess, nt::AtMost(PASSIVE_LEVEL), Partial, "PsProgram.*");
extern "C" NTSTATUS NTAPI ZwQueryInformationProcess(HANDLE ProcessHandle,
                                                    PROCESSINFOCLASS ProcessInformationClass,
                                                    PVOID ProcessInformation, ULONG ProcessInformationLength,
                                                    PULONG ReturnLength) {
  return ke::CallService(NtQueryInformationProcess, ProcessHandle, ProcessInformationClass,
                         ProcessInformation, ProcessInformationLength, ReturnLength);
}
