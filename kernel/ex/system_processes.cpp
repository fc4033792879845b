// Processes and threads, as ZwQuerySystemInformation tells of them.
#include "information_answer.h"
#include "ke/ke.h"
#include "mm/process_counts.h"
#include "ob/ob.h"
#include "ps/ps.h"

namespace {

using ex::Answer, ex::Snapshot, ex::Ticks;

SYSTEM_EXTENDED_THREAD_INFORMATION Describe(const ETHREAD* thread) {
  SYSTEM_EXTENDED_THREAD_INFORMATION extended = {};
  SYSTEM_THREAD_INFORMATION& information = extended.ThreadInfo;
  information.KernelTime = Ticks(thread->Tcb.KernelTime);
  information.UserTime = Ticks(thread->Tcb.UserTime);
  information.CreateTime = thread->CreateTime;
  information.WaitTime = thread->Tcb.WaitTime;
  information.StartAddress = thread->StartAddress;
  information.ClientId = thread->Cid;
  information.Priority = thread->Tcb.Priority;
  information.BasePriority = thread->Tcb.BasePriority;
  information.ContextSwitches = thread->Tcb.ContextSwitches;
  information.ThreadState = thread->Tcb.State;
  information.WaitReason = thread->Tcb.WaitReason;
  extended.StackBase = thread->Tcb.StackBase;
  extended.StackLimit = thread->Tcb.StackLimit;
  extended.Win32StartAddress = thread->Win32StartAddress;
  extended.TebBase = thread->Tcb.Teb;
  return extended;
}

using Threads = Snapshot<SYSTEM_EXTENDED_THREAD_INFORMATION>;

void AddThreads(PEPROCESS process, Threads* threads) {
  if (process != PsIdleProcess) {
    ps::EnumerateThreads(
        process,
        [](PETHREAD thread, PVOID context) {
          static_cast<Threads*>(context)->Add(Describe(thread));
          return true;
        },
        threads);
    return;
  }
  // The idle threads are no objects: they cannot be referenced, and never go.
  for (LONG i = 0; i < KeNumberProcessors; ++i) {
    threads->Add(Describe(CONTAINING_RECORD(KiProcessorBlock[i]->IdleThread, ETHREAD, Tcb)));
  }
}

void PutMemory(PEPROCESS process, SYSTEM_PROCESS_INFORMATION* information) {
  MmProcessCounts counts;
  MmQueryProcessCounts(process, &counts);
  information->WorkingSetPrivateSize.QuadPart = static_cast<LONGLONG>(counts.ResidentPages * PAGE_SIZE);
  information->PeakVirtualSize = counts.PeakVirtualBytes;
  information->VirtualSize = counts.VirtualBytes;
  information->PageFaultCount = static_cast<ULONG>(counts.PageFaults);
  information->PeakWorkingSetSize = counts.PeakResidentPages * PAGE_SIZE;
  information->WorkingSetSize = counts.ResidentPages * PAGE_SIZE;
  information->QuotaPeakNonPagedPoolUsage = process->QuotaPeak[0];
  information->QuotaNonPagedPoolUsage = process->QuotaUsage[0];
  information->QuotaPeakPagedPoolUsage = process->QuotaPeak[1];
  information->QuotaPagedPoolUsage = process->QuotaUsage[1];
  information->PagefileUsage = counts.CommittedPages * PAGE_SIZE;
  information->PeakPagefileUsage = counts.PeakCommittedPages * PAGE_SIZE;
  information->PrivatePageCount = counts.CommittedPages * PAGE_SIZE;  // bytes, whatever its name says
}

void PutIo(PEPROCESS process, SYSTEM_PROCESS_INFORMATION* information) {
  information->ReadOperationCount.QuadPart = process->IoOperationCounts[0];
  information->WriteOperationCount.QuadPart = process->IoOperationCounts[1];
  information->OtherOperationCount.QuadPart = process->IoOperationCounts[2];
  information->ReadTransferCount.QuadPart = process->IoTransferCounts[0];
  information->WriteTransferCount.QuadPart = process->IoTransferCounts[1];
  information->OtherTransferCount.QuadPart = process->IoTransferCounts[2];
}

// The name, as a debugger shows it; the Idle process has none, as on Windows. Returns its characters.
USHORT NameOf(PEPROCESS process, WCHAR (&name)[RTL_NUMBER_OF(process->ImageFileName) + 1]) {
  USHORT length = 0;
  while (process->UniqueProcessId != nullptr && length < RTL_NUMBER_OF(process->ImageFileName) &&
         process->ImageFileName[length] != 0) {
    name[length] = process->ImageFileName[length];
    ++length;
  }
  return length;
}

struct ProcessWalk {
  Answer* answer;
  bool extended;
  ULONG previous = ~0u;  // where the last entry begins
};

// Where the next entry begins; the one before it says so.
ULONG BeginEntry(ProcessWalk* walk) {
  walk->answer->AlignTo(8);
  const ULONG start = walk->answer->needed();
  if (walk->previous != ~0u) {
    const ULONG offset = start - walk->previous;
    walk->answer->Put(walk->previous + FIELD_OFFSET(SYSTEM_PROCESS_INFORMATION, NextEntryOffset), &offset,
                      sizeof offset);
  }
  walk->previous = start;
  return start;
}

// A process with its threads and its name.
void PutProcess(ProcessWalk* walk, PEPROCESS process) {
  Threads threads;
  const NTSTATUS status = threads.Take([process](Threads* taken) { AddThreads(process, taken); });
  const ULONG count = NT_SUCCESS(status) ? threads.count() : 0;
  SYSTEM_PROCESS_INFORMATION information = {};
  information.NumberOfThreads = information.NumberOfThreadsHighWatermark = count;
  information.CreateTime = process->CreateTime;
  information.KernelTime = Ticks(process->Pcb.KernelTime);
  information.UserTime = Ticks(process->Pcb.UserTime);
  information.CycleTime = process->Pcb.CycleTime;
  information.BasePriority = process->Pcb.BasePriority;
  information.UniqueProcessId = process->UniqueProcessId;
  information.InheritedFromUniqueProcessId = process->InheritedFromUniqueProcessId;
  information.SessionId = process->SessionId;
  // The Idle process has the System process's table.
  if (process != PsIdleProcess && process->ObjectTable != nullptr)
    information.HandleCount = static_cast<ULONG>(process->ObjectTable->HandleCount);
  PutMemory(process, &information);
  PutIo(process, &information);
  const ULONG thread_bytes =
      walk->extended ? sizeof(SYSTEM_EXTENDED_THREAD_INFORMATION) : sizeof(SYSTEM_THREAD_INFORMATION);
  const ULONG start = BeginEntry(walk);
  WCHAR name[RTL_NUMBER_OF(process->ImageFileName) + 1] = {};
  const USHORT length = NameOf(process, name);
  const ULONG name_offset = start + sizeof information + count * thread_bytes;
  if (length != 0) {
    information.ImageName = {static_cast<USHORT>(length * sizeof(WCHAR)),
                             static_cast<USHORT>((length + 1) * sizeof(WCHAR)),
                             static_cast<PWCH>(walk->answer->AddressOf(name_offset))};
  }
  walk->answer->Append(&information, sizeof information);
  // The extended structure begins with the other.
  for (ULONG i = 0; i < count; ++i) walk->answer->Append(&threads[i], thread_bytes);
  walk->answer->Append(name, (length + 1) * sizeof(WCHAR));
}

}  // namespace

namespace ex {

NTSTATUS QueryProcesses(Answer* answer, bool extended) {
  ProcessWalk walk = {answer, extended};
  PutProcess(&walk, PsIdleProcess);
  ps::EnumerateProcesses(
      [](PEPROCESS process, PVOID context) {
        PutProcess(static_cast<ProcessWalk*>(context), process);
        return true;
      },
      &walk);
  return STATUS_SUCCESS;
}

// The caller says which process, and where its image's name is to go.
NTSTATUS QueryProcessId(PVOID information, ULONG length, PULONG returned) {
  if (returned != nullptr) *returned = sizeof(SYSTEM_PROCESS_ID_INFORMATION);
  if (length != sizeof(SYSTEM_PROCESS_ID_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
  auto* asked = static_cast<SYSTEM_PROCESS_ID_INFORMATION*>(information);
  if (asked->ImageName.Length != 0 || asked->ImageName.MaximumLength % sizeof(WCHAR) != 0)
    return STATUS_INVALID_PARAMETER;
  PEPROCESS process;
  NTSTATUS status = PsLookupProcessByProcessId(asked->ProcessId, &process);
  if (!NT_SUCCESS(status)) return status;
  const UNICODE_STRING& name = process->SeAuditProcessCreationInfo.ImageFileName->Name;
  if (name.Length + sizeof(WCHAR) > asked->ImageName.MaximumLength) {
    asked->ImageName.MaximumLength = static_cast<USHORT>(name.Length + sizeof(WCHAR));
    status = STATUS_INFO_LENGTH_MISMATCH;
  } else {
    RtlCopyMemory(asked->ImageName.Buffer, name.Buffer, name.Length);
    asked->ImageName.Buffer[name.Length / sizeof(WCHAR)] = 0;
    asked->ImageName.Length = name.Length;
  }
  ObfDereferenceObject(process);
  return status;
}

}  // namespace ex
