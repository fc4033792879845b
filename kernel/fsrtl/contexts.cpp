// What filters attach to a stream: a list in the file system's FSRTL_ADVANCED_FCB_HEADER, under its mutex.
#include "fsrtl_internal.h"

namespace {

bool Supports(PFSRTL_ADVANCED_FCB_HEADER header) {
  return header != nullptr && (header->Flags2 & FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS) != 0;
}

// Both ids, or the owner's alone, or the first context at all.
PFSRTL_PER_STREAM_CONTEXT FindLocked(PFSRTL_ADVANCED_FCB_HEADER header, PVOID owner, PVOID instance) {
  for (LIST_ENTRY* link = header->FilterContexts.Flink; link != &header->FilterContexts; link = link->Flink) {
    auto* context = CONTAINING_RECORD(link, FSRTL_PER_STREAM_CONTEXT, Links);
    if (owner != nullptr && context->OwnerId != owner) continue;
    if (owner != nullptr && instance != nullptr && context->InstanceId != instance) continue;
    return context;
  }
  return nullptr;
}

}  // namespace

/// Attaches a filter's context to a stream. STATUS_INVALID_DEVICE_REQUEST: its file system supports none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlInsertPerStreamContext.
NT_EXPORT(FsRtlInsertPerStreamContext, nt::AtMost(APC_LEVEL), Full, "FsRtlContexts.*");
extern "C" NTSTATUS NTAPI FsRtlInsertPerStreamContext(PFSRTL_ADVANCED_FCB_HEADER AdvFcbHeader,
                                                      PFSRTL_PER_STREAM_CONTEXT Ptr) {
  if (!Supports(AdvFcbHeader)) return STATUS_INVALID_DEVICE_REQUEST;
  fsrtl::FastMutexGuard guard(AdvFcbHeader->FastMutex);
  InsertHeadList(&AdvFcbHeader->FilterContexts, &Ptr->Links);
  return STATUS_SUCCESS;
}

/// The context of an owner and instance; without an instance the owner's first, without both the first.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlLookupPerStreamContextInternal.
NT_EXPORT(FsRtlLookupPerStreamContextInternal, nt::AtMost(APC_LEVEL), Full, "FsRtlContexts.*");
extern "C" PFSRTL_PER_STREAM_CONTEXT NTAPI FsRtlLookupPerStreamContextInternal(
    PFSRTL_ADVANCED_FCB_HEADER AdvFcbHeader, PVOID OwnerId, PVOID InstanceId) {
  if (!Supports(AdvFcbHeader)) return nullptr;
  fsrtl::FastMutexGuard guard(AdvFcbHeader->FastMutex);
  return FindLocked(AdvFcbHeader, OwnerId, InstanceId);
}

/// Detaches a context and returns it; the caller frees it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlRemovePerStreamContext.
NT_EXPORT(FsRtlRemovePerStreamContext, nt::AtMost(APC_LEVEL), Full, "FsRtlContexts.*");
extern "C" PFSRTL_PER_STREAM_CONTEXT NTAPI
FsRtlRemovePerStreamContext(PFSRTL_ADVANCED_FCB_HEADER AdvFcbHeader, PVOID OwnerId, PVOID InstanceId) {
  if (!Supports(AdvFcbHeader)) return nullptr;
  fsrtl::FastMutexGuard guard(AdvFcbHeader->FastMutex);
  PFSRTL_PER_STREAM_CONTEXT context = FindLocked(AdvFcbHeader, OwnerId, InstanceId);
  if (context != nullptr) RemoveEntryList(&context->Links);
  return context;
}

/// A file system's stream goes: each context is handed to its owner's FreeCallback, without the mutex.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlTeardownPerStreamContexts.
NT_EXPORT(FsRtlTeardownPerStreamContexts, nt::AtMost(APC_LEVEL), Full, "FsRtlContexts.*");
extern "C" VOID NTAPI FsRtlTeardownPerStreamContexts(PFSRTL_ADVANCED_FCB_HEADER AdvancedHeader) {
  if (!Supports(AdvancedHeader)) return;
  while (PFSRTL_PER_STREAM_CONTEXT context = FsRtlRemovePerStreamContext(AdvancedHeader, nullptr, nullptr))
    context->FreeCallback(context);
}
