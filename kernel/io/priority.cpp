// Hints about how urgent a request is. Nothing here orders requests by them; drivers read them.
#include "io_internal.h"
#include "nt/eprocess.h"
#include "nt/export.h"

namespace {

// An IRP's hint lies in three bits of its flags, plus one: 0 is none.
constexpr ULONG kHintShift = 17;
constexpr ULONG kHintMask = 7u << kHintShift;

bool IsHint(IO_PRIORITY_HINT hint) {
  return static_cast<ULONG>(hint) < MaxIoPriorityTypes;
}

IO_PRIORITY_HINT ThreadHint(PETHREAD thread) {
  return static_cast<IO_PRIORITY_HINT>(thread->ThreadIoPriority);
}

}  // namespace

/// The priority hint of a request; IoPriorityNormal if it has none.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/IoGetIoPriorityHint.
NT_EXPORT(IoGetIoPriorityHint, nt::AnyIrql(), Full, "IoPriority.*");
extern "C" IO_PRIORITY_HINT NTAPI IoGetIoPriorityHint(PIRP Irp) {
  const ULONG hint = (Irp->Flags & kHintMask) >> kHintShift;
  return hint != 0 ? static_cast<IO_PRIORITY_HINT>(hint - 1) : IoPriorityNormal;
}

/// Sets the priority hint of a request.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/IoSetIoPriorityHint.
NT_EXPORT(IoSetIoPriorityHint, nt::AnyIrql(), Full, "IoPriority.*");
extern "C" NTSTATUS NTAPI IoSetIoPriorityHint(PIRP Irp, IO_PRIORITY_HINT PriorityHint) {
  if (!IsHint(PriorityHint)) return STATUS_INVALID_PARAMETER;
  Irp->Flags = (Irp->Flags & ~kHintMask) | (static_cast<ULONG>(PriorityHint) + 1) << kHintShift;
  return STATUS_SUCCESS;
}

/// Sets the priority hint of a thread.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: the thread's requests do not get the hint by themselves; IoRetrievePriorityInfo tells it.
/// Source: WDK ntifs/IoSetIoPriorityHintIntoThread.
NT_EXPORT(IoSetIoPriorityHintIntoThread, nt::AtMost(DISPATCH_LEVEL), Partial, "IoPriority.*");
extern "C" NTSTATUS NTAPI IoSetIoPriorityHintIntoThread(PETHREAD Thread, IO_PRIORITY_HINT PriorityHint) {
  if (!IsHint(PriorityHint)) return STATUS_INVALID_PARAMETER;
  Thread->ThreadIoPriority = static_cast<ULONG>(PriorityHint);
  return STATUS_SUCCESS;
}

/// The priority of a paging request; IoPagingPriorityInvalid (0) if the request is none.
/// IRQL: any.
/// Differs from NT: every paging request is of normal priority (1).
/// Source: WDK ntddk/IoGetPagingIoPriority.
NT_EXPORT(IoGetPagingIoPriority, nt::AnyIrql(), Partial, "IoPriority.*");
extern "C" IO_PAGING_PRIORITY FASTCALL IoGetPagingIoPriority(PIRP Irp) {
  return static_cast<IO_PAGING_PRIORITY>((Irp->Flags & IRP_PAGING_IO) != 0 ? 1 : 0);
}

/// Collects the priorities of a thread and the hint of a request, or of the thread if there is none.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: the priority of pages is always the default, 5.
/// Source: WDK ntifs/IoRetrievePriorityInfo.
NT_EXPORT(IoRetrievePriorityInfo, nt::AtMost(DISPATCH_LEVEL), Partial, "IoPriority.*");
extern "C" NTSTATUS NTAPI IoRetrievePriorityInfo(PIRP Irp, PFILE_OBJECT FileObject, PETHREAD Thread,
                                                 PIO_PRIORITY_INFO PriorityInfo) {
  if (PriorityInfo == nullptr || PriorityInfo->Size != sizeof(IO_PRIORITY_INFO))
    return STATUS_INVALID_PARAMETER;
  if (Thread == nullptr) Thread = PsGetCurrentThread();
  PriorityInfo->ThreadPriority = static_cast<ULONG>(KeQueryPriorityThread(&Thread->Tcb));
  PriorityInfo->PagePriority = 5;
  const auto* extension = FileObject != nullptr
                              ? static_cast<const io::FileExtension*>(FileObject->FileObjectExtension)
                              : nullptr;
  const bool of_file = Irp == nullptr && extension != nullptr && extension->priority_hint != 0;
  PriorityInfo->IoPriority = Irp != nullptr ? IoGetIoPriorityHint(Irp)
                             : of_file      ? static_cast<IO_PRIORITY_HINT>(extension->priority_hint - 1)
                                            : ThreadHint(Thread);
  return STATUS_SUCCESS;
}
