// Extra create parameters: a list of contexts by GUID that travels with an IRP_MJ_CREATE. The list is handed
// to the file system in the IRP's auxiliary buffer.
#include "fsrtl_internal.h"

#define ECP_LIST_SIGNATURE 'lpcE'
#define ECP_SIGNATURE 'pcE '

// Windows's names; the layout is ours.
struct _ECP_LIST {
  ULONG Signature;
  ULONG Flags;
  LIST_ENTRY EcpList;
};

// Before each context.
struct _ECP_HEADER {
  ULONG Signature;
  ULONG Flags;
  LIST_ENTRY ListEntry;
  GUID EcpType;
  PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK CleanupCallback;
  ULONG Size;  // of the context
  ULONG PoolTag;
  PVOID ListAllocatedFrom;  // a lookaside list; 0: pool
  ULONG_PTR Reserved[2];
};
static_assert(sizeof(_ECP_HEADER) % 16 == 0);

namespace {

constexpr ULONG kAcknowledged = 0x1;
constexpr ULONG kFromUserMode = 0x2;
constexpr ULONG kLookasideNonPaged = 0x4;

_ECP_HEADER* HeaderOf(PVOID context) {
  return static_cast<_ECP_HEADER*>(context) - 1;
}

_ECP_HEADER* Find(PECP_LIST list, LPCGUID type) {
  for (LIST_ENTRY* link = list->EcpList.Flink; link != &list->EcpList; link = link->Flink) {
    auto* header = CONTAINING_RECORD(link, _ECP_HEADER, ListEntry);
    if (RtlCompareMemory(&header->EcpType, type, sizeof(GUID)) == sizeof(GUID)) return header;
  }
  return nullptr;
}

void Prepare(_ECP_HEADER* header, LPCGUID type, ULONG size,
             PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK cleanup, ULONG tag) {
  RtlZeroMemory(header, sizeof(*header) + size);
  header->Signature = ECP_SIGNATURE;
  header->EcpType = *type;
  header->CleanupCallback = cleanup;
  header->Size = size;
  header->PoolTag = tag;
  InitializeListHead(&header->ListEntry);
}

void Give(const _ECP_HEADER* header, PVOID* context, ULONG* size) {
  if (context != nullptr) *context = const_cast<_ECP_HEADER*>(header) + 1;
  if (size != nullptr) *size = header->Size;
}

}  // namespace

/// An empty list of extra create parameters.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: quota is not charged.
/// Source: WDK ntifs/FsRtlAllocateExtraCreateParameterList.
NT_EXPORT(FsRtlAllocateExtraCreateParameterList, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" NTSTATUS NTAPI FsRtlAllocateExtraCreateParameterList(FSRTL_ALLOCATE_ECPLIST_FLAGS,
                                                                PECP_LIST* EcpList) {
  auto* list =
      static_cast<PECP_LIST>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ECP_LIST), ECP_LIST_SIGNATURE));
  *EcpList = list;
  if (list == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  list->Signature = ECP_LIST_SIGNATURE;
  list->Flags = 0;
  InitializeListHead(&list->EcpList);
  return STATUS_SUCCESS;
}

/// Frees a list with all that is in it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlFreeExtraCreateParameterList.
NT_EXPORT(FsRtlFreeExtraCreateParameterList, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" VOID NTAPI FsRtlFreeExtraCreateParameterList(PECP_LIST EcpList) {
  while (!IsListEmpty(&EcpList->EcpList)) {
    auto* header = CONTAINING_RECORD(RemoveHeadList(&EcpList->EcpList), _ECP_HEADER, ListEntry);
    FsRtlFreeExtraCreateParameter(header + 1);
  }
  ExFreePoolWithTag(EcpList, ECP_LIST_SIGNATURE);
}

/// A zeroed context of a type, in no list yet.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: quota is not charged.
/// Source: WDK ntifs/FsRtlAllocateExtraCreateParameter.
NT_EXPORT(FsRtlAllocateExtraCreateParameter, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" NTSTATUS NTAPI FsRtlAllocateExtraCreateParameter(
    LPCGUID EcpType, ULONG SizeOfContext, FSRTL_ALLOCATE_ECP_FLAGS Flags,
    PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK CleanupCallback, ULONG PoolTag, PVOID* EcpContext) {
  *EcpContext = nullptr;
  const POOL_TYPE pool = (Flags & FSRTL_ALLOCATE_ECP_FLAG_NONPAGED_POOL) ? NonPagedPoolNx : PagedPool;
  if (SizeOfContext > MAXULONG - sizeof(_ECP_HEADER)) return STATUS_INVALID_PARAMETER;
  auto* header =
      static_cast<_ECP_HEADER*>(ExAllocatePoolWithTag(pool, sizeof(_ECP_HEADER) + SizeOfContext, PoolTag));
  if (header == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  Prepare(header, EcpType, SizeOfContext, CleanupCallback, PoolTag);
  *EcpContext = header + 1;
  return STATUS_SUCCESS;
}

/// Calls the cleanup routine of a context that is in no list, and frees it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlFreeExtraCreateParameter.
NT_EXPORT(FsRtlFreeExtraCreateParameter, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" VOID NTAPI FsRtlFreeExtraCreateParameter(PVOID EcpContext) {
  _ECP_HEADER* header = HeaderOf(EcpContext);
  if (header->CleanupCallback != nullptr) header->CleanupCallback(EcpContext, &header->EcpType);
  if (header->ListAllocatedFrom == nullptr) {
    ExFreePoolWithTag(header, header->PoolTag);
  } else if (header->Flags & kLookasideNonPaged) {
    ExFreeToNPagedLookasideList(static_cast<PNPAGED_LOOKASIDE_LIST>(header->ListAllocatedFrom), header);
  } else {
    ExFreeToPagedLookasideList(static_cast<PPAGED_LOOKASIDE_LIST>(header->ListAllocatedFrom), header);
  }
}

/// Makes a lookaside list for contexts of one size.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlInitExtraCreateParameterLookasideList.
NT_EXPORT(FsRtlInitExtraCreateParameterLookasideList, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" VOID NTAPI FsRtlInitExtraCreateParameterLookasideList(PVOID Lookaside,
                                                                 FSRTL_ECP_LOOKASIDE_FLAGS Flags, SIZE_T Size,
                                                                 ULONG Tag) {
  if (Flags & FSRTL_ECP_LOOKASIDE_FLAG_NONPAGED_POOL) {
    ExInitializeNPagedLookasideList(static_cast<PNPAGED_LOOKASIDE_LIST>(Lookaside), nullptr, nullptr,
                                    POOL_NX_ALLOCATION, Size + sizeof(_ECP_HEADER), Tag, 0);
  } else {
    ExInitializePagedLookasideList(static_cast<PPAGED_LOOKASIDE_LIST>(Lookaside), nullptr, nullptr, 0,
                                   Size + sizeof(_ECP_HEADER), Tag, 0);
  }
}

/// Deletes it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlDeleteExtraCreateParameterLookasideList.
NT_EXPORT(FsRtlDeleteExtraCreateParameterLookasideList, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" VOID NTAPI FsRtlDeleteExtraCreateParameterLookasideList(PVOID Lookaside,
                                                                   FSRTL_ECP_LOOKASIDE_FLAGS Flags) {
  if (Flags & FSRTL_ECP_LOOKASIDE_FLAG_NONPAGED_POOL) {
    ExDeleteNPagedLookasideList(static_cast<PNPAGED_LOOKASIDE_LIST>(Lookaside));
  } else {
    ExDeletePagedLookasideList(static_cast<PPAGED_LOOKASIDE_LIST>(Lookaside));
  }
}

/// A context from such a list.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlAllocateExtraCreateParameterFromLookasideList.
NT_EXPORT(FsRtlAllocateExtraCreateParameterFromLookasideList, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" NTSTATUS NTAPI FsRtlAllocateExtraCreateParameterFromLookasideList(
    LPCGUID EcpType, ULONG SizeOfContext, FSRTL_ALLOCATE_ECP_FLAGS Flags,
    PFSRTL_EXTRA_CREATE_PARAMETER_CLEANUP_CALLBACK CleanupCallback, PVOID LookasideList, PVOID* EcpContext) {
  *EcpContext = nullptr;
  const bool nonpaged = (Flags & FSRTL_ALLOCATE_ECP_FLAG_NONPAGED_POOL) != 0;
  auto* lookaside = static_cast<PGENERAL_LOOKASIDE>(LookasideList);
  // Longer than the list's blocks: from the pool, as on Windows.
  if (SizeOfContext + sizeof(_ECP_HEADER) > lookaside->Size)
    return FsRtlAllocateExtraCreateParameter(EcpType, SizeOfContext, Flags, CleanupCallback, lookaside->Tag,
                                             EcpContext);
  PVOID block = nonpaged
                    ? ExAllocateFromNPagedLookasideList(static_cast<PNPAGED_LOOKASIDE_LIST>(LookasideList))
                    : ExAllocateFromPagedLookasideList(static_cast<PPAGED_LOOKASIDE_LIST>(LookasideList));
  if (block == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  auto* header = static_cast<_ECP_HEADER*>(block);
  Prepare(header, EcpType, SizeOfContext, CleanupCallback, lookaside->Tag);
  header->ListAllocatedFrom = LookasideList;
  if (nonpaged) header->Flags |= kLookasideNonPaged;
  *EcpContext = header + 1;
  return STATUS_SUCCESS;
}

/// Puts a context into a list. STATUS_INVALID_PARAMETER: the list has one of its type.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlInsertExtraCreateParameter.
NT_EXPORT(FsRtlInsertExtraCreateParameter, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" NTSTATUS NTAPI FsRtlInsertExtraCreateParameter(PECP_LIST EcpList, PVOID EcpContext) {
  _ECP_HEADER* header = HeaderOf(EcpContext);
  if (Find(EcpList, &header->EcpType) != nullptr) return STATUS_INVALID_PARAMETER;
  InsertTailList(&EcpList->EcpList, &header->ListEntry);
  return STATUS_SUCCESS;
}

/// The context of a type. STATUS_NOT_FOUND.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlFindExtraCreateParameter.
NT_EXPORT(FsRtlFindExtraCreateParameter, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" NTSTATUS NTAPI FsRtlFindExtraCreateParameter(PECP_LIST EcpList, LPCGUID EcpType, PVOID* EcpContext,
                                                        ULONG* EcpContextSize) {
  if (EcpContext != nullptr) *EcpContext = nullptr;
  const _ECP_HEADER* header = Find(EcpList, EcpType);
  if (header == nullptr) return STATUS_NOT_FOUND;
  Give(header, EcpContext, EcpContextSize);
  return STATUS_SUCCESS;
}

/// Takes the context of a type out of a list; it is the caller's then. STATUS_NOT_FOUND.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlRemoveExtraCreateParameter.
NT_EXPORT(FsRtlRemoveExtraCreateParameter, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" NTSTATUS NTAPI FsRtlRemoveExtraCreateParameter(PECP_LIST EcpList, LPCGUID EcpType,
                                                          PVOID* EcpContext, ULONG* EcpContextSize) {
  *EcpContext = nullptr;
  _ECP_HEADER* header = Find(EcpList, EcpType);
  if (header == nullptr) return STATUS_NOT_FOUND;
  RemoveEntryList(&header->ListEntry);
  InitializeListHead(&header->ListEntry);
  Give(header, EcpContext, EcpContextSize);
  return STATUS_SUCCESS;
}

/// The context after another one, or the first. STATUS_NOT_FOUND: there is none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlGetNextExtraCreateParameter.
NT_EXPORT(FsRtlGetNextExtraCreateParameter, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" NTSTATUS NTAPI FsRtlGetNextExtraCreateParameter(PECP_LIST EcpList, PVOID CurrentEcpContext,
                                                           LPGUID NextEcpType, PVOID* NextEcpContext,
                                                           ULONG* NextEcpContextSize) {
  if (NextEcpContext != nullptr) *NextEcpContext = nullptr;
  LIST_ENTRY* link =
      CurrentEcpContext != nullptr ? HeaderOf(CurrentEcpContext)->ListEntry.Flink : EcpList->EcpList.Flink;
  if (link == &EcpList->EcpList) return STATUS_NOT_FOUND;
  const auto* header = CONTAINING_RECORD(link, _ECP_HEADER, ListEntry);
  if (NextEcpType != nullptr) *NextEcpType = header->EcpType;
  Give(header, NextEcpContext, NextEcpContextSize);
  return STATUS_SUCCESS;
}

/// The file system has used a context.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlAcknowledgeEcp.
NT_EXPORT(FsRtlAcknowledgeEcp, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" VOID NTAPI FsRtlAcknowledgeEcp(PVOID EcpContext) {
  HeaderOf(EcpContext)->Flags |= kAcknowledged;
}

/// Whether a file system has used a context.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlIsEcpAcknowledged.
NT_EXPORT(FsRtlIsEcpAcknowledged, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" BOOLEAN NTAPI FsRtlIsEcpAcknowledged(PVOID EcpContext) {
  return (HeaderOf(EcpContext)->Flags & kAcknowledged) != 0;
}

/// Whether a context came from user mode.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: no service takes one from user mode.
/// Source: WDK ntifs/FsRtlIsEcpFromUserMode.
NT_EXPORT(FsRtlIsEcpFromUserMode, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" BOOLEAN NTAPI FsRtlIsEcpFromUserMode(PVOID EcpContext) {
  return (HeaderOf(EcpContext)->Flags & kFromUserMode) != 0;
}

/// The list that a create carries; 0 if it has none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlGetEcpListFromIrp.
NT_EXPORT(FsRtlGetEcpListFromIrp, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" NTSTATUS NTAPI FsRtlGetEcpListFromIrp(PIRP Irp, PECP_LIST* EcpList) {
  *EcpList = nullptr;
  if (!(Irp->Flags & IRP_CREATE_OPERATION)) return STATUS_INVALID_PARAMETER;
  auto* list = reinterpret_cast<PECP_LIST>(Irp->Tail.Overlay.AuxiliaryBuffer);
  if (list != nullptr && list->Signature != ECP_LIST_SIGNATURE) return STATUS_INVALID_PARAMETER;
  *EcpList = list;
  return STATUS_SUCCESS;
}

/// Gives a create a list, if it has none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlSetEcpListIntoIrp.
NT_EXPORT(FsRtlSetEcpListIntoIrp, nt::AtMost(APC_LEVEL), Full, "FsRtlEcp.*");
extern "C" NTSTATUS NTAPI FsRtlSetEcpListIntoIrp(PIRP Irp, PECP_LIST EcpList) {
  if (!(Irp->Flags & IRP_CREATE_OPERATION) || Irp->Tail.Overlay.AuxiliaryBuffer != nullptr)
    return STATUS_INVALID_PARAMETER;
  Irp->Tail.Overlay.AuxiliaryBuffer = reinterpret_cast<PCHAR>(EcpList);
  return STATUS_SUCCESS;
}
