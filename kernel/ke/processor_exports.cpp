// Processors as drivers see them: one group, one node, all active.
#include "ke_internal.h"
#include "nt/export.h"

namespace {
ULONG Count() {
  return static_cast<ULONG>(KeNumberProcessors);
}
bool IsGroup(USHORT group) {
  return group == 0 || group == ALL_PROCESSOR_GROUPS;
}
}  // namespace

extern "C" {

/// The number of processors.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm header.
NT_EXPORT_DATA(KeNumberProcessors, Full, "KeProcessor.*");

/// The set of active processors.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryActiveProcessors.
NT_EXPORT(KeQueryActiveProcessors, nt::AnyIrql(), Full, "KeProcessor.*");
KAFFINITY NTAPI KeQueryActiveProcessors() {
  return KeActiveProcessors;
}

/// The number of active processors and, if wanted, their set.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryActiveProcessorCount.
NT_EXPORT(KeQueryActiveProcessorCount, nt::AnyIrql(), Full, "KeProcessor.*");
ULONG NTAPI KeQueryActiveProcessorCount(PKAFFINITY ActiveProcessors) {
  if (ActiveProcessors != nullptr) *ActiveProcessors = KeActiveProcessors;
  return Count();
}

/// The number of active processors of a group (0 or ALL_PROCESSOR_GROUPS).
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryActiveProcessorCountEx.
NT_EXPORT(KeQueryActiveProcessorCountEx, nt::AnyIrql(), Full, "KeProcessor.*");
ULONG NTAPI KeQueryActiveProcessorCountEx(USHORT GroupNumber) {
  return IsGroup(GroupNumber) ? Count() : 0;
}

/// The largest number of processors there can be while the machine runs: those that it has.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryMaximumProcessorCount.
NT_EXPORT(KeQueryMaximumProcessorCount, nt::AnyIrql(), Full, "KeProcessor.*");
ULONG NTAPI KeQueryMaximumProcessorCount() {
  return KeLoaderBlock->processors;
}

/// The same for a group.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryMaximumProcessorCountEx.
NT_EXPORT(KeQueryMaximumProcessorCountEx, nt::AnyIrql(), Full, "KeProcessor.*");
ULONG NTAPI KeQueryMaximumProcessorCountEx(USHORT GroupNumber) {
  return IsGroup(GroupNumber) ? KeLoaderBlock->processors : 0;
}

/// The number of active groups: 1.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryActiveGroupCount.
NT_EXPORT(KeQueryActiveGroupCount, nt::AnyIrql(), Full, "KeProcessor.*");
USHORT NTAPI KeQueryActiveGroupCount() {
  return 1;
}

/// The largest number of groups: 1.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryMaximumGroupCount.
NT_EXPORT(KeQueryMaximumGroupCount, nt::AnyIrql(), Full, "KeProcessor.*");
USHORT NTAPI KeQueryMaximumGroupCount() {
  return 1;
}

/// The set of active processors of a group.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryGroupAffinity.
NT_EXPORT(KeQueryGroupAffinity, nt::AnyIrql(), Full, "KeProcessor.*");
KAFFINITY NTAPI KeQueryGroupAffinity(USHORT GroupNumber) {
  return GroupNumber == 0 ? KeActiveProcessors : 0;
}

/// The current processor: its index and, if wanted, group and number.
/// IRQL: any; the answer lasts only at DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeGetCurrentProcessorNumberEx.
NT_EXPORT(KeGetCurrentProcessorNumberEx, nt::AnyIrql(), Full, "KeProcessor.*");
ULONG NTAPI KeGetCurrentProcessorNumberEx(PPROCESSOR_NUMBER ProcNumber) {
  const ULONG number = KeCurrentProcessor();
  if (ProcNumber != nullptr) *ProcNumber = {0, static_cast<UCHAR>(number), 0};
  return number;
}

/// Group and number of the processor with this index.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeGetProcessorNumberFromIndex.
NT_EXPORT(KeGetProcessorNumberFromIndex, nt::AnyIrql(), Full, "KeProcessor.*");
NTSTATUS NTAPI KeGetProcessorNumberFromIndex(ULONG ProcIndex, PPROCESSOR_NUMBER ProcNumber) {
  if (ProcIndex >= Count()) return STATUS_INVALID_PARAMETER;
  *ProcNumber = {0, static_cast<UCHAR>(ProcIndex), 0};
  return STATUS_SUCCESS;
}

/// Index of the processor; INVALID_PROCESSOR_INDEX if there is none.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeGetProcessorIndexFromNumber.
NT_EXPORT(KeGetProcessorIndexFromNumber, nt::AnyIrql(), Full, "KeProcessor.*");
ULONG NTAPI KeGetProcessorIndexFromNumber(PPROCESSOR_NUMBER ProcNumber) {
  const bool valid = ProcNumber->Group == 0 && ProcNumber->Reserved == 0 && ProcNumber->Number < Count();
  return valid ? ProcNumber->Number : 0xFFFFFFFF;
}

/// Number of the highest NUMA node: 0.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryHighestNodeNumber.
NT_EXPORT(KeQueryHighestNodeNumber, nt::AnyIrql(), Full, "KeProcessor.*");
USHORT NTAPI KeQueryHighestNodeNumber() {
  return 0;
}

/// NUMA node of the current processor: 0.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeGetCurrentNodeNumber.
NT_EXPORT(KeGetCurrentNodeNumber, nt::AnyIrql(), Full, "KeProcessor.*");
USHORT NTAPI KeGetCurrentNodeNumber() {
  return 0;
}

/// Alignment that keeps data of different processors in different cache lines.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeGetRecommendedSharedDataAlignment.
NT_EXPORT(KeGetRecommendedSharedDataAlignment, nt::AnyIrql(), Full, "KeProcessor.*");
ULONG NTAPI KeGetRecommendedSharedDataAlignment() {
  return 64;
}

/// Binds the thread to processors of group 0.
/// IRQL: <= DISPATCH_LEVEL; at DISPATCH_LEVEL the thread moves when the IRQL is lowered.
/// Differs from NT: none.
/// Source: WDK wdm/KeSetSystemGroupAffinityThread.
NT_EXPORT(KeSetSystemGroupAffinityThread, nt::AtMost(DISPATCH_LEVEL), Full, "KeProcessor.*");
VOID NTAPI KeSetSystemGroupAffinityThread(PGROUP_AFFINITY Affinity, PGROUP_AFFINITY PreviousAffinity) {
  const KAFFINITY previous = Affinity->Group == 0 ? KeSetSystemAffinityThreadEx(Affinity->Mask) : 0;
  if (PreviousAffinity == nullptr) return;
  *PreviousAffinity = {};
  PreviousAffinity->Mask = previous;
}

/// Undoes KeSetSystemGroupAffinityThread.
/// IRQL: <= DISPATCH_LEVEL; at DISPATCH_LEVEL the thread moves when the IRQL is lowered.
/// Differs from NT: none.
/// Source: WDK wdm/KeRevertToUserGroupAffinityThread.
NT_EXPORT(KeRevertToUserGroupAffinityThread, nt::AtMost(DISPATCH_LEVEL), Full, "KeProcessor.*");
VOID NTAPI KeRevertToUserGroupAffinityThread(PGROUP_AFFINITY PreviousAffinity) {
  KeRevertToUserAffinityThreadEx(PreviousAffinity->Mask);
}

/// Sets where the scheduler puts the thread first; returns the previous choice.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeSetIdealProcessorThread.
NT_EXPORT(KeSetIdealProcessorThread, nt::AtMost(DISPATCH_LEVEL), Full, "KeProcessor.*");
UCHAR NTAPI KeSetIdealProcessorThread(PKTHREAD Thread, UCHAR Processor) {
  ThreadGuard guard(Thread);
  const auto previous = static_cast<UCHAR>(Thread->IdealProcessor);
  if (Processor < Count()) Thread->IdealProcessor = Processor;
  return previous;
}

/// Kernel and user time of a thread in clock ticks.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryRuntimeThread.
NT_EXPORT(KeQueryRuntimeThread, nt::Exactly(PASSIVE_LEVEL), Full, "KeThread.*");
ULONG NTAPI KeQueryRuntimeThread(PKTHREAD Thread, PULONG UserTime) {
  *UserTime = Thread->UserTime;
  return Thread->KernelTime;
}

/// TRUE when a DPC or thread has used its share of the processor and should give it up.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeShouldYieldProcessor.
NT_EXPORT(KeShouldYieldProcessor, nt::Exactly(DISPATCH_LEVEL), Full, "KeThread.*");
LOGICAL NTAPI KeShouldYieldProcessor() {
  return KeGetCurrentPrcb()->QuantumEnd != 0;
}

/// Writes back and drops the caches of all processors.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/KeInvalidateAllCaches.
NT_EXPORT(KeInvalidateAllCaches, nt::AtMost(DISPATCH_LEVEL), Full, "KeProcessor.*");
BOOLEAN NTAPI KeInvalidateAllCaches() {
  KeIpiGenericCall(
      [](ULONG_PTR) -> ULONG_PTR {
        __asm__ volatile("wbinvd" ::: "memory");
        return 0;
      },
      0);
  return TRUE;
}

}  // extern "C"
