// ExAllocatePool* and ExFreePool*.
#include "ex/pool.h"
#include "nt/export.h"

// Windows's name for it: a fault in here is a damaged pool (bug check 0xC5), and other tools find the kernel
// by it.
#pragma code_seg("POOLCODE")

namespace {

using ex::PoolKind;
using ex::PoolZero;

// Bits of POOL_TYPE and of ExAllocatePool2's flags.
constexpr ULONG kTypePaged = 1;
constexpr ULONG kTypeMustSucceed = 2;
constexpr ULONG kTypeCacheAligned = 4;
constexpr ULONG kTypeQuotaNoRaise = 8;
constexpr ULONG kTypeRaise = 16;
constexpr ULONG kTypeNx = 512;
constexpr ULONG kTypeZero = 1024;

constexpr ULONG64 kFlagUninitialized = 0x2;
constexpr ULONG64 kFlagCacheAligned = 0x8;
constexpr ULONG64 kFlagRaise = 0x20;
constexpr ULONG64 kFlagNonPaged = 0x40;
constexpr ULONG64 kFlagNonPagedExecute = 0x80;
constexpr ULONG64 kFlagPaged = 0x100;
constexpr ULONG64 kFlagKinds = kFlagNonPaged | kFlagNonPagedExecute | kFlagPaged;
constexpr ULONG64 kFlagsKnown = 0xFFFFFFFF;  // the upper half is "optional": unknown bits there are ignored

constexpr ULONG kDefaultTag = 'enoN';

PoolKind KindOf(ULONG type) {
  if ((type & kTypePaged) != 0) return PoolKind::kPaged;
  return (type & kTypeNx) != 0 ? PoolKind::kNonPagedNx : PoolKind::kNonPagedExecute;
}

PVOID AllocateByType(POOL_TYPE pool_type, SIZE_T bytes, ULONG tag, PVOID caller) {
  const auto type = static_cast<ULONG>(pool_type);
  if (tag == 0) KeBugCheckEx(BAD_POOL_CALLER, 0x9B, type, bytes, reinterpret_cast<ULONG_PTR>(caller));
  if ((type & kTypeMustSucceed) != 0) KeBugCheckEx(BAD_POOL_CALLER, 0x9A, type, bytes, tag);
  PVOID block = ex::AllocatePool({KindOf(type), bytes, tag, caller, (type & kTypeCacheAligned) != 0,
                                  (type & kTypeZero) != 0 ? PoolZero::kYes : PoolZero::kNo});
  if (block == nullptr && (type & kTypeRaise) != 0) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
  return block;
}

PVOID AllocateWithQuota(POOL_TYPE pool_type, SIZE_T bytes, ULONG tag, PVOID caller) {
  const auto type = static_cast<ULONG>(pool_type);
  PVOID block = AllocateByType(static_cast<POOL_TYPE>(type & ~kTypeQuotaNoRaise), bytes, tag, caller);
  if (block == nullptr && (type & kTypeQuotaNoRaise) == 0) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
  return block;
}

PVOID AllocateByFlags(ULONG64 flags, SIZE_T bytes, ULONG tag, PVOID caller) {
  const ULONG64 kind = flags & kFlagKinds;
  const bool known = (flags & kFlagsKnown & ~(kFlagKinds | 0x3F)) == 0;
  const bool one_kind = kind != 0 && (kind & (kind - 1)) == 0;
  PVOID block = nullptr;
  NTSTATUS status = STATUS_INVALID_PARAMETER;
  if (known && one_kind && tag != 0 && bytes != 0) {
    const PoolKind pool = kind == kFlagPaged             ? PoolKind::kPaged
                          : kind == kFlagNonPagedExecute ? PoolKind::kNonPagedExecute
                                                         : PoolKind::kNonPagedNx;
    const PoolZero zero = (flags & kFlagUninitialized) != 0 ? PoolZero::kNo : PoolZero::kYes;
    block = ex::AllocatePool({pool, bytes, tag, caller, (flags & kFlagCacheAligned) != 0, zero});
    status = STATUS_INSUFFICIENT_RESOURCES;
  }
  if (block == nullptr && (flags & kFlagRaise) != 0) ExRaiseStatus(status);
  return block;
}

}  // namespace

#undef ExAllocatePool
#undef ExFreePool

/// Allocates pool memory under the tag 'None'. Not zeroed; allocations of a page and more are page aligned,
/// others 16-byte aligned. Returns: the block, NULL without memory. IRQL: <= DISPATCH_LEVEL; paged pool <=
/// APC_LEVEL. Differs from NT: none known. Source: WDK wdm/ExAllocatePool.
NT_EXPORT(ExAllocatePool, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Allocate*");
extern "C" PVOID NTAPI ExAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes) {
  return AllocateByType(PoolType, NumberOfBytes, kDefaultTag, __builtin_return_address(0));
}

/// Allocates pool memory under a tag. Not zeroed. NonPagedPool is executable, NonPagedPoolNx is not.
/// Returns: the block, NULL without memory (STATUS_INSUFFICIENT_RESOURCES raised with
/// POOL_RAISE_IF_ALLOCATION_FAILURE). IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL (bug check 0xC2, 8).
/// Differs from NT: session pool is the common pool.
/// Source: WDK wdm/ExAllocatePoolWithTag.
NT_EXPORT(ExAllocatePoolWithTag, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Allocate* ExPool.Tag*");
extern "C" PVOID NTAPI ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag) {
  return AllocateByType(PoolType, NumberOfBytes, Tag, __builtin_return_address(0));
}

/// ExAllocatePoolWithTag with a hint how important success is.
/// Returns: the block, NULL without memory.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: the priority, and its special-pool bits, are not used.
/// Source: WDK wdm/ExAllocatePoolWithTagPriority.
NT_EXPORT(ExAllocatePoolWithTagPriority, nt::AtMost(DISPATCH_LEVEL), Partial, "ExPool.Priority*");
extern "C" PVOID NTAPI ExAllocatePoolWithTagPriority(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag,
                                                     EX_POOL_PRIORITY Priority) {
  return AllocateByType(PoolType, NumberOfBytes, Tag, __builtin_return_address(0));
}

/// Allocates pool memory, charged to the current process's quota.
/// Returns: the block; without memory raises STATUS_INSUFFICIENT_RESOURCES, or NULL with
/// POOL_QUOTA_FAIL_INSTEAD_OF_RAISE. IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL. Differs from NT: there
/// are no quotas, nothing is charged. Source: WDK wdm/ExAllocatePoolWithQuotaTag.
NT_EXPORT(ExAllocatePoolWithQuotaTag, nt::AtMost(DISPATCH_LEVEL), Partial, "ExPool.Quota*");
extern "C" PVOID NTAPI ExAllocatePoolWithQuotaTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag) {
  return AllocateWithQuota(PoolType, NumberOfBytes, Tag, __builtin_return_address(0));
}

/// ExAllocatePoolWithQuotaTag under the tag 'None'.
/// Returns: as ExAllocatePoolWithQuotaTag.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: there are no quotas, nothing is charged.
/// Source: WDK wdm/ExAllocatePoolWithQuota.
NT_EXPORT(ExAllocatePoolWithQuota, nt::AtMost(DISPATCH_LEVEL), Partial, "ExPool.Quota*");
extern "C" PVOID NTAPI ExAllocatePoolWithQuota(POOL_TYPE PoolType, SIZE_T NumberOfBytes) {
  return AllocateWithQuota(PoolType, NumberOfBytes, kDefaultTag, __builtin_return_address(0));
}

/// Allocates pool memory as POOL_FLAG_* say: zeroed unless POOL_FLAG_UNINITIALIZED.
/// Returns: the block; NULL (or an exception, POOL_FLAG_RAISE_ON_FAILURE) without memory, for size 0, tag 0
/// and wrong flags. IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL. Differs from NT: quota and session
/// flags have no effect. Source: WDK wdm/ExAllocatePool2.
NT_EXPORT(ExAllocatePool2, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Pool2*");
extern "C" PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag) {
  return AllocateByFlags(Flags, NumberOfBytes, Tag, __builtin_return_address(0));
}

/// ExAllocatePool2 with extended parameters (priority, secure pool, NUMA node).
/// Returns: as ExAllocatePool2; NULL when a required extended parameter is given.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: optional parameters are ignored, required ones refused.
/// Source: WDK wdm/ExAllocatePool3.
NT_EXPORT(ExAllocatePool3, nt::AtMost(DISPATCH_LEVEL), Partial, "ExPool.Pool3*");
extern "C" PVOID NTAPI ExAllocatePool3(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag,
                                       PCPOOL_EXTENDED_PARAMETER ExtendedParameters,
                                       ULONG ExtendedParametersCount) {
  for (ULONG i = 0; i < ExtendedParametersCount; ++i) {
    if (ExtendedParameters[i].Optional == 0) return nullptr;
  }
  return AllocateByFlags(Flags, NumberOfBytes, Tag, __builtin_return_address(0));
}

/// Frees a block of any pool.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: none known; damage is bug check 0x19, a wrong caller 0xC2.
/// Source: WDK ntddk/ExFreePool.
NT_EXPORT(ExFreePool, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.*");
extern "C" VOID NTAPI ExFreePool(PVOID P) {
  ex::FreePool(P, 0);
}

/// Frees a block and checks its tag (0: any): bug check 0xC2 (0xA, block, its tag, the tag given) when they
/// differ. IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL. Differs from NT: none known. Source: WDK
/// wdm/ExFreePoolWithTag.
NT_EXPORT(ExFreePoolWithTag, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.*");
extern "C" VOID NTAPI ExFreePoolWithTag(PVOID P, ULONG Tag) {
  ex::FreePool(P, Tag);
}

/// ExFreePoolWithTag with extended parameters.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: the parameters are not used: there is no secure pool.
/// Source: WDK wdm/ExFreePool2.
NT_EXPORT(ExFreePool2, nt::AtMost(DISPATCH_LEVEL), Partial, "ExPool.Pool3*");
extern "C" VOID NTAPI ExFreePool2(PVOID P, ULONG Tag, PCPOOL_EXTENDED_PARAMETER ExtendedParameters,
                                  ULONG ExtendedParametersCount) {
  ex::FreePool(P, Tag);
}

/// How many bytes of a block its owner may use.
/// Returns: the bytes; *QuotaCharged FALSE.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: an address that begins no block gives 0.
/// Source: ntifs.h; not documented.
NT_EXPORT(ExQueryPoolBlockSize, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.BlockSize*");
extern "C" SIZE_T NTAPI ExQueryPoolBlockSize(PVOID PoolBlock, PBOOLEAN QuotaCharged) {
  if (QuotaCharged != nullptr) *QuotaCharged = FALSE;
  return ex::PoolBlockSize(PoolBlock);
}
