// What a process is: the Ps getters and ZwQueryInformationProcess.
#include "ke/service_call.h"
#include "mm/process_counts.h"
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

// Newer than the header, or left out of it.
constexpr ULONG kCycleTime = 38, kHandleInformation = 51, kCommandLine = 60, kProtection = 61,
                kSubsystem = 75;

constexpr ULONG kDataExecutionIsPrevented =
    0x0D;  // MEM_EXECUTE_OPTION_DISABLE, PERMANENT and DISABLE_THUNK_EMULATION
constexpr SIZE_T kMinimumWorkingSet = 50 * PAGE_SIZE,
                 kMaximumWorkingSet = 345 * PAGE_SIZE;  // Windows's defaults

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

NTSTATUS PutVmCounters(Reply* reply, PEPROCESS process) {
  MmProcessCounts counts;
  MmQueryProcessCounts(process, &counts);
  VM_COUNTERS_EX vm = {};
  vm.PeakVirtualSize = counts.PeakVirtualBytes;
  vm.VirtualSize = counts.VirtualBytes;
  vm.PageFaultCount = static_cast<ULONG>(counts.PageFaults);
  vm.PeakWorkingSetSize = counts.PeakResidentPages * PAGE_SIZE;
  vm.WorkingSetSize = counts.ResidentPages * PAGE_SIZE;
  vm.QuotaPeakNonPagedPoolUsage = process->QuotaPeak[0];
  vm.QuotaNonPagedPoolUsage = process->QuotaUsage[0];
  vm.QuotaPeakPagedPoolUsage = process->QuotaPeak[1];
  vm.QuotaPagedPoolUsage = process->QuotaUsage[1];
  vm.PagefileUsage = vm.PrivateUsage = counts.CommittedPages * PAGE_SIZE;
  vm.PeakPagefileUsage = counts.PeakCommittedPages * PAGE_SIZE;
  if (reply->length == sizeof(vm)) return PutValue(reply, vm);
  VM_COUNTERS shorter;
  RtlCopyMemory(&shorter, &vm, sizeof(shorter));  // it begins the other
  return PutValue(reply, shorter);
}

NTSTATUS PutIoCounters(Reply* reply, PEPROCESS process) {
  const auto count = [](LONG64 value) { return static_cast<ULONGLONG>(value); };
  return PutValue(reply,
                  IO_COUNTERS{count(process->IoOperationCounts[0]), count(process->IoOperationCounts[1]),
                              count(process->IoOperationCounts[2]), count(process->IoTransferCounts[0]),
                              count(process->IoTransferCounts[1]), count(process->IoTransferCounts[2])});
}

NTSTATUS PutQuotaLimits(Reply* reply, PEPROCESS process) {
  const auto limit = [](SIZE_T value) { return value != 0 ? value : ~SIZE_T{0}; };
  QUOTA_LIMITS limits = {};
  limits.NonPagedPoolLimit = limit(process->QuotaLimit[0]);
  limits.PagedPoolLimit = limit(process->QuotaLimit[1]);
  limits.MinimumWorkingSetSize = kMinimumWorkingSet;
  limits.MaximumWorkingSetSize = kMaximumWorkingSet;
  limits.PagefileLimit = ~SIZE_T{0};
  limits.TimeLimit.QuadPart = -1;
  return PutValue(reply, limits);
}

NTSTATUS PutPoolUsage(Reply* reply, PEPROCESS process) {
  const auto limit = [](SIZE_T value) { return value != 0 ? value : ~SIZE_T{0}; };
  return PutValue(reply, POOLED_USAGE_AND_LIMITS{process->QuotaPeak[1], process->QuotaUsage[1],
                                                 limit(process->QuotaLimit[1]), process->QuotaPeak[0],
                                                 process->QuotaUsage[0], limit(process->QuotaLimit[0]), 0, 0,
                                                 ~SIZE_T{0}});
}

// What a drive's link leads to; empty for a letter that is none.
void TargetOfDrive(WCHAR letter, UNICODE_STRING* target) {
  WCHAR text[] = L"\\??\\C:";
  text[4] = letter;
  UNICODE_STRING name = ob::String(text);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  HANDLE link;
  target->Length = 0;
  if (!NT_SUCCESS(ZwOpenSymbolicLinkObject(&link, SYMBOLIC_LINK_QUERY, &attributes))) return;
  if (!NT_SUCCESS(ZwQuerySymbolicLinkObject(link, target, nullptr))) target->Length = 0;
  ZwClose(link);
}

// The name as Win32 has it: a drive's letter in place of its device. One that no drive leads to stays as it
// is.
NTSTATUS PutWin32Name(Reply* reply, PEPROCESS process) {
  UNICODE_STRING name = process->SeAuditProcessCreationInfo.ImageFileName->Name;
  WCHAR buffer[64];
  UNICODE_STRING target = {0, sizeof(buffer), buffer};
  for (WCHAR letter = L'A'; letter <= L'Z'; ++letter) {
    TargetOfDrive(letter, &target);
    if (target.Length < 2 * sizeof(WCHAR) || !RtlPrefixUnicodeString(&target, &name, TRUE)) continue;
    // The rest begins where the letter's two characters have room.
    const USHORT cut = target.Length - 2 * sizeof(WCHAR);
    const UNICODE_STRING rest = {static_cast<USHORT>(name.Length - cut),
                                 static_cast<USHORT>(name.Length - cut), name.Buffer + cut / sizeof(WCHAR)};
    const NTSTATUS status = PutString(reply, rest);
    if (NT_SUCCESS(status)) {
      PWCH text = static_cast<PUNICODE_STRING>(reply->buffer)->Buffer;
      text[0] = letter;
      text[1] = L':';
    }
    return status;
  }
  return PutString(reply, name);
}

struct HandleEntry {  // PROCESS_HANDLE_TABLE_ENTRY_INFO
  HANDLE HandleValue;
  ULONG_PTR HandleCount, PointerCount;
  ULONG GrantedAccess, ObjectTypeIndex, HandleAttributes, Reserved;
};
static_assert(sizeof(HandleEntry) == 0x28);

struct HandleWalk {
  Reply* reply;
  HandleEntry* entries;  // nonpaged
  ULONG room, count;
};

// PROCESS_HANDLE_SNAPSHOT_INFORMATION: two counts, then the entries.
NTSTATUS PutHandles(Reply* reply, PEPROCESS process) {
  constexpr ULONG kHead = 2 * sizeof(ULONG_PTR), kTag = 'lHsP';
  if (process->ObjectTable == nullptr) return STATUS_PROCESS_IS_TERMINATING;
  ULONG room = reply->length > kHead ? (reply->length - kHead) / sizeof(HandleEntry) : 0;
  if (room > HANDLE_TABLE_PAGE_ENTRIES * HANDLE_TABLE_PAGES)
    room = HANDLE_TABLE_PAGE_ENTRIES * HANDLE_TABLE_PAGES;
  HandleWalk walk = {reply, nullptr, room, 0};
  if (room != 0) {
    walk.entries =
        static_cast<HandleEntry*>(ExAllocatePoolWithTag(NonPagedPoolNx, room * sizeof(HandleEntry), kTag));
    if (walk.entries == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  }
  ob::EnumerateHandles(
      process->ObjectTable,
      [](HANDLE value, PVOID object, const HANDLE_TABLE_ENTRY& entry, PVOID context) {
        auto* walk = static_cast<HandleWalk*>(context);
        const POBJECT_HEADER header = ObjectToHeader(object);
        if (walk->count < walk->room)
          walk->entries[walk->count] = {value,
                                        static_cast<ULONG_PTR>(header->HandleCount),
                                        static_cast<ULONG_PTR>(header->PointerCount),
                                        entry.GrantedAccessBits,
                                        header->TypeIndex,
                                        entry.Attributes,
                                        0};
        ++walk->count;
      },
      &walk);
  reply->needed = kHead + walk.count * static_cast<ULONG>(sizeof(HandleEntry));
  const bool fits = reply->length >= reply->needed;
  if (fits) {
    const ULONG_PTR head[2] = {walk.count, 0};
    RtlCopyMemory(reply->buffer, head, kHead);
    RtlCopyMemory(static_cast<UCHAR*>(reply->buffer) + kHead, walk.entries, reply->needed - kHead);
  }
  if (walk.entries != nullptr) ExFreePoolWithTag(walk.entries, kTag);
  return fits ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
}

NTSTATUS PutCycles(Reply* reply, PEPROCESS process) {
  const ULONG64 cycles[2] = {process->Pcb.CycleTime, process->Pcb.CycleTime};
  return PutValue(reply, cycles);
}

NTSTATUS Query(PEPROCESS process, ULONG information, Reply* reply) {
  switch (information) {
    case ProcessBasicInformation:
      return PutBasic(reply, process);
    case ProcessQuotaLimits:
      return PutQuotaLimits(reply, process);
    case ProcessIoCounters:
      return PutIoCounters(reply, process);
    case ProcessVmCounters:
      return PutVmCounters(reply, process);
    case ProcessPooledUsageAndLimits:
      return PutPoolUsage(reply, process);
    case ProcessAffinityMask:
      return PutValue(reply, static_cast<ULONG_PTR>(process->Pcb.Affinity & KeQueryActiveProcessors()));
    case ProcessPriorityBoost:
      return PutValue(reply, ULONG{0});  // boosts are on
    case ProcessExecuteFlags:  // kernel callers ask for the current process only; DEP is permanent at 64 bits
      return process == IoGetCurrentProcess() ? PutValue(reply, ULONG{kDataExecutionIsPrevented})
                                              : STATUS_INVALID_PARAMETER;
    case ProcessIoPriority:
      return PutValue(reply, ULONG{2});  // IoPriorityNormal
    case ProcessPagePriority:
      return PutValue(reply, ULONG{5});
    case ProcessImageFileNameWin32:
      return PutWin32Name(reply, process);
    case kCycleTime:
      return PutCycles(reply, process);
    case kHandleInformation:
      return PutHandles(reply, process);
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

/// Facts of a process: basic (status, PEB, ids), times, counters of memory and I/O, quotas, affinity,
/// priorities, image name (native and Win32), session, handles, debug port and flags, command line,
/// protection.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; classes without an answer here are STATUS_INVALID_INFO_CLASS, as those are that a Windows
/// does not know.
/// Source: WDK (SDK) winternl/NtQueryInformationProcess.
NT_EXPORT(ZwQueryInformationProcess, nt::AtMost(PASSIVE_LEVEL), Full, "PsProgram.*");
extern "C" NTSTATUS NTAPI ZwQueryInformationProcess(HANDLE ProcessHandle,
                                                    PROCESSINFOCLASS ProcessInformationClass,
                                                    PVOID ProcessInformation, ULONG ProcessInformationLength,
                                                    PULONG ReturnLength) {
  return ke::CallService(NtQueryInformationProcess, ProcessHandle, ProcessInformationClass,
                         ProcessInformation, ProcessInformationLength, ReturnLength);
}
