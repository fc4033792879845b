// Lookaside lists: S-lists of freed blocks in front of the pools. Allocation and freeing are inline in the
// WDK's headers.
#include "ex/ex.h"
#include "ke/spin_guard.h"
#include "nt/export.h"

#undef InitializeSListHead
extern "C" VOID InitializeSListHead(PSLIST_HEADER SListHead);

namespace {

PVOID NTAPI DefaultAllocate(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag) {
  return ExAllocatePoolWithTag(PoolType, NumberOfBytes, Tag);
}
VOID NTAPI DefaultFree(PVOID Buffer) {
  ExFreePool(Buffer);
}
PVOID NTAPI DefaultAllocateEx(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag, PLOOKASIDE_LIST_EX) {
  return ExAllocatePoolWithTag(PoolType, NumberOfBytes, Tag);
}
VOID NTAPI DefaultFreeEx(PVOID Buffer, PLOOKASIDE_LIST_EX) {
  ExFreePool(Buffer);
}

// All lists, for the adaption of their depths; the structures are nonpaged whatever their blocks are.
LIST_ENTRY g_lists = {&g_lists, &g_lists};
KSPIN_LOCK g_lists_lock;
KTIMER g_timer;
KDPC g_dpc;
bool g_started;

constexpr USHORT kMinimumDepth = 4;
constexpr USHORT kMaximumDepth = 256;
constexpr LONG kPeriodMilliseconds = 1000;
constexpr ULONG kFewAllocations = 25;  // a period

// A list that is hardly used shrinks fast, one that serves nearly everything slowly; misses make it grow.
USHORT AdjustedDepth(ULONG depth, ULONG maximum, ULONG allocations, ULONG misses) {
  if (allocations < kFewAllocations) {
    depth = depth > kMinimumDepth + 10u ? depth - 10 : kMinimumDepth;
  } else if (misses < allocations / 200) {
    if (depth > kMinimumDepth) --depth;
  } else {
    depth += misses * (maximum - depth) / (allocations * 2) + 5;
  }
  return static_cast<USHORT>(depth > maximum ? maximum : depth);
}

// Once a period, at DISPATCH_LEVEL.
VOID NTAPI ExAdjustLookasideDepth(PKDPC, PVOID, PVOID, PVOID) {
  KeAcquireSpinLockAtDpcLevel(&g_lists_lock);
  for (PLIST_ENTRY at = g_lists.Flink; at != &g_lists; at = at->Flink) {
    auto* list = CONTAINING_RECORD(at, GENERAL_LOOKASIDE, ListEntry);
    const ULONG allocations = list->TotalAllocates - list->LastTotalAllocates;
    const ULONG misses = list->AllocateMisses - list->LastAllocateMisses;
    list->LastTotalAllocates = list->TotalAllocates;
    list->LastAllocateMisses = list->AllocateMisses;
    list->Depth = AdjustedDepth(list->Depth, list->MaximumDepth, allocations,
                                misses < allocations ? misses : allocations);
  }
  KeReleaseSpinLockFromDpcLevel(&g_lists_lock);
}

void Register(PLIST_ENTRY entry) {
  const KIRQL irql = KeAcquireSpinLockRaiseToDpc(&g_lists_lock);
  const bool start = !g_started;
  g_started = true;
  InsertTailList(&g_lists, entry);
  KeReleaseSpinLock(&g_lists_lock, irql);
  if (!start) return;
  KeInitializeTimer(&g_timer);
  KeInitializeDpc(&g_dpc, ExAdjustLookasideDepth, nullptr);
  LARGE_INTEGER due;
  due.QuadPart = -10'000ll * kPeriodMilliseconds;
  KeSetTimerEx(&g_timer, due, kPeriodMilliseconds, &g_dpc);
}

void Unregister(PLIST_ENTRY entry) {
  ke::SpinGuard guard(&g_lists_lock);
  RemoveEntryList(entry);
}

template <typename List>
void Initialize(List* list, POOL_TYPE type, SIZE_T size, ULONG tag) {
  RtlZeroMemory(list, sizeof(*list));
  InitializeSListHead(&list->ListHead);
  list->Depth = kMinimumDepth;
  list->MaximumDepth = kMaximumDepth;
  list->Type = type;
  list->Tag = tag;
  list->Size = static_cast<ULONG>(size < sizeof(SLIST_ENTRY) ? sizeof(SLIST_ENTRY) : size);
  Register(&list->ListEntry);
}

template <typename List>
void Drain(List* list) {
  Unregister(&list->ListEntry);
  while (PSLIST_ENTRY entry = ExpInterlockedPopEntrySList(&list->ListHead)) list->Free(entry);
}

constexpr ULONG kRaiseOnFail = 1, kFailNoRaise = 2;  // EX_LOOKASIDE_LIST_EX_FLAGS_*
constexpr ULONG kPoolRaise = 16, kPoolQuotaNoRaise = 8, kPoolNx = 512;

}  // namespace

/// Prepares a lookaside list of nonpaged blocks. Flags: POOL_NX_ALLOCATION,
/// POOL_RAISE_IF_ALLOCATION_FAILURE. Its depth is adapted once a second to how it is used.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none known.
/// Source: WDK wdm/ExInitializeNPagedLookasideList.
NT_EXPORT(ExInitializeNPagedLookasideList, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.* ExLookaside.*");
extern "C" VOID NTAPI ExInitializeNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside,
                                                      PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free,
                                                      ULONG Flags, SIZE_T Size, ULONG Tag, USHORT) {
  Initialize(&Lookaside->L, static_cast<POOL_TYPE>(NonPagedPool | (Flags & (kPoolNx | kPoolRaise))), Size,
             Tag);
  Lookaside->L.Allocate = Allocate != nullptr ? Allocate : DefaultAllocate;
  Lookaside->L.Free = Free != nullptr ? Free : DefaultFree;
}

/// Frees the blocks that a list keeps.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExDeleteNPagedLookasideList.
NT_EXPORT(ExDeleteNPagedLookasideList, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.* ExLookaside.*");
extern "C" VOID NTAPI ExDeleteNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside) {
  Drain(&Lookaside->L);
}

/// Prepares a lookaside list of paged blocks. Flags: POOL_RAISE_IF_ALLOCATION_FAILURE.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none known.
/// Source: WDK wdm/ExInitializePagedLookasideList.
NT_EXPORT(ExInitializePagedLookasideList, nt::AtMost(APC_LEVEL), Full, "KernelEx.* ExLookaside.*");
extern "C" VOID NTAPI ExInitializePagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside,
                                                     PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free,
                                                     ULONG Flags, SIZE_T Size, ULONG Tag, USHORT) {
  Initialize(&Lookaside->L, static_cast<POOL_TYPE>(PagedPool | (Flags & kPoolRaise)), Size, Tag);
  Lookaside->L.Allocate = Allocate != nullptr ? Allocate : DefaultAllocate;
  Lookaside->L.Free = Free != nullptr ? Free : DefaultFree;
}

/// Frees the blocks that a list keeps.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExDeletePagedLookasideList.
NT_EXPORT(ExDeletePagedLookasideList, nt::AtMost(APC_LEVEL), Full, "KernelEx.* ExLookaside.*");
extern "C" VOID NTAPI ExDeletePagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside) {
  Drain(&Lookaside->L);
}

/// Prepares a lookaside list of either pool. Flags: EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL or
/// ..._FAIL_NO_RAISE. Returns: STATUS_INVALID_PARAMETER_4 for a pool type, _5 for flags that there are not.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none known.
/// Source: WDK wdm/ExInitializeLookasideListEx.
NT_EXPORT(ExInitializeLookasideListEx, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.* ExLookaside.*");
extern "C" NTSTATUS NTAPI ExInitializeLookasideListEx(PLOOKASIDE_LIST_EX Lookaside,
                                                      PALLOCATE_FUNCTION_EX Allocate, PFREE_FUNCTION_EX Free,
                                                      POOL_TYPE PoolType, ULONG Flags, SIZE_T Size, ULONG Tag,
                                                      USHORT) {
  if (Size > MAXLONG) return STATUS_INVALID_PARAMETER;
  if (PoolType != NonPagedPool && PoolType != PagedPool && PoolType != NonPagedPoolNx)
    return STATUS_INVALID_PARAMETER_4;
  if ((Flags & ~(kRaiseOnFail | kFailNoRaise)) != 0 || Flags == (kRaiseOnFail | kFailNoRaise))
    return STATUS_INVALID_PARAMETER_5;
  const ULONG raise = Flags == kRaiseOnFail ? kPoolRaise : 0;
  const ULONG no_raise = Flags == kFailNoRaise ? kPoolQuotaNoRaise : 0;
  Initialize(&Lookaside->L, static_cast<POOL_TYPE>(PoolType | raise | no_raise), Size, Tag);
  Lookaside->L.AllocateEx = Allocate != nullptr ? Allocate : DefaultAllocateEx;
  Lookaside->L.FreeEx = Free != nullptr ? Free : DefaultFreeEx;
  return STATUS_SUCCESS;
}

/// Frees the blocks that a list keeps.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExDeleteLookasideListEx.
NT_EXPORT(ExDeleteLookasideListEx, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.* ExLookaside.*");
extern "C" VOID NTAPI ExDeleteLookasideListEx(PLOOKASIDE_LIST_EX Lookaside) {
  Unregister(&Lookaside->L.ListEntry);
  while (PSLIST_ENTRY entry = ExpInterlockedPopEntrySList(&Lookaside->L.ListHead))
    Lookaside->L.FreeEx(entry, Lookaside);
}
