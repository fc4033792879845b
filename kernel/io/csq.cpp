// Cancel-safe IRP queues: the race between a driver that takes an IRP out and a cancellation is decided once,
// under the driver's own lock. Irp->Tail.Overlay.DriverContext[3] names the queue, or the caller's
// IO_CSQ_IRP_CONTEXT that does, while the IRP is queued.
#include "io_internal.h"
#include "nt/export.h"

namespace {

constexpr ULONG kTypeContext = 1, kTypeCsq = 2, kTypeCsqEx = 3;  // first member of both structures

PVOID& QueueSlot(PIRP irp) {
  return irp->Tail.Overlay.DriverContext[3];
}

// The IRP is out of the queue: nothing refers to it any more. Queue's lock held.
void Forget(PIRP irp) {
  auto* context = static_cast<PIO_CSQ_IRP_CONTEXT>(QueueSlot(irp));
  if (context->Type == kTypeContext) context->Irp = nullptr;
  QueueSlot(irp) = nullptr;
}

VOID NTAPI CancelRoutine(PDEVICE_OBJECT, PIRP irp) {
  IoReleaseCancelSpinLock(irp->CancelIrql);
  auto* context = static_cast<PIO_CSQ_IRP_CONTEXT>(QueueSlot(irp));
  auto* csq = context->Type == kTypeContext ? context->Csq : static_cast<PIO_CSQ>(QueueSlot(irp));
  KIRQL irql;
  csq->CsqAcquireLock(csq, &irql);
  csq->CsqRemoveIrp(csq, irp);
  Forget(irp);
  csq->CsqReleaseLock(csq, irql);
  csq->CsqCompleteCanceledIrp(csq, irp);
}

NTSTATUS Insert(PIO_CSQ csq, PIRP irp, PIO_CSQ_IRP_CONTEXT context, PVOID insert_context) {
  KIRQL irql;
  csq->CsqAcquireLock(csq, &irql);
  if (context != nullptr) *context = {kTypeContext, irp, csq};
  QueueSlot(irp) = context != nullptr ? static_cast<PVOID>(context) : csq;
  NTSTATUS status = STATUS_SUCCESS;
  if (csq->Type == kTypeCsqEx) {
    status = reinterpret_cast<PIO_CSQ_INSERT_IRP_EX>(reinterpret_cast<PVOID>(csq->CsqInsertIrp))(
        csq, irp, insert_context);
    if (!NT_SUCCESS(status)) {
      Forget(irp);
      csq->CsqReleaseLock(csq, irql);
      return status;
    }
  } else {
    csq->CsqInsertIrp(csq, irp);
  }
  IoMarkIrpPending(irp);
  IoSetCancelRoutine(irp, CancelRoutine);
  // Cancelled before the routine was set: whoever takes the routine back completes the IRP.
  if (irp->Cancel && IoSetCancelRoutine(irp, nullptr) != nullptr) {
    csq->CsqRemoveIrp(csq, irp);
    Forget(irp);
    csq->CsqReleaseLock(csq, irql);
    csq->CsqCompleteCanceledIrp(csq, irp);
    return status;
  }
  csq->CsqReleaseLock(csq, irql);
  return status;
}

NTSTATUS Prepare(PIO_CSQ csq, ULONG type, PIO_CSQ_INSERT_IRP insert, PIO_CSQ_REMOVE_IRP remove,
                 PIO_CSQ_PEEK_NEXT_IRP peek, PIO_CSQ_ACQUIRE_LOCK acquire, PIO_CSQ_RELEASE_LOCK release,
                 PIO_CSQ_COMPLETE_CANCELED_IRP complete) {
  *csq = {type, insert, remove, peek, acquire, release, complete, nullptr};
  return STATUS_SUCCESS;
}

}  // namespace

/// Prepares a cancel-safe queue with the driver's routines for insertion, removal, search, locking and
/// cancellation.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/IoCsqInitialize.
NT_EXPORT(IoCsqInitialize, nt::AtMost(HIGH_LEVEL), Full, "IoCsq.*");
extern "C" NTSTATUS NTAPI IoCsqInitialize(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP CsqInsertIrp,
                                          PIO_CSQ_REMOVE_IRP CsqRemoveIrp,
                                          PIO_CSQ_PEEK_NEXT_IRP CsqPeekNextIrp,
                                          PIO_CSQ_ACQUIRE_LOCK CsqAcquireLock,
                                          PIO_CSQ_RELEASE_LOCK CsqReleaseLock,
                                          PIO_CSQ_COMPLETE_CANCELED_IRP CsqCompleteCanceledIrp) {
  return Prepare(Csq, kTypeCsq, CsqInsertIrp, CsqRemoveIrp, CsqPeekNextIrp, CsqAcquireLock, CsqReleaseLock,
                 CsqCompleteCanceledIrp);
}

/// As IoCsqInitialize, with an insertion routine that may refuse the IRP and gets a context.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/IoCsqInitializeEx.
NT_EXPORT(IoCsqInitializeEx, nt::AtMost(HIGH_LEVEL), Full, "IoCsq.*");
extern "C" NTSTATUS NTAPI IoCsqInitializeEx(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP_EX CsqInsertIrp,
                                            PIO_CSQ_REMOVE_IRP CsqRemoveIrp,
                                            PIO_CSQ_PEEK_NEXT_IRP CsqPeekNextIrp,
                                            PIO_CSQ_ACQUIRE_LOCK CsqAcquireLock,
                                            PIO_CSQ_RELEASE_LOCK CsqReleaseLock,
                                            PIO_CSQ_COMPLETE_CANCELED_IRP CsqCompleteCanceledIrp) {
  return Prepare(Csq, kTypeCsqEx, reinterpret_cast<PIO_CSQ_INSERT_IRP>(reinterpret_cast<PVOID>(CsqInsertIrp)),
                 CsqRemoveIrp, CsqPeekNextIrp, CsqAcquireLock, CsqReleaseLock, CsqCompleteCanceledIrp);
}

/// Marks the IRP pending and queues it; one that is cancelled already is completed by the driver's
/// cancellation routine.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoCsqInsertIrp.
NT_EXPORT(IoCsqInsertIrp, nt::AtMost(DISPATCH_LEVEL), Full, "IoCsq.*");
extern "C" VOID NTAPI IoCsqInsertIrp(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context) {
  (void)Insert(Csq, Irp, Context, nullptr);
}

/// As IoCsqInsertIrp; returns what the driver's insertion routine returned. An IRP that it refused is neither
/// queued nor pending.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoCsqInsertIrpEx.
NT_EXPORT(IoCsqInsertIrpEx, nt::AtMost(DISPATCH_LEVEL), Full, "IoCsq.*");
extern "C" NTSTATUS NTAPI IoCsqInsertIrpEx(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context,
                                           PVOID InsertContext) {
  return Insert(Csq, Irp, Context, InsertContext);
}

/// Takes the IRP that was inserted with this context; 0 if it has been cancelled or taken.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoCsqRemoveIrp.
NT_EXPORT(IoCsqRemoveIrp, nt::AtMost(DISPATCH_LEVEL), Full, "IoCsq.*");
extern "C" PIRP NTAPI IoCsqRemoveIrp(PIO_CSQ Csq, PIO_CSQ_IRP_CONTEXT Context) {
  KIRQL irql;
  Csq->CsqAcquireLock(Csq, &irql);
  PIRP irp = Context->Irp;
  if (irp != nullptr && IoSetCancelRoutine(irp, nullptr) == nullptr)
    irp = nullptr;  // its cancel routine is on the way
  if (irp != nullptr) {
    Csq->CsqRemoveIrp(Csq, irp);
    Forget(irp);
  }
  Csq->CsqReleaseLock(Csq, irql);
  return irp;
}

/// Takes the next IRP that matches (the driver's search routine decides) and is not being cancelled; 0 if
/// there is none.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoCsqRemoveNextIrp.
NT_EXPORT(IoCsqRemoveNextIrp, nt::AtMost(DISPATCH_LEVEL), Full, "IoCsq.*");
extern "C" PIRP NTAPI IoCsqRemoveNextIrp(PIO_CSQ Csq, PVOID PeekContext) {
  KIRQL irql;
  Csq->CsqAcquireLock(Csq, &irql);
  PIRP irp = Csq->CsqPeekNextIrp(Csq, nullptr, PeekContext);
  while (irp != nullptr && IoSetCancelRoutine(irp, nullptr) == nullptr)
    irp = Csq->CsqPeekNextIrp(Csq, irp, PeekContext);
  if (irp != nullptr) {
    Csq->CsqRemoveIrp(Csq, irp);
    Forget(irp);
  }
  Csq->CsqReleaseLock(Csq, irql);
  return irp;
}
