// ZwQuerySystemInformation and ZwSetSystemInformation.
#include "system_information.h"

#include "ex/pool.h"
#include "image_information.h"
#include "information_answer.h"
#include "ke/ke.h"
#include "mm/mm.h"
#include "mm/process_counts.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "ob/ob.h"
#include "pool_information.h"
#include "ps/ps.h"

extern "C" {
extern KSPIN_LOCK PsLoadedModuleSpinLock;
extern ULONG64 MmNumberOfPhysicalPages, MmLowestPhysicalPage, MmHighestPhysicalPage;
}

namespace {

using ex::Answer, ex::Snapshot, ex::Ticks;

NTSTATUS QueryBasic(Answer* answer) {
  SYSTEM_BASIC_INFORMATION information = {};
  information.TimerResolution = KeQueryTimeIncrement();
  information.PageSize = PAGE_SIZE;
  information.NumberOfPhysicalPages = static_cast<ULONG>(MmNumberOfPhysicalPages);
  information.LowestPhysicalPageNumber = static_cast<ULONG>(MmLowestPhysicalPage);
  information.HighestPhysicalPageNumber = static_cast<ULONG>(MmHighestPhysicalPage);
  information.AllocationGranularity = 0x10000;
  information.MinimumUserModeAddress = 0x10000;
  information.MaximumUserModeAddress = reinterpret_cast<ULONG_PTR>(MmHighestUserAddress);
  information.ActiveProcessorsAffinityMask = KeQueryActiveProcessors();
  information.NumberOfProcessors = static_cast<CCHAR>(KeNumberProcessors);
  answer->Append(&information, sizeof information);
  return STATUS_SUCCESS;
}

NTSTATUS QueryProcessor(Answer* answer) {
  const PKPRCB prcb = KeGetCurrentPrcb();
  const SYSTEM_PROCESSOR_INFORMATION information = {9 /* AMD64 */, static_cast<USHORT>(prcb->CpuType),
                                                    prcb->CpuStep, static_cast<USHORT>(KeNumberProcessors),
                                                    0};
  answer->Append(&information, sizeof information);
  return STATUS_SUCCESS;
}

NTSTATUS QueryPerformance(Answer* answer) {
  MmCounts counts;
  MmQueryCounts(&counts);
  SYSTEM_PERFORMANCE_INFORMATION information = {};
  for (LONG i = 0; i < KeNumberProcessors; ++i) {
    information.IdleProcessTime.QuadPart += Ticks(KiProcessorBlock[i]->IdleThread->KernelTime).QuadPart;
    information.PageFaultCount += KiProcessorBlock[i]->PageFaultCount;
  }
  MmCommitment commitment;
  MmQueryCommitment(&commitment);
  information.CommittedPages = commitment.Pages;
  information.CommitLimit = commitment.Limit;
  information.PeakCommitment = commitment.Peak;
  information.AvailablePages = static_cast<ULONG>(counts.AvailablePages);
  information.PagedPoolPages = static_cast<ULONG>(counts.PagedPoolPages);
  information.ResidentPagedPoolPage = static_cast<ULONG>(counts.ResidentPagedPoolPages);
  information.NonPagedPoolPages = static_cast<ULONG>(counts.NonPagedPoolPages);
  information.FreeSystemPtes = static_cast<ULONG>(counts.FreeSystemPtes);
  information.CopyOnWriteCount = static_cast<ULONG>(counts.CopyOnWrites);
  information.TransitionCount = static_cast<ULONG>(counts.Transitions);
  information.DemandZeroCount = static_cast<ULONG>(counts.DemandZeroes);
  information.PageReadCount = information.PageReadIoCount = static_cast<ULONG>(counts.PageReads);
  information.DirtyPagesWriteCount = information.DirtyWriteIoCount = static_cast<ULONG>(counts.PageWrites);
  information.MappedPagesWriteCount = information.MappedWriteIoCount =
      static_cast<ULONG>(counts.MappedPageWrites);
  answer->Append(&information, sizeof information);
  return STATUS_SUCCESS;
}

NTSTATUS QueryTimeOfDay(Answer* answer) {
  SYSTEM_TIMEOFDAY_INFORMATION information = {};
  KeQuerySystemTime(&information.CurrentTime);
  information.BootTime.QuadPart =
      information.CurrentTime.QuadPart - static_cast<LONGLONG>(KeQueryInterruptTime());
  LARGE_INTEGER local;
  ExSystemTimeToLocalTime(&information.CurrentTime, &local);
  information.TimeZoneBias.QuadPart = information.CurrentTime.QuadPart - local.QuadPart;
  answer->Append(&information, sizeof information);
  return STATUS_SUCCESS;
}

NTSTATUS QueryProcessorPerformance(Answer* answer) {
  for (LONG i = 0; i < KeNumberProcessors; ++i) {
    const PKPRCB prcb = KiProcessorBlock[i];
    SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION information = {};
    information.IdleTime = Ticks(prcb->IdleThread->KernelTime);
    information.KernelTime = Ticks(prcb->KernelTime);
    information.UserTime = Ticks(prcb->UserTime);
    information.DpcTime = Ticks(prcb->DpcTime);
    information.InterruptTime = Ticks(prcb->InterruptTime);
    information.InterruptCount = prcb->InterruptCount;
    answer->Append(&information, sizeof information);
  }
  return STATUS_SUCCESS;
}

struct Module {
  PVOID base;
  ULONG size, flags, checksum, time_stamp;
  USHORT load_count, length;
  WCHAR name[256];
};
using Modules = Snapshot<Module>;

void AddModules(Modules* modules) {
  ke::SpinGuard guard(&PsLoadedModuleSpinLock);
  for (PLIST_ENTRY at = PsLoadedModuleList.Flink; at != &PsLoadedModuleList; at = at->Flink) {
    const auto* entry = CONTAINING_RECORD(at, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
    static Module module;  // too large for the stack; guarded by the lock
    module = {entry->DllBase,
              entry->SizeOfImage,
              entry->Flags,
              entry->CheckSum,
              entry->TimeDateStamp,
              entry->LoadCount,
              0,
              {}};
    while (module.length < 255 && module.length < entry->FullDllName.Length / sizeof(WCHAR)) {
      module.name[module.length] = entry->FullDllName.Buffer[module.length];
      ++module.length;
    }
    modules->Add(module);
  }
}

RTL_PROCESS_MODULE_INFORMATION Describe(const Module& module, ULONG index) {
  RTL_PROCESS_MODULE_INFORMATION information = {};
  information.ImageBase = module.base;
  information.ImageSize = module.size;
  information.Flags = module.flags;
  information.LoadOrderIndex = static_cast<USHORT>(index);
  information.LoadCount = module.load_count;
  for (USHORT k = 0; k < module.length; ++k) {
    information.FullPathName[k] = module.name[k] < 128 ? static_cast<UCHAR>(module.name[k]) : '?';
    if (module.name[k] == L'\\') information.OffsetToFileName = static_cast<USHORT>(k + 1);
  }
  return information;
}

NTSTATUS QueryModules(Answer* answer) {
  Modules modules;
  const NTSTATUS status = modules.Take(AddModules);
  if (!NT_SUCCESS(status)) return status;
  const ULONG count = modules.count();
  answer->Append(&count, sizeof count);
  answer->AlignTo(8);
  for (ULONG i = 0; i < count; ++i) {
    const RTL_PROCESS_MODULE_INFORMATION information = Describe(modules[i], i);
    answer->Append(&information, sizeof information);
  }
  return STATUS_SUCCESS;
}

// A list; an entry of length 0 ends it.
NTSTATUS QueryModulesEx(Answer* answer) {
  Modules modules;
  const NTSTATUS status = modules.Take(AddModules);
  if (!NT_SUCCESS(status)) return status;
  for (ULONG i = 0; i < modules.count(); ++i) {
    RTL_PROCESS_MODULE_INFORMATION_EX information = {};
    information.NextOffset = sizeof information;
    information.BaseInfo = Describe(modules[i], i);
    information.ImageChecksum = modules[i].checksum;
    information.TimeDateStamp = modules[i].time_stamp;
    information.DefaultBase = modules[i].base;
    answer->Append(&information, sizeof information);
  }
  const USHORT end = 0;
  answer->Append(&end, sizeof end);
  return STATUS_SUCCESS;
}

NTSTATUS QueryDebugger(Answer* answer) {
  const SYSTEM_KERNEL_DEBUGGER_INFORMATION information = {FALSE, TRUE};
  answer->Append(&information, sizeof information);
  return STATUS_SUCCESS;
}

// No code integrity is enforced: every option is clear.
NTSTATUS QueryCodeIntegrity(Answer* answer) {
  const SYSTEM_CODEINTEGRITY_INFORMATION information = {sizeof information, 0};
  answer->Append(&information, sizeof information);
  return STATUS_SUCCESS;
}

void AppendTo(PVOID answer, const void* data, ULONG bytes) {
  static_cast<Answer*>(answer)->Append(data, bytes);
}

NTSTATUS Query(ULONG information_class, Answer* answer) {
  switch (information_class) {
    case SystemBasicInformation:
    case SystemEmulationBasicInformation:
    case SystemNativeBasicInformation:
      return QueryBasic(answer);
    case SystemProcessorInformation:
    case SystemEmulationProcessorInformation:
      return QueryProcessor(answer);
    case SystemPerformanceInformation:
      return QueryPerformance(answer);
    case SystemTimeOfDayInformation:
      return QueryTimeOfDay(answer);
    case SystemProcessInformation:
      return ex::QueryProcesses(answer, false);
    case SystemExtendedProcessInformation:
      return ex::QueryProcesses(answer, true);
    case SystemProcessorPerformanceInformation:
      return QueryProcessorPerformance(answer);
    case SystemPoolTagInformation:
      ex::QueryPoolTags(AppendTo, answer);
      return STATUS_SUCCESS;
    case SystemBigPoolInformation:
      return ex::QueryBigPool(AppendTo, answer);
    case SystemModuleInformation:
      return QueryModules(answer);
    case SystemModuleInformationEx:
      return QueryModulesEx(answer);
    case SystemHandleInformation:
      return ex::QueryHandles(answer, false);
    case SystemExtendedHandleInformation:
      return ex::QueryHandles(answer, true);
    case SystemKernelDebuggerInformation:
      return QueryDebugger(answer);
    case SystemCodeIntegrityInformation:
      return QueryCodeIntegrity(answer);
    default:
      return ex::QueryFact(information_class, answer);
  }
}

// Whatever the command, everything that can go goes.
NTSTATUS SetMemoryList(ULONG length) {
  if (length != sizeof(ULONG)) return STATUS_INFO_LENGTH_MISMATCH;
  MmTrimPageableImages();
  MmTrimPagedPool();
  ex::DrainPools();
  return STATUS_SUCCESS;
}

}  // namespace

/// Facts about the whole system, by class. *ReturnLength is what the whole answer takes; a buffer that is too
/// small gets STATUS_INFO_LENGTH_MISMATCH.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; classes without an answer here are STATUS_INVALID_INFO_CLASS, as those are that a Windows
/// does not know.
/// Source: not documented for drivers; the API NtQuerySystemInformation.
NT_EXPORT(NtQuerySystemInformation, nt::AtMost(PASSIVE_LEVEL), Full, "ExSystemInformation.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtQuerySystemInformation(ULONG SystemInformationClass,
                                                                     PVOID SystemInformation,
                                                                     ULONG SystemInformationLength,
                                                                     PULONG ReturnLength) {
  if (SystemInformationClass == SystemProcessIdInformation)
    return ex::QueryProcessId(SystemInformation, SystemInformationLength, ReturnLength);
  Answer answer(SystemInformation, SystemInformationLength);
  const NTSTATUS status = Query(SystemInformationClass, &answer);
  return NT_SUCCESS(status) ? answer.Finish(ReturnLength) : status;
}

/// Facts about the whole system, by class.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; see NtQuerySystemInformation.
/// Source: not documented for drivers; the API NtQuerySystemInformation.
NT_EXPORT(ZwQuerySystemInformation, nt::AtMost(PASSIVE_LEVEL), Full, "ExSystemInformation.*");
extern "C" NTSTATUS NTAPI ZwQuerySystemInformation(ULONG SystemInformationClass, PVOID SystemInformation,
                                                   ULONG SystemInformationLength, PULONG ReturnLength) {
  return ke::CallService(NtQuerySystemInformation, SystemInformationClass, SystemInformation,
                         SystemInformationLength, ReturnLength);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtSetSystemInformation(ULONG SystemInformationClass,
                                                                   PVOID SystemInformation,
                                                                   ULONG SystemInformationLength) {
  switch (SystemInformationClass) {
    case SystemLoadGdiDriverInformation:
      return ex::LoadGdiDriver(SystemInformation, SystemInformationLength);
    case SystemUnloadGdiDriverInformation:
      return ex::UnloadGdiDriver(SystemInformation, SystemInformationLength);
    case SystemMemoryListInformation:
      return SetMemoryList(SystemInformationLength);
    default:
      return STATUS_INVALID_INFO_CLASS;
  }
}

/// Changes the machine's state: SystemMemoryListInformation with any command makes pageable memory not
/// resident and gives what the pools keep for later back; SystemLoadGdiDriverInformation loads an image
/// without calling its entry, SystemUnloadGdiDriverInformation unloads it. Returns: STATUS_INVALID_INFO_CLASS
/// for other classes.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the other classes are missing; the memory list's commands do the same; the export section
/// of a loaded image is not told.
/// Source: SYSTEM_MEMORY_LIST_COMMAND as memory-list tools use it; not documented.
NT_EXPORT(ZwSetSystemInformation, nt::Exactly(PASSIVE_LEVEL), Partial, "ExSystemInformation.* LoaderFuzz.*");
extern "C" NTSTATUS NTAPI ZwSetSystemInformation(ULONG SystemInformationClass, PVOID SystemInformation,
                                                 ULONG SystemInformationLength) {
  return ke::CallService(NtSetSystemInformation, SystemInformationClass, SystemInformation,
                         SystemInformationLength);
}
