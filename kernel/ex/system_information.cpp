// ZwQuerySystemInformation and ZwSetSystemInformation.
#include "system_information.h"

#include "ex/pool.h"
#include "image_information.h"
#include "ke/ke.h"
#include "mm/mm.h"
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

constexpr ULONG kTag = 'fnIS';
constexpr ULONG64 kTick = 156'250;  // 100 ns

LARGE_INTEGER Ticks(ULONG64 count) {
  LARGE_INTEGER time;
  time.QuadPart = static_cast<LONGLONG>(count * kTick);
  return time;
}

// The answer to a query: what fits is written, what all of it takes is counted. The caller's buffer may be
// pageable: no lock is held while it is written.
class Answer {
 public:
  Answer(PVOID buffer, ULONG length) : buffer_(static_cast<UCHAR*>(buffer)), length_(length) {}
  ULONG needed() const { return needed_; }
  void Put(ULONG offset, const void* data, ULONG bytes) {
    if (offset <= length_ && bytes <= length_ - offset) RtlCopyMemory(buffer_ + offset, data, bytes);
    if (needed_ < offset + bytes) needed_ = offset + bytes;
  }
  ULONG Append(const void* data, ULONG bytes) {
    const ULONG at = needed_;
    Put(at, data, bytes);
    return at;
  }
  void AlignTo(ULONG alignment) { needed_ = (needed_ + alignment - 1) & ~(alignment - 1); }
  PVOID AddressOf(ULONG offset) const { return buffer_ + offset; }
  NTSTATUS Finish(PULONG returned) const {
    if (returned != nullptr) *returned = needed_;
    return needed_ <= length_ ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
  }

 private:
  UCHAR* buffer_;
  ULONG length_;
  ULONG needed_ = 0;
};

// An array in nonpaged pool that a walk under a spin lock fills; grows between walks.
template <typename T>
class Snapshot {
 public:
  ~Snapshot() {
    if (items_ != nullptr) ExFreePoolWithTag(items_, kTag);
  }
  // Walks until everything fits: fill(this) calls Add for each item.
  template <typename Fill>
  NTSTATUS Take(Fill fill) {
    for (ULONG capacity = 64;; capacity = found_ + found_ / 4 + 8) {
      if (items_ != nullptr) ExFreePoolWithTag(items_, kTag);
      items_ = static_cast<T*>(ExAllocatePoolWithTag(NonPagedPoolNx, capacity * sizeof(T), kTag));
      if (items_ == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
      capacity_ = capacity;
      found_ = 0;
      fill(this);
      if (found_ <= capacity_) return STATUS_SUCCESS;
    }
  }
  void Add(const T& item) {
    if (found_ < capacity_) items_[found_] = item;
    ++found_;
  }
  ULONG count() const { return found_; }
  const T& operator[](ULONG i) const { return items_[i]; }

 private:
  T* items_ = nullptr;
  ULONG capacity_ = 0, found_ = 0;
};

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

SYSTEM_THREAD_INFORMATION Describe(const ETHREAD* thread) {
  SYSTEM_THREAD_INFORMATION information = {};
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
  return information;
}

using Threads = Snapshot<SYSTEM_THREAD_INFORMATION>;

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

// A process with its threads and its name.
void PutProcess(Answer* answer, PEPROCESS process, ULONG* previous) {
  Threads threads;
  const NTSTATUS status = threads.Take([process](Threads* taken) { AddThreads(process, taken); });
  const ULONG count = NT_SUCCESS(status) ? threads.count() : 0;
  SYSTEM_PROCESS_INFORMATION information = {};
  information.NumberOfThreads = count;
  information.CreateTime = process->CreateTime;
  information.KernelTime = Ticks(process->Pcb.KernelTime);
  information.UserTime = Ticks(process->Pcb.UserTime);
  information.CycleTime = process->Pcb.CycleTime;
  information.BasePriority = process->Pcb.BasePriority;
  information.UniqueProcessId = process->UniqueProcessId;
  information.InheritedFromUniqueProcessId = process->InheritedFromUniqueProcessId;
  information.HandleCount =
      process == PsInitialSystemProcess ? static_cast<ULONG>(ObpKernelHandleTable->HandleCount) : 0;
  answer->AlignTo(8);
  const ULONG start = answer->needed();
  if (*previous != ~0u) {
    const ULONG offset = start - *previous;
    answer->Put(*previous + FIELD_OFFSET(SYSTEM_PROCESS_INFORMATION, NextEntryOffset), &offset,
                sizeof offset);
  }
  *previous = start;
  WCHAR name[RTL_NUMBER_OF(process->ImageFileName) + 1] = {};
  USHORT length = 0;
  // The Idle process has no name, as on Windows.
  while (process->UniqueProcessId != nullptr && length < RTL_NUMBER_OF(process->ImageFileName) &&
         process->ImageFileName[length] != 0) {
    name[length] = process->ImageFileName[length];
    ++length;
  }
  const ULONG name_offset =
      start + sizeof information + count * static_cast<ULONG>(sizeof(SYSTEM_THREAD_INFORMATION));
  if (length != 0) {
    information.ImageName = {static_cast<USHORT>(length * sizeof(WCHAR)),
                             static_cast<USHORT>((length + 1) * sizeof(WCHAR)),
                             static_cast<PWCH>(answer->AddressOf(name_offset))};
  }
  answer->Append(&information, sizeof information);
  for (ULONG i = 0; i < count; ++i) answer->Append(&threads[i], sizeof threads[i]);
  answer->Append(name, (length + 1) * sizeof(WCHAR));
}

struct ProcessWalk {
  Answer* answer;
  ULONG previous;
};

NTSTATUS QueryProcesses(Answer* answer) {
  ProcessWalk walk = {answer, ~0u};
  PutProcess(answer, PsIdleProcess, &walk.previous);
  ps::EnumerateProcesses(
      [](PEPROCESS process, PVOID context) {
        auto* walk = static_cast<ProcessWalk*>(context);
        PutProcess(walk->answer, process, &walk->previous);
        return true;
      },
      &walk);
  return STATUS_SUCCESS;
}

struct Module {
  PVOID base;
  ULONG size, flags;
  USHORT load_count, length;
  WCHAR name[256];
};

NTSTATUS QueryModules(Answer* answer) {
  Snapshot<Module> modules;
  const NTSTATUS status = modules.Take([](Snapshot<Module>* snapshot) {
    ke::SpinGuard guard(&PsLoadedModuleSpinLock);
    for (PLIST_ENTRY at = PsLoadedModuleList.Flink; at != &PsLoadedModuleList; at = at->Flink) {
      const auto* entry = CONTAINING_RECORD(at, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
      static Module module;  // too large for the stack; guarded by the lock
      module = {entry->DllBase, entry->SizeOfImage, entry->Flags, entry->LoadCount, 0, {}};
      while (module.length < 255 && module.length < entry->FullDllName.Length / sizeof(WCHAR)) {
        module.name[module.length] = entry->FullDllName.Buffer[module.length];
        ++module.length;
      }
      snapshot->Add(module);
    }
  });
  if (!NT_SUCCESS(status)) return status;
  const ULONG count = modules.count();
  answer->Append(&count, sizeof count);
  answer->AlignTo(8);
  for (ULONG i = 0; i < modules.count(); ++i) {
    const Module& module = modules[i];
    RTL_PROCESS_MODULE_INFORMATION information = {};
    information.ImageBase = module.base;
    information.ImageSize = module.size;
    information.Flags = module.flags;
    information.LoadOrderIndex = static_cast<USHORT>(i);
    information.LoadCount = module.load_count;
    for (USHORT k = 0; k < module.length; ++k) {
      information.FullPathName[k] = module.name[k] < 128 ? static_cast<UCHAR>(module.name[k]) : '?';
      if (module.name[k] == L'\\') information.OffsetToFileName = static_cast<USHORT>(k + 1);
    }
    answer->Append(&information, sizeof information);
  }
  return STATUS_SUCCESS;
}

struct Handle {
  HANDLE value;
  PVOID object;
  ULONG access, attributes;
  UCHAR type;
};

NTSTATUS TakeHandles(Snapshot<Handle>* handles) {
  return handles->Take([](Snapshot<Handle>* snapshot) {
    ob::EnumerateHandles(
        [](HANDLE value, PVOID object, const HANDLE_TABLE_ENTRY& entry, PVOID context) {
          static_cast<Snapshot<Handle>*>(context)->Add(
              {value, object, entry.GrantedAccessBits, entry.Attributes, ObjectToHeader(object)->TypeIndex});
        },
        snapshot);
  });
}

NTSTATUS QueryHandles(Answer* answer, bool extended) {
  Snapshot<Handle> handles;
  const NTSTATUS status = TakeHandles(&handles);
  if (!NT_SUCCESS(status)) return status;
  const ULONG_PTR head[2] = {handles.count(), 0};
  if (extended) {
    answer->Append(head, sizeof head);
  } else {
    answer->Append(head, sizeof(ULONG));
    answer->AlignTo(8);
  }
  for (ULONG i = 0; i < handles.count(); ++i) {
    const Handle& handle = handles[i];
    if (extended) {
      SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX information = {};
      information.Object = handle.object;
      information.UniqueProcessId = 4;
      information.HandleValue = reinterpret_cast<ULONG_PTR>(handle.value);
      information.GrantedAccess = handle.access;
      information.ObjectTypeIndex = handle.type;
      information.HandleAttributes = handle.attributes;
      answer->Append(&information, sizeof information);
    } else {
      SYSTEM_HANDLE_TABLE_ENTRY_INFO information = {};
      information.Object = handle.object;
      information.UniqueProcessId = 4;
      information.HandleValue = static_cast<USHORT>(reinterpret_cast<ULONG_PTR>(handle.value));
      information.GrantedAccess = handle.access;
      information.ObjectTypeIndex = handle.type;
      information.HandleAttributes = static_cast<UCHAR>(handle.attributes);
      answer->Append(&information, sizeof information);
    }
  }
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
      return QueryBasic(answer);
    case SystemProcessorInformation:
      return QueryProcessor(answer);
    case SystemPerformanceInformation:
      return QueryPerformance(answer);
    case SystemTimeOfDayInformation:
      return QueryTimeOfDay(answer);
    case SystemProcessInformation:
      return QueryProcesses(answer);
    case SystemProcessorPerformanceInformation:
      return QueryProcessorPerformance(answer);
    case SystemPoolTagInformation:
      ex::QueryPoolTags(AppendTo, answer);
      return STATUS_SUCCESS;
    case SystemModuleInformation:
      return QueryModules(answer);
    case SystemHandleInformation:
      return QueryHandles(answer, false);
    case SystemExtendedHandleInformation:
      return QueryHandles(answer, true);
    case SystemKernelDebuggerInformation:
      return QueryDebugger(answer);
    case SystemCodeIntegrityInformation:
      return QueryCodeIntegrity(answer);
    default:
      return STATUS_INVALID_INFO_CLASS;
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
/// Differs from NT: classes Basic, Processor, Performance, PoolTag, TimeOfDay, Process, ProcessorPerformance,
/// Module, Handle, ExtendedHandle, KernelDebugger and CodeIntegrity only; memory and I/O counters of
/// processes are 0.
/// Source: not documented for drivers; the API NtQuerySystemInformation.
NT_EXPORT(NtQuerySystemInformation, nt::AtMost(PASSIVE_LEVEL), Partial, "ExSystemInformation.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtQuerySystemInformation(ULONG SystemInformationClass,
                                                                     PVOID SystemInformation,
                                                                     ULONG SystemInformationLength,
                                                                     PULONG ReturnLength) {
  Answer answer(SystemInformation, SystemInformationLength);
  const NTSTATUS status = Query(SystemInformationClass, &answer);
  return NT_SUCCESS(status) ? answer.Finish(ReturnLength) : status;
}

/// Facts about the whole system, by class.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as NtQuerySystemInformation.
/// Source: not documented for drivers; the API NtQuerySystemInformation.
NT_EXPORT(ZwQuerySystemInformation, nt::AtMost(PASSIVE_LEVEL), Partial, "ExSystemInformation.*");
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
