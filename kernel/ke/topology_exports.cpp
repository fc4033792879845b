// How the processors lie to each other: every one a core of its own, in one package, node and group; which of
// them share a cache is what CPUID says.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

constexpr ULONG kTag = 'pcPK';
constexpr ULONG kCacheLine = 64;

GROUP_AFFINITY MaskOf(KAFFINITY mask) {
  GROUP_AFFINITY affinity = {};
  affinity.Mask = mask;
  return affinity;
}

// One kind of cache, as CPUID's leaf 4 (AMD: 8000001D) tells it; all processors are alike.
struct Cache {
  arch::CpuidResult leaf;

  ULONG kind() const { return leaf.eax & 0x1F; }  // 0: there is no further cache
  PROCESSOR_CACHE_TYPE Type() const {
    return kind() == 1 ? CacheData : kind() == 2 ? CacheInstruction : CacheUnified;
  }
  ULONG Sharers() const { return ((leaf.eax >> 14) & 0xFFF) + 1; }
  CACHE_RELATIONSHIP Describe() const {
    const ULONG ways = (leaf.ebx >> 22) + 1, partitions = ((leaf.ebx >> 12) & 0x3FF) + 1,
                line = (leaf.ebx & 0xFFF) + 1;
    CACHE_RELATIONSHIP cache = {};
    cache.Level = (leaf.eax >> 5) & 7;
    cache.Associativity =
        (leaf.eax & 0x200) != 0 || ways > 0xFE ? CACHE_FULLY_ASSOCIATIVE : static_cast<UCHAR>(ways);
    cache.LineSize = static_cast<USHORT>(line);
    cache.CacheSize = ways * partitions * line * (leaf.ecx + 1);
    cache.Type = Type();
    return cache;
  }
};

Cache CacheAt(ULONG index) {
  constexpr ULONG kTopologyExtensions = 1u << 22;
  if (arch::Cpuid(0x80000000).eax >= 0x8000001D && (arch::Cpuid(0x80000001).ecx & kTopologyExtensions) != 0) {
    return {arch::Cpuid(0x8000001D, index)};
  }
  return {arch::Cpuid(0).eax >= 4 ? arch::Cpuid(4, index) : arch::CpuidResult{}};
}

// Appends records to the caller's buffer as far as they fit and counts what all of them need.
class Records {
 public:
  Records(PVOID buffer, ULONG size)
      : bytes_(static_cast<UCHAR*>(buffer)), size_(buffer != nullptr ? size : 0) {}

  void AddProcessors(LOGICAL_PROCESSOR_RELATIONSHIP kind, KAFFINITY mask) {
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX record = {};
    record.Processor.GroupCount = 1;
    record.Processor.GroupMask[0] = MaskOf(mask);
    Add(&record, kind, RTL_SIZEOF_THROUGH_FIELD(SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX, Processor));
  }
  // A record for each set of processors that share such a cache, if one of `wanted` is among them.
  void AddCaches(const Cache& cache, KAFFINITY wanted) {
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX record = {};
    ULONG shift = 0;  // sharers agree in all higher bits of their APIC ids
    while ((1ul << shift) < cache.Sharers()) ++shift;
    for (KAFFINITY left = KeActiveProcessors; left != 0;) {
      const ULONG group = KiProcessorBlock[__builtin_ctzll(left)]->ApicId >> shift;
      KAFFINITY sharers = 0;
      for (KAFFINITY set = left; set != 0; set &= set - 1) {
        if (KiProcessorBlock[__builtin_ctzll(set)]->ApicId >> shift == group) sharers |= set & (0 - set);
      }
      left &= ~sharers;
      if ((sharers & wanted) == 0) continue;
      record.Cache = cache.Describe();
      record.Cache.GroupMask = MaskOf(sharers);
      Add(&record, RelationCache, RTL_SIZEOF_THROUGH_FIELD(SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX, Cache));
    }
  }
  void AddNode() {
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX record = {};
    record.NumaNode.GroupMask = MaskOf(KeActiveProcessors);
    Add(&record, RelationNumaNode,
        RTL_SIZEOF_THROUGH_FIELD(SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX, NumaNode));
  }
  void AddGroup() {
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX record = {};
    record.Group.MaximumGroupCount = record.Group.ActiveGroupCount = 1;
    PROCESSOR_GROUP_INFO* info = &record.Group.GroupInfo[0];
    info->MaximumProcessorCount = static_cast<UCHAR>(KeLoaderBlock->processors);
    info->ActiveProcessorCount = static_cast<UCHAR>(KeNumberProcessors);
    info->ActiveProcessorMask = KeActiveProcessors;
    Add(&record, RelationGroup, RTL_SIZEOF_THROUGH_FIELD(SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX, Group));
  }
  ULONG needed() const { return needed_; }
  bool fits() const { return needed_ <= size_; }

 private:
  void Add(PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX record, LOGICAL_PROCESSOR_RELATIONSHIP kind, ULONG size) {
    record->Relationship = kind;
    record->Size = size;
    if (needed_ + size <= size_) RtlCopyMemory(bytes_ + needed_, record, size);
    needed_ += size;
  }

  UCHAR* bytes_;
  ULONG size_;
  ULONG needed_ = 0;
};

struct ChangeCallback {
  PPROCESSOR_CALLBACK_FUNCTION function;
  PVOID context;
};

// Tells of one processor. False: the callback does not want it.
bool Announce(const ChangeCallback* callback, ULONG number, KE_PROCESSOR_CHANGE_NOTIFY_STATE state,
              NTSTATUS status) {
  KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT change = {};
  change.State = state;
  change.NtNumber = number;
  change.Status = status;
  change.ProcNumber.Number = static_cast<UCHAR>(number);
  NTSTATUS operation = STATUS_SUCCESS;
  callback->function(callback->context, &change, &operation);
  return state != KeProcessorAddStartNotify || NT_SUCCESS(operation);
}

bool AnnounceAll(const ChangeCallback* callback) {
  const ULONG count = static_cast<ULONG>(KeNumberProcessors);
  ULONG told = 0;
  while (told < count && Announce(callback, told, KeProcessorAddStartNotify, STATUS_SUCCESS)) ++told;
  const bool wanted = told == count;
  for (ULONG i = 0; i < told; ++i) {
    Announce(callback, i, wanted ? KeProcessorAddCompleteNotify : KeProcessorAddFailureNotify,
             wanted ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL);
  }
  return wanted;
}

}  // namespace

extern "C" {

/// The active processors of a NUMA node, and how many they are: node 0 has all.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryNodeActiveAffinity.
NT_EXPORT(KeQueryNodeActiveAffinity, nt::AnyIrql(), Full, "KeProcessor.*");
VOID NTAPI KeQueryNodeActiveAffinity(USHORT NodeNumber, PGROUP_AFFINITY Affinity, PUSHORT Count) {
  if (Affinity != nullptr) *Affinity = MaskOf(NodeNumber == 0 ? KeActiveProcessors : 0);
  if (Count != nullptr) *Count = NodeNumber == 0 ? static_cast<USHORT>(KeNumberProcessors) : 0;
}

/// The largest number of processors that a NUMA node can have.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryNodeMaximumProcessorCount.
NT_EXPORT(KeQueryNodeMaximumProcessorCount, nt::AnyIrql(), Full, "KeProcessor.*");
USHORT NTAPI KeQueryNodeMaximumProcessorCount(USHORT NodeNumber) {
  return NodeNumber == 0 ? static_cast<USHORT>(KeLoaderBlock->processors) : 0;
}

/// How processors are related: cores, caches, nodes, packages and groups, of one processor (all but groups)
/// or all. A buffer that is too small gives STATUS_INFO_LENGTH_MISMATCH and the length that is needed.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryLogicalProcessorRelationship.
NT_EXPORT(KeQueryLogicalProcessorRelationship, nt::AtMost(DISPATCH_LEVEL), Full, "KeProcessor.*");
NTSTATUS NTAPI KeQueryLogicalProcessorRelationship(PPROCESSOR_NUMBER ProcessorNumber,
                                                   LOGICAL_PROCESSOR_RELATIONSHIP RelationshipType,
                                                   PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX Information,
                                                   PULONG Length) {
  if (ProcessorNumber != nullptr &&
      KeGetProcessorIndexFromNumber(ProcessorNumber) == INVALID_PROCESSOR_INDEX) {
    return STATUS_INVALID_PARAMETER;
  }
  const ULONG kind = static_cast<ULONG>(RelationshipType);
  if (kind > RelationGroup && kind != RelationAll) return STATUS_INVALID_PARAMETER;
  const auto wanted = [kind](LOGICAL_PROCESSOR_RELATIONSHIP one) {
    return kind == static_cast<ULONG>(one) || kind == RelationAll;
  };
  Records records(Information, *Length);
  const KAFFINITY of = ProcessorNumber != nullptr ? 1ull << ProcessorNumber->Number : KeActiveProcessors;
  if (wanted(RelationProcessorCore)) {
    for (KAFFINITY set = of; set != 0; set &= set - 1) {
      records.AddProcessors(RelationProcessorCore, set & (0 - set));
    }
  }
  constexpr ULONG kMostCaches = 16;
  if (wanted(RelationCache)) {
    for (ULONG i = 0; i < kMostCaches && CacheAt(i).kind() != 0; ++i) records.AddCaches(CacheAt(i), of);
  }
  if (wanted(RelationProcessorPackage)) records.AddProcessors(RelationProcessorPackage, KeActiveProcessors);
  if (wanted(RelationNumaNode)) records.AddNode();
  if (wanted(RelationGroup)) records.AddGroup();
  *Length = records.needed();
  return records.fits() ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
}

/// Calls a routine for each processor that is added to the running machine and, if Flags asks for it, for
/// those that are there: once before (it may refuse) and once after. Returns a handle, 0 if it refused or
/// there is no memory.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; processors are never added to a running machine.
/// Source: WDK wdm/KeRegisterProcessorChangeCallback.
NT_EXPORT(KeRegisterProcessorChangeCallback, nt::Exactly(PASSIVE_LEVEL), Full, "KeProcessor.*");
PVOID NTAPI KeRegisterProcessorChangeCallback(PPROCESSOR_CALLBACK_FUNCTION CallbackFunction,
                                              PVOID CallbackContext, ULONG Flags) {
  auto* callback =
      static_cast<ChangeCallback*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ChangeCallback), kTag));
  if (callback == nullptr) return nullptr;
  *callback = {CallbackFunction, CallbackContext};
  if ((Flags & KE_PROCESSOR_CHANGE_ADD_EXISTING) != 0 && !AnnounceAll(callback)) {
    ExFreePoolWithTag(callback, kTag);
    return nullptr;
  }
  return callback;
}

/// Undoes KeRegisterProcessorChangeCallback.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeDeregisterProcessorChangeCallback.
NT_EXPORT(KeDeregisterProcessorChangeCallback, nt::Exactly(PASSIVE_LEVEL), Full, "KeProcessor.*");
VOID NTAPI KeDeregisterProcessorChangeCallback(PVOID CallbackHandle) {
  ExFreePoolWithTag(CallbackHandle, kTag);
}

/// Writes back and drops the cache lines of a range, on all processors.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/KeInvalidateRangeAllCaches.
NT_EXPORT(KeInvalidateRangeAllCaches, nt::AtMost(DISPATCH_LEVEL), Full, "KeProcessor.*");
VOID NTAPI KeInvalidateRangeAllCaches(PVOID BaseAddress, ULONG Length) {
  auto* line = static_cast<UCHAR*>(BaseAddress);
  const UCHAR* end = line + Length;
  for (line -= reinterpret_cast<ULONG_PTR>(line) % kCacheLine; line < end; line += kCacheLine) {
    __asm__ volatile("clflush %0" : "+m"(*line));  // coherent: it reaches every processor
  }
  __asm__ volatile("mfence" ::: "memory");
}

/// Whether the stack of the current thread may be paged out in waits in user mode; returns what held before.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none; stacks are never paged out.
/// Source: WDK ntifs/KeSetKernelStackSwapEnable.
NT_EXPORT(KeSetKernelStackSwapEnable, nt::AtMost(APC_LEVEL), Full, "KeThread.*");
BOOLEAN NTAPI KeSetKernelStackSwapEnable(BOOLEAN Enable) {
  PKTHREAD thread = KeCurrentThread();
  const BOOLEAN previous = thread->EnableStackSwap;
  thread->EnableStackSwap = Enable;
  return previous;
}

/// TRUE while the current thread is attached to another process.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeIsAttachedProcess, nt::AtMost(DISPATCH_LEVEL), Full, "KeAttach.*");
BOOLEAN NTAPI KeIsAttachedProcess() {
  return KeCurrentThread()->ApcStateIndex != 0;
}

}  // extern "C"
