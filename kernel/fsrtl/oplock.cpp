#include "oplock.h"

namespace fsrtl {
namespace {

// Holds an oplock's lock; what was finished under it is completed after it.
class OplockGuard {
 public:
  explicit OplockGuard(OplockState* state) : state_(state) {
    InitializeListHead(&irps_);
    InitializeListHead(&released_);
    irql_ = KeAcquireSpinLockRaiseToDpc(&state_->lock);
  }
  ~OplockGuard() {
    KeReleaseSpinLock(&state_->lock, irql_);
    while (!IsListEmpty(&irps_)) {
      PIRP irp = CONTAINING_RECORD(RemoveHeadList(&irps_), IRP, Tail.Overlay.ListEntry);
      IofCompleteRequest(irp, IO_DISK_INCREMENT);
    }
    while (!IsListEmpty(&released_)) {
      auto* waiter = CONTAINING_RECORD(RemoveHeadList(&released_), Waiter, link);
      const Waiter copy = *waiter;
      if (copy.completion == nullptr) {
        KeSetEvent(copy.event, IO_NO_INCREMENT, FALSE);  // the waiter lies on its thread's stack
      } else {
        ExFreePoolWithTag(waiter, 'lpoF');
        copy.completion(copy.context, copy.irp);
      }
    }
  }
  OplockGuard(const OplockGuard&) = delete;
  OplockGuard& operator=(const OplockGuard&) = delete;

  // False: the IRP's cancel routine has begun; it completes the IRP.
  bool Finish(PIRP irp, NTSTATUS status, ULONG_PTR information) {
    if (IoSetCancelRoutine(irp, nullptr) == nullptr) return false;
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    InsertTailList(&irps_, &irp->Tail.Overlay.ListEntry);
    return true;
  }

  void ReleaseWaiters() {
    for (LIST_ENTRY* link = state_->holders.Flink; link != &state_->holders; link = link->Flink) {
      const auto* holder = CONTAINING_RECORD(link, Holder, link);
      if (holder->breaking && holder->blocks) return;
    }
    for (LIST_ENTRY* link = state_->waiters.Flink; link != &state_->waiters;) {
      auto* waiter = CONTAINING_RECORD(link, Waiter, link);
      link = link->Flink;
      if (waiter->irp != nullptr && waiter->completion != nullptr) {
        if (IoSetCancelRoutine(waiter->irp, nullptr) == nullptr) continue;
        waiter->irp->IoStatus.Status = STATUS_SUCCESS;
      }
      RemoveEntryList(&waiter->link);
      InsertTailList(&released_, &waiter->link);
    }
  }

  void Remove(Holder* holder) {
    RemoveEntryList(&holder->link);
    ExFreePoolWithTag(holder, 'lpoF');
  }

 private:
  OplockState* state_;
  LIST_ENTRY irps_;
  LIST_ENTRY released_;
  KIRQL irql_;
};

OplockState* MakeState(POPLOCK oplock) {
  if (OplockState* state = StateOf(oplock); state != nullptr) return state;
  auto* state = static_cast<OplockState*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(OplockState), 'lpoF'));
  if (state == nullptr) return nullptr;
  KeInitializeSpinLock(&state->lock);
  InitializeListHead(&state->holders);
  InitializeListHead(&state->waiters);
  if (InterlockedCompareExchangePointer(oplock, state, nullptr) != nullptr) ExFreePoolWithTag(state, 'lpoF');
  return StateOf(oplock);
}

Holder* FindHolder(OplockState* state, PFILE_OBJECT file, bool breaking) {
  for (LIST_ENTRY* link = state->holders.Flink; link != &state->holders; link = link->Flink) {
    auto* holder = CONTAINING_RECORD(link, Holder, link);
    if (holder->file == file && holder->breaking == breaking) return holder;
  }
  return nullptr;
}

void NTAPI CancelHolder(PDEVICE_OBJECT, PIRP irp) {
  IoReleaseCancelSpinLock(irp->CancelIrql);
  auto* state = static_cast<OplockState*>(irp->Tail.Overlay.DriverContext[0]);
  {
    OplockGuard guard(state);
    for (LIST_ENTRY* link = state->holders.Flink; link != &state->holders; link = link->Flink) {
      auto* holder = CONTAINING_RECORD(link, Holder, link);
      if (holder->irp != irp) continue;
      guard.Remove(holder);
      break;
    }
    guard.ReleaseWaiters();
  }
  Complete(irp, STATUS_CANCELLED);
}

// The IRP pends as the holder's.
void Pend(OplockState* state, Holder* holder, PIRP irp) {
  irp->Tail.Overlay.DriverContext[0] = state;
  IoMarkIrpPending(irp);
  holder->irp = irp;
  holder->breaking = false;
  holder->blocks = false;
  IoSetCancelRoutine(irp, CancelHolder);
}

// Under the guard: tells the holder by completing its request.
void Tell(OplockGuard* guard, Holder* holder, NTSTATUS status, ULONG to, bool acknowledged) {
  PIRP irp = holder->irp;
  if (irp == nullptr) return;
  holder->irp = nullptr;
  if (holder->kind != OplockKind::kGranular) {
    guard->Finish(irp, status, to != 0 ? FILE_OPLOCK_BROKEN_TO_LEVEL_2 : FILE_OPLOCK_BROKEN_TO_NONE);
    return;
  }
  auto* output = static_cast<PREQUEST_OPLOCK_OUTPUT_BUFFER>(irp->AssociatedIrp.SystemBuffer);
  const ULONG room = IoGetCurrentIrpStackLocation(irp)->Parameters.FileSystemControl.OutputBufferLength;
  ULONG written = 0;
  if (output != nullptr && room >= sizeof(*output)) {
    RtlZeroMemory(output, sizeof(*output));
    output->StructureVersion = REQUEST_OPLOCK_CURRENT_VERSION;
    output->StructureLength = sizeof(*output);
    output->OriginalOplockLevel = holder->level;
    output->NewOplockLevel = to;
    output->Flags = acknowledged ? REQUEST_OPLOCK_OUTPUT_FLAG_ACK_REQUIRED : 0;
    written = sizeof(*output);
  }
  guard->Finish(irp, status, written);
}

void Apply(OplockGuard* guard, Holder* holder, const Break& how) {
  if (holder->breaking) {
    holder->break_to &= how.to;
    holder->blocks = holder->blocks || how.waits;
    return;
  }
  Tell(guard, holder, STATUS_SUCCESS, how.to, how.acknowledged);
  if (!how.acknowledged) return guard->Remove(holder);
  holder->breaking = true;
  holder->blocks = how.waits;
  holder->break_to = how.to;
}

bool Grantable(OplockState* state, PFILE_OBJECT file, bool exclusive) {
  for (LIST_ENTRY* link = state->holders.Flink; link != &state->holders; link = link->Flink) {
    const auto* holder = CONTAINING_RECORD(link, Holder, link);
    if (holder->breaking) return false;
    if (holder->file == file && !holder->Exclusive()) continue;
    if (exclusive || holder->Exclusive()) return false;
  }
  return true;
}

NTSTATUS Answer(PIRP irp, NTSTATUS status) {
  if (status != STATUS_PENDING) Complete(irp, status);
  return status;
}

void NTAPI CancelWaiter(PDEVICE_OBJECT, PIRP irp) {
  IoReleaseCancelSpinLock(irp->CancelIrql);
  auto* state = static_cast<OplockState*>(irp->Tail.Overlay.DriverContext[0]);
  Waiter* found = nullptr;
  {
    OplockGuard guard(state);
    for (LIST_ENTRY* link = state->waiters.Flink; link != &state->waiters; link = link->Flink) {
      auto* waiter = CONTAINING_RECORD(link, Waiter, link);
      if (waiter->irp != irp) continue;
      RemoveEntryList(link);
      found = waiter;
      break;
    }
  }
  if (found == nullptr) return;
  const Waiter copy = *found;
  ExFreePoolWithTag(found, 'lpoF');
  irp->IoStatus.Status = STATUS_CANCELLED;
  irp->IoStatus.Information = 0;
  copy.completion(copy.context, irp);
}

void NTAPI CompleteNotify(PVOID, PIRP irp) {
  Complete(irp, irp->IoStatus.Status);
}

void WaitLater(OplockState* state, Waiter* waiter) {
  InsertTailList(&state->waiters, &waiter->link);
  waiter->irp->Tail.Overlay.DriverContext[0] = state;
  IoSetCancelRoutine(waiter->irp, CancelWaiter);
}

// Breaks what the operation breaks; true: it has to wait.
bool BreakHolders(OplockGuard* guard, OplockState* state, PIRP irp, Decision decide) {
  bool waits = false;
  for (LIST_ENTRY* link = state->holders.Flink; link != &state->holders;) {
    auto* holder = CONTAINING_RECORD(link, Holder, link);
    link = link->Flink;
    const Break how = decide(*holder, irp);
    if (!how.breaks) continue;
    Apply(guard, holder, how);
    waits = waits || how.waits;
  }
  return waits;
}

bool NeverWaits(PIRP irp, ULONG flags) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  return (flags & OPLOCK_FLAG_COMPLETE_IF_OPLOCKED) ||
         (stack->MajorFunction == IRP_MJ_CREATE &&
          (stack->Parameters.Create.Options & FILE_COMPLETE_IF_OPLOCKED));
}

}  // namespace

NTSTATUS RequestOplock(POPLOCK oplock, PIRP irp, OplockKind kind, ULONG level, ULONG open_count) {
  PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
  const bool exclusive = kind == OplockKind::kFilter || (level & kCacheWrite) != 0;
  OplockState* state = MakeState(oplock);
  auto* holder = static_cast<Holder*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Holder), 'lpoF'));
  if (state == nullptr || holder == nullptr) {
    if (holder != nullptr) ExFreePoolWithTag(holder, 'lpoF');
    return Answer(irp, STATUS_INSUFFICIENT_RESOURCES);
  }
  *holder = {{}, file, nullptr, kind, level, 0, false, false};
  NTSTATUS status = STATUS_OPLOCK_NOT_GRANTED;
  const bool refused = IoIsOperationSynchronous(irp) || (exclusive ? open_count > 1 : open_count != 0);
  if (!refused) {
    OplockGuard guard(state);
    if (Grantable(state, file, exclusive)) {
      // What the same handle held goes over into the new one.
      while (Holder* old = FindHolder(state, file, false)) {
        Tell(&guard, old,
             old->kind == OplockKind::kGranular ? STATUS_OPLOCK_SWITCHED_TO_NEW_HANDLE : STATUS_SUCCESS, 0,
             false);
        guard.Remove(old);
      }
      InsertTailList(&state->holders, &holder->link);
      Pend(state, holder, irp);
      holder = nullptr;
      status = STATUS_PENDING;
    }
  }
  if (holder != nullptr) ExFreePoolWithTag(holder, 'lpoF');
  return Answer(irp, status);
}

NTSTATUS Acknowledge(POPLOCK oplock, PIRP irp, bool granular, ULONG accepted) {
  OplockState* state = StateOf(oplock);
  NTSTATUS status = STATUS_INVALID_OPLOCK_PROTOCOL;
  if (state != nullptr) {
    OplockGuard guard(state);
    Holder* holder = FindHolder(state, IoGetCurrentIrpStackLocation(irp)->FileObject, true);
    if (holder != nullptr && granular == (holder->kind == OplockKind::kGranular)) {
      if (granular && (accepted & ~holder->break_to)) {
        status = STATUS_CANNOT_GRANT_REQUESTED_OPLOCK;
      } else if ((accepted & holder->break_to) == 0) {
        guard.Remove(holder);
        status = STATUS_SUCCESS;
      } else {
        holder->level = accepted & holder->break_to;
        if (!granular) holder->kind = OplockKind::kLevel2;
        Pend(state, holder, irp);
        status = STATUS_PENDING;
      }
      guard.ReleaseWaiters();
    }
  }
  return Answer(irp, status);
}

// The holder closes its handle next: until then those who wait go on waiting.
NTSTATUS ClosePending(POPLOCK oplock, PIRP irp) {
  OplockState* state = StateOf(oplock);
  NTSTATUS status = STATUS_INVALID_OPLOCK_PROTOCOL;
  if (state != nullptr) {
    OplockGuard guard(state);
    if (FindHolder(state, IoGetCurrentIrpStackLocation(irp)->FileObject, true) != nullptr)
      status = STATUS_SUCCESS;
  }
  return Answer(irp, status);
}

NTSTATUS NotifyOfBreak(POPLOCK oplock, PIRP irp) {
  OplockState* state = StateOf(oplock);
  auto* waiter = static_cast<Waiter*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Waiter), 'lpoF'));
  if (waiter == nullptr) return Answer(irp, STATUS_INSUFFICIENT_RESOURCES);
  *waiter = {{}, irp, nullptr, CompleteNotify, nullptr};
  if (state == nullptr) {
    ExFreePoolWithTag(waiter, 'lpoF');
    return Answer(irp, STATUS_SUCCESS);
  }
  IoMarkIrpPending(irp);
  OplockGuard guard(state);
  WaitLater(state, waiter);
  guard.ReleaseWaiters();
  return STATUS_PENDING;
}

NTSTATUS CheckOplock(POPLOCK oplock, PIRP irp, ULONG flags, PVOID context,
                     POPLOCK_WAIT_COMPLETE_ROUTINE completion, POPLOCK_FS_PREPOST_IRP prepost,
                     Decision decide) {
  OplockState* state = StateOf(oplock);
  if (state == nullptr || IsListEmpty(&state->holders)) return STATUS_SUCCESS;
  KEVENT event;
  KeInitializeEvent(&event, SynchronizationEvent, FALSE);
  Waiter on_stack = {{}, nullptr, nullptr, nullptr, &event};
  Waiter* waiter = &on_stack;
  if (completion != nullptr) {
    waiter = static_cast<Waiter*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Waiter), 'lpoF'));
    if (waiter == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    *waiter = {{}, irp, context, completion, nullptr};
  }
  NTSTATUS status = STATUS_SUCCESS;
  {
    OplockGuard guard(state);
    if (BreakHolders(&guard, state, irp, decide)) {
      if (NeverWaits(irp, flags)) {
        status = STATUS_OPLOCK_BREAK_IN_PROGRESS;
      } else if (completion == nullptr) {
        InsertTailList(&state->waiters, &waiter->link);
        status = STATUS_PENDING;
      } else {
        // Before anybody can go on with the request.
        if (prepost == nullptr) IoMarkIrpPending(irp);
        status = STATUS_PENDING;
      }
    }
  }
  if (status == STATUS_PENDING && completion == nullptr) {
    KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, nullptr);
    return STATUS_SUCCESS;
  }
  if (status != STATUS_PENDING) {
    if (waiter != &on_stack) ExFreePoolWithTag(waiter, 'lpoF');
    return status;
  }
  if (prepost != nullptr) prepost(context, irp);
  OplockGuard guard(state);
  WaitLater(state, waiter);
  guard.ReleaseWaiters();  // the acknowledgment may have come meanwhile
  return STATUS_PENDING;
}

void HolderCloses(POPLOCK oplock, PFILE_OBJECT file) {
  OplockState* state = StateOf(oplock);
  if (state == nullptr) return;
  OplockGuard guard(state);
  for (LIST_ENTRY* link = state->holders.Flink; link != &state->holders;) {
    auto* holder = CONTAINING_RECORD(link, Holder, link);
    link = link->Flink;
    if (holder->file != file) continue;
    Tell(&guard, holder, holder->kind == OplockKind::kGranular ? STATUS_OPLOCK_HANDLE_CLOSED : STATUS_SUCCESS,
         0, false);
    guard.Remove(holder);
  }
  guard.ReleaseWaiters();
}

void DeleteOplock(POPLOCK oplock) {
  OplockState* state = StateOf(oplock);
  if (state == nullptr) return;
  {
    OplockGuard guard(state);
    while (!IsListEmpty(&state->holders)) {
      auto* holder = CONTAINING_RECORD(state->holders.Flink, Holder, link);
      Tell(&guard, holder, STATUS_SUCCESS, 0, false);
      guard.Remove(holder);
    }
    guard.ReleaseWaiters();
  }
  *oplock = nullptr;
  ExFreePoolWithTag(state, 'lpoF');
}

bool AnyHolder(POPLOCK oplock, bool (*wanted)(const Holder& holder)) {
  OplockState* state = StateOf(oplock);
  if (state == nullptr) return false;
  ke::SpinGuard guard(&state->lock);
  for (LIST_ENTRY* link = state->holders.Flink; link != &state->holders; link = link->Flink) {
    if (wanted(*CONTAINING_RECORD(link, Holder, link))) return true;
  }
  return false;
}

}  // namespace fsrtl
