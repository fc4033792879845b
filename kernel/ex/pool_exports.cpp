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

constexpr ULONG64 kFlagQuota = 0x1;
constexpr ULONG64 kFlagUninitialized = 0x2;
constexpr ULONG64 kFlagSession = 0x4;
constexpr ULONG64 kFlagCacheAligned = 0x8;
constexpr ULONG64 kFlagRaise = 0x20;
constexpr ULONG64 kFlagNonPaged = 0x40;
constexpr ULONG64 kFlagNonPagedExecute = 0x80;
constexpr ULONG64 kFlagPaged = 0x100;
constexpr ULONG64 kFlagKinds = kFlagNonPaged | kFlagNonPagedExecute | kFlagPaged;
constexpr ULONG64 kFlagsKnown =
    kFlagKinds | kFlagQuota | kFlagUninitialized | kFlagSession | kFlagCacheAligned | kFlagRaise;
constexpr ULONG64 kFlagsRequired =
    0xFFFFFFFF;  // the upper half is "optional": unknown bits there are ignored
constexpr ULONG64 kFlagSpecialPool = 0x100000000;

constexpr ULONG kPrioritySpecialPool = 8;
constexpr ULONG kPriorityUnderrun = 1;

constexpr ULONG kDefaultTag = 'enoN';
constexpr ULONG kTagBig = ' GIB';
constexpr ULONG kMustSucceed = 0x9A, kTagZero = 0x9B, kTagIsBig = 0x9C, kTagWithoutLetters = 0x9D;

PoolKind KindOf(ULONG type) {
  if ((type & kTypePaged) != 0) return PoolKind::kPaged;
  return (type & kTypeNx) != 0 ? PoolKind::kNonPagedNx : PoolKind::kNonPagedExecute;
}

bool HasLetterOrDigit(ULONG tag) {
  for (; tag != 0; tag >>= 8) {
    const ULONG c = tag & 0x7F;
    if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')) return true;
  }
  return false;
}

FORCEINLINE void CheckTag(ULONG type, SIZE_T bytes, ULONG tag, PVOID caller) {
  const auto from = reinterpret_cast<ULONG_PTR>(caller);
  if (tag == 0) KeBugCheckEx(BAD_POOL_CALLER, kTagZero, type, bytes, from);
  if (tag == kTagBig) KeBugCheckEx(BAD_POOL_CALLER, kTagIsBig, type, bytes, from);
  if (!HasLetterOrDigit(tag)) KeBugCheckEx(BAD_POOL_CALLER, kTagWithoutLetters, tag, type, from);
  if ((type & kTypeMustSucceed) != 0) KeBugCheckEx(BAD_POOL_CALLER, kMustSucceed, type, bytes, tag);
}

ex::SpecialPool SpecialOf(ULONG priority) {
  if ((priority & kPrioritySpecialPool) == 0) return ex::SpecialPool::kNo;
  return (priority & kPriorityUnderrun) != 0 ? ex::SpecialPool::kUnderrun : ex::SpecialPool::kOverrun;
}

// What the bits of a checked pool type ask for.
FORCEINLINE ex::PoolRequest RequestOfType(ULONG type, SIZE_T bytes, ULONG tag, PVOID caller) {
  return {.kind = KindOf(type),
          .bytes = bytes,
          .tag = tag,
          .caller = caller,
          .cache_aligned = (type & kTypeCacheAligned) != 0,
          .zero = (type & kTypeZero) != 0 ? PoolZero::kYes : PoolZero::kNo};
}

FORCEINLINE PVOID AllocateByType(POOL_TYPE pool_type, SIZE_T bytes, ULONG tag, PVOID caller,
                                 EX_POOL_PRIORITY priority = HighPoolPriority) {
  const auto type = static_cast<ULONG>(pool_type);
  CheckTag(type, bytes, tag, caller);
  ex::PoolRequest request = RequestOfType(type, bytes, tag, caller);
  request.priority = priority;
  request.special = SpecialOf(priority);
  NTSTATUS status;
  PVOID block = ExAllocateHeapPool(&request, &status);
  if (block == nullptr && (type & kTypeRaise) != 0) ExRaiseStatus(status);
  return block;
}

FORCEINLINE PVOID AllocateWithQuota(POOL_TYPE pool_type, SIZE_T bytes, ULONG tag, PVOID caller) {
  const ULONG type = static_cast<ULONG>(pool_type) & ~kTypeQuotaNoRaise;
  CheckTag(type, bytes, tag, caller);
  ex::PoolRequest request = RequestOfType(type, bytes, tag, caller);
  request.quota = true;
  NTSTATUS status;
  PVOID block = ExAllocateHeapPool(&request, &status);
  if (block == nullptr && (static_cast<ULONG>(pool_type) & kTypeQuotaNoRaise) == 0) ExRaiseStatus(status);
  return block;
}

// The request that flags mean; false: they contradict each other.
bool RequestOf(ULONG64 flags, SIZE_T bytes, ULONG tag, PVOID caller, ex::PoolRequest* request) {
  const ULONG64 kind = flags & kFlagKinds;
  const bool known = (flags & kFlagsRequired & ~kFlagsKnown) == 0;
  const bool one_kind = kind != 0 && (kind & (kind - 1)) == 0;
  if (!known || !one_kind || tag == 0 || bytes == 0) return false;
  *request = {.kind = kind == kFlagPaged             ? PoolKind::kPaged
                      : kind == kFlagNonPagedExecute ? PoolKind::kNonPagedExecute
                                                     : PoolKind::kNonPagedNx,
              .bytes = bytes,
              .tag = tag,
              .caller = caller,
              .cache_aligned = (flags & kFlagCacheAligned) != 0,
              .zero = (flags & kFlagUninitialized) != 0 ? PoolZero::kNo : PoolZero::kYes,
              .quota = (flags & kFlagQuota) != 0,
              .special = (flags & kFlagSpecialPool) != 0 ? ex::SpecialPool::kOverrun : ex::SpecialPool::kNo};
  return true;
}

// STATUS_SUCCESS, or why a required parameter cannot be met.
NTSTATUS ApplyParameter(const POOL_EXTENDED_PARAMETER& parameter, ex::PoolRequest* request) {
  switch (parameter.Type) {
    case PoolExtendedParameterPriority:
      request->priority = parameter.Priority;
      if (request->special == ex::SpecialPool::kNo) request->special = SpecialOf(parameter.Priority);
      return STATUS_SUCCESS;
    case PoolExtendedParameterNumaNode:
      return parameter.PreferredNode == 0 ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
    case PoolExtendedParameterSecurePool:
      return STATUS_NOT_SUPPORTED;
    default:
      return STATUS_INVALID_PARAMETER;
  }
}

FORCEINLINE PVOID AllocateByFlags(ULONG64 flags, SIZE_T bytes, ULONG tag, PVOID caller,
                                  const POOL_EXTENDED_PARAMETER* parameters, ULONG count) {
  ex::PoolRequest request;
  PVOID block = nullptr;
  NTSTATUS status =
      RequestOf(flags, bytes, tag, caller, &request) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
  for (ULONG i = 0; i < count && NT_SUCCESS(status); ++i) {
    const NTSTATUS applied = ApplyParameter(parameters[i], &request);
    if (parameters[i].Optional == 0) status = applied;
  }
  if (NT_SUCCESS(status)) block = ExAllocateHeapPool(&request, &status);
  if (block == nullptr && (flags & kFlagRaise) != 0) ExRaiseStatus(status);
  return block;
}

}  // namespace

// For Driver Verifier, whose routines stand between the driver and these.
extern "C" {
PVOID ExpAllocatePoolByType(POOL_TYPE type, SIZE_T bytes, ULONG tag, PVOID caller,
                            EX_POOL_PRIORITY priority) {
  return AllocateByType(type, bytes, tag, caller, priority);
}
PVOID ExpAllocatePoolByQuota(POOL_TYPE type, SIZE_T bytes, ULONG tag, PVOID caller) {
  return AllocateWithQuota(type, bytes, tag, caller);
}
PVOID ExpAllocatePoolByFlags(POOL_FLAGS flags, SIZE_T bytes, ULONG tag, PVOID caller,
                             PCPOOL_EXTENDED_PARAMETER parameters, ULONG count) {
  return AllocateByFlags(flags, bytes, tag, caller, parameters, count);
}
}

#undef ExAllocatePool
#undef ExFreePool

/// Allocates pool memory under the tag 'None'. Not zeroed; allocations of a page and more are page aligned,
/// others 16-byte aligned. Returns: the block, NULL without memory.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: none known.
/// Source: WDK wdm/ExAllocatePool.
NT_EXPORT(ExAllocatePool, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Allocate*");
extern "C" PVOID NTAPI ExAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes) {
  return AllocateByType(PoolType, NumberOfBytes, kDefaultTag, __builtin_return_address(0));
}

/// Allocates pool memory under a tag. Not zeroed without POOL_ZERO_ALLOCATION. NonPagedPool is executable,
/// NonPagedPoolNx is not. Returns: the block, NULL without memory (STATUS_INSUFFICIENT_RESOURCES raised with
/// POOL_RAISE_IF_ALLOCATION_FAILURE).
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL (bug check 0xC2, 8).
/// Differs from NT: session pool is the common pool.
/// Source: WDK wdm/ExAllocatePoolWithTag.
NT_EXPORT(ExAllocatePoolWithTag, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Allocate* ExPool.Tag*");
extern "C" PVOID NTAPI ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag) {
  return AllocateByType(PoolType, NumberOfBytes, Tag, __builtin_return_address(0));
}

/// ExAllocatePoolWithTag with a hint how important success is: with little memory left, low priority fails
/// first, then normal. The special-pool bits put the block in special pool, against its end or its start.
/// Returns: the block, NULL without memory.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: the limits are 1/16 (low) and 1/64 (normal) of memory.
/// Source: WDK wdm/ExAllocatePoolWithTagPriority.
NT_EXPORT(ExAllocatePoolWithTagPriority, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Priority*");
extern "C" PVOID NTAPI ExAllocatePoolWithTagPriority(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag,
                                                     EX_POOL_PRIORITY Priority) {
  return AllocateByType(PoolType, NumberOfBytes, Tag, __builtin_return_address(0), Priority);
}

/// Allocates pool memory, charged to the current process's quota.
/// Returns: the block; without memory or quota raises STATUS_INSUFFICIENT_RESOURCES or STATUS_QUOTA_EXCEEDED,
/// or gives NULL with POOL_QUOTA_FAIL_INSTEAD_OF_RAISE.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: the system process is charged too; processes have no limit unless one is set.
/// Source: WDK wdm/ExAllocatePoolWithQuotaTag.
NT_EXPORT(ExAllocatePoolWithQuotaTag, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Quota*");
extern "C" PVOID NTAPI ExAllocatePoolWithQuotaTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag) {
  return AllocateWithQuota(PoolType, NumberOfBytes, Tag, __builtin_return_address(0));
}

/// ExAllocatePoolWithQuotaTag under the tag 'None'.
/// Returns: as ExAllocatePoolWithQuotaTag.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: as ExAllocatePoolWithQuotaTag.
/// Source: WDK wdm/ExAllocatePoolWithQuota.
NT_EXPORT(ExAllocatePoolWithQuota, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Quota*");
extern "C" PVOID NTAPI ExAllocatePoolWithQuota(POOL_TYPE PoolType, SIZE_T NumberOfBytes) {
  return AllocateWithQuota(PoolType, NumberOfBytes, kDefaultTag, __builtin_return_address(0));
}

/// Allocates pool memory as POOL_FLAG_* say: zeroed unless POOL_FLAG_UNINITIALIZED.
/// Returns: the block; NULL (or an exception, POOL_FLAG_RAISE_ON_FAILURE) without memory, for size 0, tag 0
/// and wrong flags.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: session pool is the common pool.
/// Source: WDK wdm/ExAllocatePool2.
NT_EXPORT(ExAllocatePool2, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Pool2*");
extern "C" PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag) {
  return AllocateByFlags(Flags, NumberOfBytes, Tag, __builtin_return_address(0), nullptr, 0);
}

/// ExAllocatePool2 with extended parameters (priority, secure pool, NUMA node).
/// Returns: as ExAllocatePool2; NULL (STATUS_NOT_SUPPORTED raised) when secure pool is required, and for a
/// NUMA node that is not there.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: none, on a machine without virtualization-based security (it has no secure pool) and with
/// one NUMA node.
/// Source: WDK wdm/ExAllocatePool3.
NT_EXPORT(ExAllocatePool3, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Pool3*");
extern "C" PVOID NTAPI ExAllocatePool3(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag,
                                       PCPOOL_EXTENDED_PARAMETER ExtendedParameters,
                                       ULONG ExtendedParametersCount) {
  return AllocateByFlags(Flags, NumberOfBytes, Tag, __builtin_return_address(0), ExtendedParameters,
                         ExtendedParametersCount);
}

/// Frees a block of any pool.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: none known; damage is bug check 0x19, a wrong caller 0xC2.
/// Source: WDK ntddk/ExFreePool.
NT_EXPORT(ExFreePool, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.*");
extern "C" VOID NTAPI ExFreePool(PVOID P) {
  ExFreeHeapPool(P, 0, __builtin_return_address(0));
}

/// Frees a block and checks its tag (0: any): bug check 0xC2 (0xA, block, its tag, the tag given) when they
/// differ.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: none known.
/// Source: WDK wdm/ExFreePoolWithTag.
NT_EXPORT(ExFreePoolWithTag, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.*");
extern "C" VOID NTAPI ExFreePoolWithTag(PVOID P, ULONG Tag) {
  ExFreeHeapPool(P, Tag, __builtin_return_address(0));
}

/// ExFreePoolWithTag with extended parameters, which only secure pool has.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: there is no secure pool: parameters are bug check 0xC2 (0x99, block, 0, 0).
/// Source: WDK wdm/ExFreePool2.
NT_EXPORT(ExFreePool2, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.Pool3*");
extern "C" VOID NTAPI ExFreePool2(PVOID P, ULONG Tag, PCPOOL_EXTENDED_PARAMETER ExtendedParameters,
                                  ULONG ExtendedParametersCount) {
  constexpr ULONG kInvalidAddress = 0x99;
  if (ExtendedParametersCount != 0)
    KeBugCheckEx(BAD_POOL_CALLER, kInvalidAddress, reinterpret_cast<ULONG_PTR>(P), 0, 0);
  ExFreeHeapPool(P, Tag, __builtin_return_address(0));
}

/// How many bytes of a block its owner may use.
/// Returns: the bytes; *QuotaCharged whether a process pays for it.
/// IRQL: <= DISPATCH_LEVEL; paged pool <= APC_LEVEL.
/// Differs from NT: an address that begins no block gives 0.
/// Source: ntifs.h; not documented.
NT_EXPORT(ExQueryPoolBlockSize, nt::AtMost(DISPATCH_LEVEL), Full, "ExPool.BlockSize*");
extern "C" SIZE_T NTAPI ExQueryPoolBlockSize(PVOID PoolBlock, PBOOLEAN QuotaCharged) {
  bool charged = false;
  const SIZE_T bytes = ex::PoolBlockSize(PoolBlock, &charged);
  if (QuotaCharged != nullptr) *QuotaCharged = charged;
  return bytes;
}
