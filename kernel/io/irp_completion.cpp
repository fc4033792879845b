// The way of an IRP: down by IofCallDriver, up by IofCompleteRequest, home by IopCompleteRequest.
#include "client.h"
#include "io/verifier_hooks.h"
#include "io_internal.h"
#include "nt/export.h"
#include "user_mode.h"

#ifndef CANCEL_STATE_IN_COMPLETED_IRP
#define CANCEL_STATE_IN_COMPLETED_IRP 0x48
#endif
#ifndef NO_MORE_IRP_STACK_LOCATIONS
#define NO_MORE_IRP_STACK_LOCATIONS 0x35
#endif

extern "C" {
typedef VOID(NTAPI* PKKERNEL_ROUTINE)(PKAPC Apc, PKNORMAL_ROUTINE* NormalRoutine, PVOID* NormalContext,
                                      PVOID* SystemArgument1, PVOID* SystemArgument2);
typedef VOID(NTAPI* PKRUNDOWN_ROUTINE)(PKAPC Apc);
VOID NTAPI KeInitializeApc(PKAPC Apc, PKTHREAD Thread, ULONG Environment, PKKERNEL_ROUTINE KernelRoutine,
                           PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine,
                           KPROCESSOR_MODE ApcMode, PVOID NormalContext);
BOOLEAN NTAPI KeInsertQueueApc(PKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment);
}

extern "C" PIO_CALL_DRIVER pIofCallDriver;
PIO_CALL_DRIVER pIofCallDriver;
const IOP_VERIFIER* IopVerifier;

/// Hands an IRP to a driver: makes the next stack location current and calls the dispatch routine of its
/// major function. Out of stack locations: bug check 0x35.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IofCallDriver.
NT_EXPORT(IofCallDriver, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS FASTCALL IofCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
  if (--Irp->CurrentLocation <= 0) {
    KeBugCheckEx(NO_MORE_IRP_STACK_LOCATIONS, reinterpret_cast<ULONG_PTR>(Irp), 0, 0, 0);
  }
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(Irp);
  Irp->Tail.Overlay.CurrentStackLocation = stack;
  stack->DeviceObject = DeviceObject;
  PDRIVER_DISPATCH routine = DeviceObject->DriverObject->MajorFunction[stack->MajorFunction];
  return pIofCallDriver != nullptr ? pIofCallDriver(DeviceObject, Irp, routine) : routine(DeviceObject, Irp);
}

namespace {

void ClearStackLocation(PIO_STACK_LOCATION stack) {
  stack->MinorFunction = 0;
  stack->Flags = 0;
  stack->Control = static_cast<UCHAR>(stack->Control & SL_ERROR_RETURNED);
  RtlZeroMemory(&stack->Parameters, sizeof(stack->Parameters));
  stack->FileObject = nullptr;
}

NTSTATUS CallCompletion(PDEVICE_OBJECT device, PIRP irp, PVOID context, PIO_COMPLETION_ROUTINE routine) {
  if (IopVerifier != nullptr) return IopVerifier->CallCompletion(device, irp, context, routine);
  return routine(device, irp, context);
}

bool WantsCompletion(PIRP irp, UCHAR control) {
  if (irp->Cancel && (control & SL_INVOKE_ON_CANCEL)) return true;
  return (control & (NT_SUCCESS(irp->IoStatus.Status) ? SL_INVOKE_ON_SUCCESS : SL_INVOKE_ON_ERROR)) != 0;
}

// Calls the completion routines from the current location upwards. False: one of them keeps the IRP.
bool WalkUp(PIRP irp) {
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  ++irp->CurrentLocation;
  ++irp->Tail.Overlay.CurrentStackLocation;
  for (; irp->CurrentLocation <= irp->StackCount + 1;
       ++stack, ++irp->CurrentLocation, ++irp->Tail.Overlay.CurrentStackLocation) {
    irp->PendingReturned = (stack->Control & SL_PENDING_RETURNED) != 0;
    const bool top = irp->CurrentLocation == irp->StackCount + 1;
    if (WantsCompletion(irp, stack->Control)) {
      const PIO_COMPLETION_ROUTINE routine = stack->CompletionRoutine;
      PVOID context = stack->Context;
      ClearStackLocation(stack);
      PDEVICE_OBJECT device = top ? nullptr : IoGetCurrentIrpStackLocation(irp)->DeviceObject;
      if (CallCompletion(device, irp, context, routine) == STATUS_MORE_PROCESSING_REQUIRED) return false;
    } else {
      if (irp->PendingReturned && !top) IoMarkIrpPending(irp);
      ClearStackLocation(stack);
    }
  }
  return true;
}

// What the service captured for the driver besides the buffers; a create's belongs to its sender. Before the
// IRP's APC takes the place of the pointer.
void FreeAuxiliary(PIRP irp) {
  if ((irp->Flags & IRP_CREATE_OPERATION) || irp->Tail.Overlay.AuxiliaryBuffer == nullptr) return;
  ExFreePoolWithTag(irp->Tail.Overlay.AuxiliaryBuffer, kNameTag);
  irp->Tail.Overlay.AuxiliaryBuffer = nullptr;
}

void FreeMdls(PIRP irp) {
  while (PMDL mdl = irp->MdlAddress) {
    irp->MdlAddress = mdl->Next;
    IoFreeMdl(mdl);
  }
}

void UnlockMdls(PIRP irp) {
  for (PMDL mdl = irp->MdlAddress; mdl != nullptr; mdl = mdl->Next) {
    if (mdl->MdlFlags & MDL_PAGES_LOCKED) MmUnlockPages(mdl);
  }
}

VOID NTAPI CompletionApc(PKAPC Apc, PKNORMAL_ROUTINE*, PVOID*, PVOID* SystemArgument1, PVOID*) {
  PIRP irp = CONTAINING_RECORD(Apc, IRP, Tail.Apc);
  auto* file = static_cast<PFILE_OBJECT>(*SystemArgument1);
  irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  IopCompleteRequest(irp, file);
}

VOID NTAPI AbortedApc(PKAPC Apc) {
  PIRP irp = CONTAINING_RECORD(Apc, IRP, Tail.Apc);
  InitializeListHead(&irp->ThreadListEntry);
  if (irp->Flags & IRP_DEALLOCATE_BUFFER) ExFreePool(irp->AssociatedIrp.SystemBuffer);
  FreeMdls(irp);
  IoFreeIrp(irp);
}

void CompleteMaster(PIRP part) {
  PIRP master = part->AssociatedIrp.MasterIrp;
  FreeMdls(part);
  IoFreeIrp(part);
  if (InterlockedDecrement(&master->AssociatedIrp.IrpCount) == 0) IofCompleteRequest(master, IO_NO_INCREMENT);
}

}  // namespace

/// Completes an IRP: calls the completion routines upwards, then returns the result to whoever asked (in the
/// context of the asking thread, by a special kernel APC, unless its service call still runs). Completing an
/// IRP twice is bug check 0x44, with a cancel routine set 0x48.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IofCompleteRequest.
NT_EXPORT(IofCompleteRequest, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID FASTCALL IofCompleteRequest(PIRP Irp, CCHAR PriorityBoost) {
  if (Irp->Type != IO_TYPE_IRP || Irp->CurrentLocation > Irp->StackCount + 1) {
    KeBugCheckEx(MULTIPLE_IRP_COMPLETE_REQUESTS, reinterpret_cast<ULONG_PTR>(Irp), __LINE__, 0, 0);
  }
  if (Irp->CancelRoutine != nullptr) {
    KeBugCheckEx(CANCEL_STATE_IN_COMPLETED_IRP, reinterpret_cast<ULONG_PTR>(Irp),
                 reinterpret_cast<ULONG_PTR>(Irp->CancelRoutine), 0, 0);
  }
  if (IopVerifier != nullptr) IopVerifier->Completing(Irp);
  if (!WalkUp(Irp)) return;
  if (Irp->Flags & IRP_ASSOCIATED_IRP) {
    CompleteMaster(Irp);
    return;
  }
  UnlockMdls(Irp);
  FreeAuxiliary(Irp);
  if (Irp->Flags & IRP_CLOSE_OPERATION) {  // the sender waits for it and frees it
    *Irp->UserIosb = Irp->IoStatus;
    KeSetEvent(Irp->UserEvent, PriorityBoost, FALSE);
    return;
  }
  if ((Irp->Flags & IRP_DEFER_IO_COMPLETION) && !Irp->PendingReturned)
    return;  // the service call goes on with it
  PETHREAD thread = Irp->Tail.Overlay.Thread;
  PFILE_OBJECT file = Irp->Tail.Overlay.OriginalFileObject;
  if (thread == nullptr) {  // IoAllocateIrp without a completion routine that keeps it: nobody waits
    KeBugCheckEx(MULTIPLE_IRP_COMPLETE_REQUESTS, reinterpret_cast<ULONG_PTR>(Irp), __LINE__, 0, 0);
  }
  KeInitializeApc(&Irp->Tail.Apc, &thread->Tcb, Irp->ApcEnvironment, CompletionApc, AbortedApc, nullptr,
                  KernelMode, nullptr);
  KeInsertQueueApc(&Irp->Tail.Apc, file, nullptr, PriorityBoost);
}

#undef IoCompleteRequest
/// Completes an IRP; the function that IoCompleteRequest was before IofCompleteRequest.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoCompleteRequest.
NT_EXPORT(IoCompleteRequest, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoCompleteRequest(PIRP Irp, CCHAR PriorityBoost) {
  IofCompleteRequest(Irp, PriorityBoost);
}

namespace {

VOID NTAPI UserApcDone(PKAPC Apc, PKNORMAL_ROUTINE*, PVOID*, PVOID*, PVOID*) {
  IoFreeIrp(CONTAINING_RECORD(Apc, IRP, Tail.Apc));
}

void CopyInput(PIRP irp) {
  if (!(irp->Flags & IRP_BUFFERED_IO)) return;
  const bool has_data =
      (irp->Flags & IRP_INPUT_OPERATION) && !NT_ERROR(irp->IoStatus.Status) && irp->UserBuffer != nullptr;
  if (has_data) {
    const NTSTATUS status = io::CopyToRequestor(irp->RequestorMode, irp->UserBuffer,
                                                irp->AssociatedIrp.SystemBuffer, irp->IoStatus.Information);
    if (!NT_SUCCESS(status)) irp->IoStatus.Status = status;  // the program has taken its buffer away
  }
  if (irp->Flags & IRP_DEALLOCATE_BUFFER) ExFreePool(irp->AssociatedIrp.SystemBuffer);
  irp->Flags &= ~(IRP_DEALLOCATE_BUFFER | IRP_BUFFERED_IO);
}

// The request failed before it went pending: the caller learns it from the returned status alone.
void Forget(PIRP irp, PFILE_OBJECT file) {
  if (file != nullptr && !(irp->Flags & IRP_CREATE_OPERATION)) ObfDereferenceObject(file);
  if (irp->UserEvent != nullptr && file != nullptr && !(irp->Flags & IRP_SYNCHRONOUS_API))
    ObfDereferenceObject(irp->UserEvent);
  IoFreeIrp(irp);
}

}  // namespace

extern "C" VOID IopCompleteRequest(PIRP Irp, PFILE_OBJECT FileObject) {
  CopyInput(Irp);
  FreeMdls(Irp);
  IopDequeueThreadIrp(Irp);
  io::CountRequest(Irp->Flags, (Irp->Flags & IRP_CREATE_OPERATION) != 0 ? 0 : Irp->IoStatus.Information);
  const bool failed_early = NT_ERROR(Irp->IoStatus.Status) && !Irp->PendingReturned;
  if (failed_early) {
    Forget(Irp, FileObject);
    return;
  }
  // A program that has taken its status block away learns nothing.
  if (Irp->UserIosb != nullptr)
    (void)io::CopyToRequestor(Irp->RequestorMode, Irp->UserIosb, &Irp->IoStatus, sizeof(Irp->IoStatus));
  if (Irp->RequestorMode == UserMode) io::NoteCompletion(Irp->Tail.Overlay.Thread);
  if (FileObject != nullptr) {
    const bool synchronous = (FileObject->Flags & FO_SYNCHRONOUS_IO) != 0;
    if (synchronous || (Irp->UserEvent == nullptr && !(FileObject->Flags & FO_SKIP_SET_EVENT))) {
      if (synchronous) FileObject->FinalStatus = Irp->IoStatus.Status;
      KeSetEvent(&FileObject->Event, 0, FALSE);
    }
    if (Irp->UserEvent != nullptr) {
      KeSetEvent(Irp->UserEvent, 0, FALSE);
      if (!(Irp->Flags & IRP_SYNCHRONOUS_API)) ObfDereferenceObject(Irp->UserEvent);
    }
    if (!(Irp->Flags & IRP_CREATE_OPERATION)) ObfDereferenceObject(FileObject);
  } else if (Irp->UserEvent != nullptr) {
    KeSetEvent(Irp->UserEvent, 0, FALSE);
  }
  PIO_APC_ROUTINE routine = Irp->Overlay.AsynchronousParameters.UserApcRoutine;
  if (FileObject == nullptr || routine == nullptr || (Irp->Flags & IRP_CREATE_OPERATION)) {
    IoFreeIrp(Irp);
    return;
  }
  PVOID context = Irp->Overlay.AsynchronousParameters.UserApcContext;
  KeInitializeApc(&Irp->Tail.Apc, reinterpret_cast<PKTHREAD>(KeGetCurrentThread()), Irp->ApcEnvironment,
                  UserApcDone, nullptr, reinterpret_cast<PKNORMAL_ROUTINE>(reinterpret_cast<PVOID>(routine)),
                  Irp->RequestorMode, context);
  KeInsertQueueApc(&Irp->Tail.Apc, Irp->UserIosb, nullptr, 0);
}

extern "C" NTSTATUS IopCallAndFreeIrp(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
  KEVENT event;
  IO_STATUS_BLOCK iosb = {};
  KeInitializeEvent(&event, SynchronizationEvent, FALSE);
  Irp->UserEvent = &event;
  Irp->UserIosb = &iosb;
  Irp->Flags |= IRP_CLOSE_OPERATION | IRP_SYNCHRONOUS_API;
  Irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  if (IofCallDriver(DeviceObject, Irp) == STATUS_PENDING)
    KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, nullptr);
  IoFreeIrp(Irp);
  return iosb.Status;
}

extern "C" NTSTATUS NTAPI IopInvalidDeviceRequest(PDEVICE_OBJECT, PIRP Irp) {
  Irp->IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST;
  Irp->IoStatus.Information = 0;
  IofCompleteRequest(Irp, IO_NO_INCREMENT);
  return STATUS_INVALID_DEVICE_REQUEST;
}
