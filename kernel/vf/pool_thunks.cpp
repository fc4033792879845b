// Pool calls of verified drivers: automatic checks, special pool, random failure, counters.
#include "ex/pool.h"
#include "ke/ke.h"
#include "mm/mm.h"
#include "verifier.h"

namespace vf {

// Of the I/O manager's own blocks, which have a header of the common pool and share their page.
bool IsIrpOfPool(PVOID block, SIZE_T bytes) {
  if (bytes < sizeof(IRP) || static_cast<PIRP>(block)->Type != IO_TYPE_IRP) return false;
  if (Bits(block) % PAGE_SIZE == 0 || MmClassifySpecialPoolAddress(block) != MmNotSpecialPool) return false;
  return (static_cast<PPOOL_HEADER>(block) - 1)->PoolTag == ' prI';
}

namespace {

constexpr ULONG kZeroBytes = 0x00, kPagedAllocationIrql = 0x01, kNonPagedAllocationIrql = 0x02,
                kBadAddress = 0x10, kPagedFreeIrql = 0x11, kNonPagedFreeIrql = 0x12, kMisaligned = 0x16,
                kIrpInPool = 0x105, kQuotaInDpc = 0x10B;
constexpr SIZE_T kBlockAlignment = 16;
constexpr ULONG kTypePaged = 1, kTypeFailQuotaInsteadOfRaise = 8, kTypeRaise = 16;
constexpr ULONG64 kFlagRaise = 0x20, kFlagExecute = 0x80, kFlagPaged = 0x100, kFlagSpecialPool = 0x100000000;

void CheckAllocation(bool paged, ULONG type, SIZE_T bytes) {
  const KIRQL irql = KeGetCurrentIrql();
  if (bytes == 0) VerifierBugCheckIfAppropriate(kViolation, kZeroBytes, irql, type, bytes);
  if (paged && irql > APC_LEVEL)
    VerifierBugCheckIfAppropriate(kViolation, kPagedAllocationIrql, irql, type, bytes);
  if (irql > DISPATCH_LEVEL)
    VerifierBugCheckIfAppropriate(kViolation, kNonPagedAllocationIrql, irql, type, bytes);
}

void RaisePeak(ULONG* peak, ULONG value) {
  if (value > *peak) *peak = value;
}
void RaisePeak(SIZE_T* peak, SIZE_T value) {
  if (value > *peak) *peak = value;
}

void CountAllocation(MM_DRIVER_VERIFIER_DATA& data, PVOID block, bool paged, SIZE_T bytes) {
  __atomic_fetch_add(&data.AllocationsAttempted, 1, __ATOMIC_RELAXED);
  if (block == nullptr) {
    __atomic_fetch_add(&data.AllocationsFailed, 1, __ATOMIC_RELAXED);
    return;
  }
  __atomic_fetch_add(&data.AllocationsSucceeded, 1, __ATOMIC_RELAXED);
  if (MmClassifySpecialPoolAddress(block) != MmNotSpecialPool)
    __atomic_fetch_add(&data.AllocationsSucceededSpecialPool, 1, __ATOMIC_RELAXED);
  if (paged) {
    RaisePeak(&data.PeakPagedPoolAllocations,
              __atomic_add_fetch(&data.CurrentPagedPoolAllocations, 1, __ATOMIC_RELAXED));
    RaisePeak(&data.PeakPagedBytes, __atomic_add_fetch(&data.PagedBytes, bytes, __ATOMIC_RELAXED));
  } else {
    RaisePeak(&data.PeakNonPagedPoolAllocations,
              __atomic_add_fetch(&data.CurrentNonPagedPoolAllocations, 1, __ATOMIC_RELAXED));
    RaisePeak(&data.PeakNonPagedBytes, __atomic_add_fetch(&data.NonPagedBytes, bytes, __ATOMIC_RELAXED));
  }
}

PVOID Count(PVOID caller, PVOID block, bool paged, SIZE_T bytes) {
  CountAllocation(MmVerifierData, block, paged, bytes);
  if (PVF_SUSPECT_DRIVER_ENTRY driver = DriverOf(caller))
    CountAllocation(driver->VerifierData, block, paged, bytes);
  return block;
}

void CountFree(MM_DRIVER_VERIFIER_DATA& data, bool paged, SIZE_T bytes) {
  __atomic_fetch_sub(paged ? &data.CurrentPagedPoolAllocations : &data.CurrentNonPagedPoolAllocations, 1,
                     __ATOMIC_RELAXED);
  __atomic_fetch_sub(paged ? &data.PagedBytes : &data.NonPagedBytes, bytes, __ATOMIC_RELAXED);
}

FORCEINLINE PVOID AllocateByType(POOL_TYPE pool_type, SIZE_T bytes, ULONG tag, EX_POOL_PRIORITY priority,
                                 PVOID caller) {
  const auto type = static_cast<ULONG>(pool_type);
  const bool paged = (type & kTypePaged) != 0;
  CheckAllocation(paged, type, bytes);
  CheckPoolIntegrity(type, tag, caller);
  if (FailThisCall(caller)) {
    Count(caller, nullptr, paged, bytes);
    if ((type & kTypeRaise) != 0) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    return nullptr;
  }
  if (IsOn(DRIVER_VERIFIER_SPECIAL_POOLING) && (static_cast<ULONG>(priority) & 8) == 0)
    priority = HighPoolPrioritySpecialPoolOverrun;
  return Count(caller, ExpAllocatePoolByType(pool_type, bytes, tag, caller, priority), paged, bytes);
}

FORCEINLINE PVOID AllocateWithQuota(POOL_TYPE pool_type, SIZE_T bytes, ULONG tag, PVOID caller) {
  const auto type = static_cast<ULONG>(pool_type);
  const bool paged = (type & kTypePaged) != 0;
  CheckAllocation(paged, type, bytes);
  CheckPoolIntegrity(type, tag, caller);
  if (KeGetCurrentPrcb()->DpcRoutineActive) VerifierBugCheckIfAppropriate(kViolation, kQuotaInDpc, 0, 0, 0);
  if (FailThisCall(caller)) {
    Count(caller, nullptr, paged, bytes);
    if ((type & kTypeFailQuotaInsteadOfRaise) == 0) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    return nullptr;
  }
  return Count(caller, ExpAllocatePoolByQuota(pool_type, bytes, tag, caller), paged, bytes);
}

FORCEINLINE PVOID AllocateByFlags(POOL_FLAGS flags, SIZE_T bytes, ULONG tag,
                                  PCPOOL_EXTENDED_PARAMETER parameters, ULONG count, PVOID caller) {
  const bool paged = (flags & kFlagPaged) != 0;
  CheckAllocation(paged, static_cast<ULONG>(flags), bytes);
  CheckPoolIntegrity(flags & kFlagExecute ? kNonPagedExecute : kNonPagedNx, tag, caller);
  if (FailThisCall(caller)) {
    Count(caller, nullptr, paged, bytes);
    if ((flags & kFlagRaise) != 0) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    return nullptr;
  }
  if (IsOn(DRIVER_VERIFIER_SPECIAL_POOLING)) flags |= kFlagSpecialPool;
  return Count(caller, ExpAllocatePoolByFlags(flags, bytes, tag, caller, parameters, count), paged, bytes);
}

FORCEINLINE void Free(PVOID block, ULONG tag, PVOID caller) {
  const ex::PoolAddress where = ex::ClassifyPoolAddress(block);
  if (where == ex::PoolAddress::kNone)
    VerifierBugCheckIfAppropriate(kViolation, kBadAddress, Bits(block), 0, 0);
  const bool paged = where == ex::PoolAddress::kPaged;
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > (paged ? APC_LEVEL : DISPATCH_LEVEL)) {
    VerifierBugCheckIfAppropriate(kViolation, paged ? kPagedFreeIrql : kNonPagedFreeIrql, irql, paged ? 1 : 0,
                                  Bits(block));
  }
  if (Bits(block) % kBlockAlignment != 0)
    VerifierBugCheckIfAppropriate(kViolation, kMisaligned, 0, Bits(block), 0);
  bool charged = false;
  const SIZE_T bytes = ex::PoolBlockSize(block, &charged);
  if (IsOn(DRIVER_VERIFIER_DEADLOCK_DETECTION)) DeadlockForget(block, bytes);
  if (!paged && IsIrpOfPool(block, bytes))
    VerifierBugCheckIfAppropriate(kViolation, kIrpInPool, Bits(block), 0, 0);
  CheckFreedMemory(block, bytes, paged);
  if (!paged) KeCheckForTimer(block, bytes, FALSE);
  ExFreeHeapPool(block, tag, caller);
  CountFree(MmVerifierData, paged, bytes);
  if (PVF_SUSPECT_DRIVER_ENTRY driver = DriverOf(caller)) CountFree(driver->VerifierData, paged, bytes);
}

#define CALLER __builtin_return_address(0)
constexpr ULONG kDefaultTag = 'enoN';

}  // namespace

extern "C" {

PVOID NTAPI VerifierExAllocatePool(POOL_TYPE type, SIZE_T bytes) {
  __atomic_fetch_add(&MmVerifierData.AllocationsWithNoTag, 1, __ATOMIC_RELAXED);
  return AllocateByType(type, bytes, kDefaultTag, HighPoolPriority, CALLER);
}
PVOID NTAPI VerifierExAllocatePoolWithTag(POOL_TYPE type, SIZE_T bytes, ULONG tag) {
  return AllocateByType(type, bytes, tag, HighPoolPriority, CALLER);
}
PVOID NTAPI VerifierExAllocatePoolWithTagPriority(POOL_TYPE type, SIZE_T bytes, ULONG tag,
                                                  EX_POOL_PRIORITY priority) {
  return AllocateByType(type, bytes, tag, priority, CALLER);
}
PVOID NTAPI VerifierExAllocatePoolWithQuota(POOL_TYPE type, SIZE_T bytes) {
  return AllocateWithQuota(type, bytes, kDefaultTag, CALLER);
}
PVOID NTAPI VerifierExAllocatePoolWithQuotaTag(POOL_TYPE type, SIZE_T bytes, ULONG tag) {
  return AllocateWithQuota(type, bytes, tag, CALLER);
}
PVOID NTAPI VerifierExAllocatePool2(POOL_FLAGS flags, SIZE_T bytes, ULONG tag) {
  return AllocateByFlags(flags, bytes, tag, nullptr, 0, CALLER);
}
PVOID NTAPI VerifierExAllocatePool3(POOL_FLAGS flags, SIZE_T bytes, ULONG tag,
                                    PCPOOL_EXTENDED_PARAMETER parameters, ULONG count) {
  return AllocateByFlags(flags, bytes, tag, parameters, count, CALLER);
}
VOID NTAPI VerifierExFreePool(PVOID block) {
  Free(block, 0, CALLER);
}
VOID NTAPI VerifierExFreePoolWithTag(PVOID block, ULONG tag) {
  Free(block, tag, CALLER);
}
VOID NTAPI VerifierExFreePool2(PVOID block, ULONG tag, PCPOOL_EXTENDED_PARAMETER, ULONG) {
  Free(block, tag, CALLER);
}

}  // extern "C"

namespace {

#define VF_THUNK(Name) {#Name, reinterpret_cast<PVOID>(&Verifier##Name), 0}
const Thunk kThunks[] = {
    VF_THUNK(ExAllocatePool),
    VF_THUNK(ExAllocatePoolWithTag),
    VF_THUNK(ExAllocatePoolWithTagPriority),
    VF_THUNK(ExAllocatePoolWithQuota),
    VF_THUNK(ExAllocatePoolWithQuotaTag),
    VF_THUNK(ExAllocatePool2),
    VF_THUNK(ExAllocatePool3),
    VF_THUNK(ExFreePool),
    VF_THUNK(ExFreePoolWithTag),
    VF_THUNK(ExFreePool2),
};

}  // namespace

const ThunkTable kPoolThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
