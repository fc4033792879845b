// Lookaside lists: S-lists of freed blocks in front of the pools. Allocation and freeing are inline in the
// WDK's headers.
#include "ex/ex.h"
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

template <typename List>
void Initialize(List* list, POOL_TYPE type, SIZE_T size, ULONG tag) {
  RtlZeroMemory(list, sizeof(*list));
  InitializeSListHead(&list->ListHead);
  list->Depth = 4;
  list->MaximumDepth = 256;
  list->Type = type;
  list->Tag = tag;
  list->Size = static_cast<ULONG>(size < sizeof(SLIST_ENTRY) ? sizeof(SLIST_ENTRY) : size);
  InitializeListHead(&list->ListEntry);
}

template <typename List>
void Drain(List* list) {
  while (PSLIST_ENTRY entry = ExpInterlockedPopEntrySList(&list->ListHead)) list->Free(entry);
}

}  // namespace

/// Prepares a lookaside list of nonpaged blocks.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: the depth stays what it is at first.
/// Source: WDK wdm/ExInitializeNPagedLookasideList.
NT_EXPORT(ExInitializeNPagedLookasideList, nt::AtMost(DISPATCH_LEVEL), Partial, "KernelEx.*");
extern "C" VOID NTAPI ExInitializeNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside,
                                                      PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free,
                                                      ULONG Flags, SIZE_T Size, ULONG Tag, USHORT) {
  Initialize(&Lookaside->L, static_cast<POOL_TYPE>(NonPagedPool | (Flags & POOL_NX_ALLOCATION)), Size, Tag);
  Lookaside->L.Allocate = Allocate != nullptr ? Allocate : DefaultAllocate;
  Lookaside->L.Free = Free != nullptr ? Free : DefaultFree;
}

/// Frees the blocks that a list keeps.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExDeleteNPagedLookasideList.
NT_EXPORT(ExDeleteNPagedLookasideList, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI ExDeleteNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside) {
  Drain(&Lookaside->L);
}

/// Prepares a lookaside list of paged blocks.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the depth stays what it is at first.
/// Source: WDK wdm/ExInitializePagedLookasideList.
NT_EXPORT(ExInitializePagedLookasideList, nt::AtMost(APC_LEVEL), Partial, "KernelEx.*");
extern "C" VOID NTAPI ExInitializePagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside,
                                                     PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free, ULONG,
                                                     SIZE_T Size, ULONG Tag, USHORT) {
  Initialize(&Lookaside->L, PagedPool, Size, Tag);
  Lookaside->L.Allocate = Allocate != nullptr ? Allocate : DefaultAllocate;
  Lookaside->L.Free = Free != nullptr ? Free : DefaultFree;
}

/// Frees the blocks that a list keeps.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExDeletePagedLookasideList.
NT_EXPORT(ExDeletePagedLookasideList, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI ExDeletePagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside) {
  Drain(&Lookaside->L);
}

/// Prepares a lookaside list of either pool.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: the depth stays what it is at first.
/// Source: WDK wdm/ExInitializeLookasideListEx.
NT_EXPORT(ExInitializeLookasideListEx, nt::AtMost(DISPATCH_LEVEL), Partial, "KernelEx.*");
extern "C" NTSTATUS NTAPI ExInitializeLookasideListEx(PLOOKASIDE_LIST_EX Lookaside,
                                                      PALLOCATE_FUNCTION_EX Allocate, PFREE_FUNCTION_EX Free,
                                                      POOL_TYPE PoolType, ULONG, SIZE_T Size, ULONG Tag,
                                                      USHORT) {
  if (Size > MAXLONG) return STATUS_INVALID_PARAMETER;
  Initialize(&Lookaside->L, PoolType, Size, Tag);
  Lookaside->L.AllocateEx = Allocate != nullptr ? Allocate : DefaultAllocateEx;
  Lookaside->L.FreeEx = Free != nullptr ? Free : DefaultFreeEx;
  return STATUS_SUCCESS;
}

/// Frees the blocks that a list keeps.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExDeleteLookasideListEx.
NT_EXPORT(ExDeleteLookasideListEx, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI ExDeleteLookasideListEx(PLOOKASIDE_LIST_EX Lookaside) {
  while (PSLIST_ENTRY entry = ExpInterlockedPopEntrySList(&Lookaside->L.ListHead))
    Lookaside->L.FreeEx(entry, Lookaside);
}
