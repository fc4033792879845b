// How the processors lie to each other: every one a core of its own, in one package, node and group.
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

/// How processors are related: cores, nodes, packages and groups, of one processor (cores, nodes, packages)
/// or all. A buffer that is too small gives STATUS_INFO_LENGTH_MISMATCH and the length that is needed. IRQL:
/// <= DISPATCH_LEVEL. Differs from NT: caches are not told: there are no records of RelationCache. Source:
/// WDK wdm/KeQueryLogicalProcessorRelationship.
NT_EXPORT(KeQueryLogicalProcessorRelationship, nt::AtMost(DISPATCH_LEVEL), Partial, "KeProcessor.*");
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
  if (wanted(RelationProcessorCore)) {
    KAFFINITY set = ProcessorNumber != nullptr ? 1ull << ProcessorNumber->Number : KeActiveProcessors;
    for (; set != 0; set &= set - 1) records.AddProcessors(RelationProcessorCore, set & (0 - set));
  }
  if (wanted(RelationProcessorPackage)) records.AddProcessors(RelationProcessorPackage, KeActiveProcessors);
  if (wanted(RelationNumaNode)) records.AddNode();
  if (wanted(RelationGroup)) records.AddGroup();
  *Length = records.needed();
  return records.fits() ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
}

/// Calls a routine for each processor that is added to the running machine and, if Flags asks for it, for
/// those that are there: once before (it may refuse) and once after. Returns a handle, 0 if it refused or
/// there is no memory. IRQL: PASSIVE_LEVEL. Differs from NT: none; processors are never added to a running
/// machine. Source: WDK wdm/KeRegisterProcessorChangeCallback.
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
