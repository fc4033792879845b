// Cache-aware rundown protection: a reference for each processor. A holder may give back on another processor
// than it took on: a single reference says nothing, only their sum does.
#include "rundown.h"

#include "ex/ex.h"
#include "nt/export.h"

typedef struct _EX_RUNDOWN_REF_CACHE_AWARE {
  PEX_RUNDOWN_REF RunRefs;
  PVOID PoolToFree;  // 0: the memory is the driver's
  ULONG RunRefSize;
  ULONG Number;
} EX_RUNDOWN_REF_CACHE_AWARE;

namespace {

constexpr ULONG kLine = 64;

PEX_RUNDOWN_REF At(PEX_RUNDOWN_REF_CACHE_AWARE set, ULONG index) {
  return reinterpret_cast<PEX_RUNDOWN_REF>(reinterpret_cast<UCHAR*>(set->RunRefs) +
                                           SIZE_T{index} * set->RunRefSize);
}
PEX_RUNDOWN_REF Here(PEX_RUNDOWN_REF_CACHE_AWARE set) {
  return At(set, KeGetCurrentProcessorNumberEx(nullptr) % set->Number);
}
ULONG Processors() {
  return KeQueryMaximumProcessorCountEx(ALL_PROCESSOR_GROUPS);
}
void SetAll(PEX_RUNDOWN_REF_CACHE_AWARE set, ULONG_PTR value) {
  for (ULONG i = 0; i < set->Number; ++i) At(set, i)->Count = value;
}

}  // namespace

/// The size of the memory that ExInitializeRundownProtectionCacheAware wants.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExSizeOfRundownProtectionCacheAware.
NT_EXPORT(ExSizeOfRundownProtectionCacheAware, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" SIZE_T NTAPI ExSizeOfRundownProtectionCacheAware() {
  return sizeof(EX_RUNDOWN_REF_CACHE_AWARE) + SIZE_T{Processors() + 1} * kLine;
}

/// Prepares cache-aware rundown protection in RunRefSize bytes of the driver's.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExInitializeRundownProtectionCacheAware.
NT_EXPORT(ExInitializeRundownProtectionCacheAware, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" VOID NTAPI ExInitializeRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware,
                                                              SIZE_T RunRefSize) {
  const ULONG_PTR first =
      (reinterpret_cast<ULONG_PTR>(RunRefCacheAware + 1) + kLine - 1) & ~ULONG_PTR{kLine - 1};
  const ULONG_PTR end = reinterpret_cast<ULONG_PTR>(RunRefCacheAware) + RunRefSize;
  RunRefCacheAware->RunRefs = reinterpret_cast<PEX_RUNDOWN_REF>(first);
  RunRefCacheAware->PoolToFree = nullptr;
  RunRefCacheAware->RunRefSize = kLine;
  const ULONG_PTR fitting = end > first ? (end - first) / kLine : 1;
  RunRefCacheAware->Number = fitting < Processors() ? static_cast<ULONG>(fitting) : Processors();
  SetAll(RunRefCacheAware, 0);
}

/// Cache-aware rundown protection in pool memory; 0 without memory.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAllocateCacheAwareRundownProtection.
NT_EXPORT(ExAllocateCacheAwareRundownProtection, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" PEX_RUNDOWN_REF_CACHE_AWARE NTAPI ExAllocateCacheAwareRundownProtection(POOL_TYPE PoolType,
                                                                                   ULONG PoolTag) {
  const SIZE_T size = ExSizeOfRundownProtectionCacheAware();
  auto* set = static_cast<PEX_RUNDOWN_REF_CACHE_AWARE>(ExAllocatePoolWithTag(PoolType, size, PoolTag));
  if (set == nullptr) return nullptr;
  ExInitializeRundownProtectionCacheAware(set, size);
  set->PoolToFree = set;
  return set;
}

/// Frees what ExAllocateCacheAwareRundownProtection allocated.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExFreeCacheAwareRundownProtection.
NT_EXPORT(ExFreeCacheAwareRundownProtection, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" VOID NTAPI ExFreeCacheAwareRundownProtection(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
  if (RunRefCacheAware->PoolToFree != nullptr) ExFreePool(RunRefCacheAware->PoolToFree);
}

/// Protects against rundown; FALSE if it has begun.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireRundownProtectionCacheAware.
NT_EXPORT(ExAcquireRundownProtectionCacheAware, nt::AtMost(DISPATCH_LEVEL), Full, "ExRundown.*");
extern "C" BOOLEAN FASTCALL
ExAcquireRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
  return ex::AcquireRundown(Here(RunRefCacheAware), 1);
}

/// Protects Count times.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireRundownProtectionCacheAwareEx.
NT_EXPORT(ExAcquireRundownProtectionCacheAwareEx, nt::AtMost(DISPATCH_LEVEL), Full, "ExRundown.*");
extern "C" BOOLEAN FASTCALL
ExAcquireRundownProtectionCacheAwareEx(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware, ULONG Count) {
  return ex::AcquireRundown(Here(RunRefCacheAware), Count);
}

/// Gives a protection back, on any processor.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseRundownProtectionCacheAware.
NT_EXPORT(ExReleaseRundownProtectionCacheAware, nt::AtMost(DISPATCH_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL ExReleaseRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
  ex::ReleaseRundown(Here(RunRefCacheAware), 1);
}

/// Gives Count protections back, on any processor.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseRundownProtectionCacheAwareEx.
NT_EXPORT(ExReleaseRundownProtectionCacheAwareEx, nt::AtMost(DISPATCH_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL ExReleaseRundownProtectionCacheAwareEx(PEX_RUNDOWN_REF_CACHE_AWARE RunRef,
                                                                ULONG Count) {
  ex::ReleaseRundown(Here(RunRef), Count);
}

/// Makes a run-down protection usable again.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReInitializeRundownProtectionCacheAware.
NT_EXPORT(ExReInitializeRundownProtectionCacheAware, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL
ExReInitializeRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
  SetAll(RunRefCacheAware, 0);
}

/// Marks the rundown as complete.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExRundownCompletedCacheAware.
NT_EXPORT(ExRundownCompletedCacheAware, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL ExRundownCompletedCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
  SetAll(RunRefCacheAware, EX_RUNDOWN_ACTIVE);
}

/// Begins the rundown and waits until every protection is given back. One thread at a time.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExWaitForRundownProtectionReleaseCacheAware.
NT_EXPORT(ExWaitForRundownProtectionReleaseCacheAware, nt::AtMost(APC_LEVEL), Full, "ExRundown.*");
extern "C" VOID FASTCALL ExWaitForRundownProtectionReleaseCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRef) {
  if (RunRef->RunRefs->Count == EX_RUNDOWN_ACTIVE) return;
  ex::RundownWait wait;
  KeInitializeEvent(&wait.event, SynchronizationEvent, FALSE);
  wait.holders = 0;
  // Releases on a processor whose reference is switched already count down from 0; the sum comes on top last.
  LONG64 holders = 0;
  for (ULONG i = 0; i < RunRef->Number; ++i) {
    PEX_RUNDOWN_REF ref = At(RunRef, i);
    const auto value = static_cast<LONG64>(
        InterlockedExchange64(reinterpret_cast<volatile LONG64*>(&ref->Count),
                              static_cast<LONG64>(reinterpret_cast<ULONG_PTR>(&wait) | EX_RUNDOWN_ACTIVE)));
    holders += value / EX_RUNDOWN_COUNT_INC;
  }
  if (InterlockedAdd64(&wait.holders, holders) != 0)
    KeWaitForSingleObject(&wait.event, Executive, KernelMode, FALSE, nullptr);
  SetAll(RunRef, EX_RUNDOWN_ACTIVE);
}
