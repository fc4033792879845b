// Opportunistic locks, by FsRtl: the control codes, and the checks before whatever may break one. A request
// that has to wait for an acknowledgment comes again, from its beginning, in a worker thread.
#include "volume.h"

#pragma code_seg("PAGE")

namespace hostfs {
namespace {

// The file system's dispatch routine once more, or the end of a request that was cancelled while it waited.
VOID NTAPI ComeAgain(PVOID context) {
  auto* irp = static_cast<PIRP>(context);
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  if (!NT_SUCCESS(irp->IoStatus.Status)) {
    Complete(irp, irp->IoStatus.Status, 0);
    return;
  }
  stack->DeviceObject->DriverObject->MajorFunction[stack->MajorFunction](stack->DeviceObject, irp);
}

bool IsOplockCode(ULONG code) {
  switch (code) {
    case FSCTL_REQUEST_OPLOCK_LEVEL_1:
    case FSCTL_REQUEST_OPLOCK_LEVEL_2:
    case FSCTL_REQUEST_BATCH_OPLOCK:
    case FSCTL_REQUEST_FILTER_OPLOCK:
    case FSCTL_REQUEST_OPLOCK:
    case FSCTL_OPLOCK_BREAK_ACKNOWLEDGE:
    case FSCTL_OPLOCK_BREAK_ACK_NO_2:
    case FSCTL_OPBATCH_ACK_CLOSE_PENDING:
    case FSCTL_OPLOCK_BREAK_NOTIFY:
      return true;
    default:
      return false;
  }
}

// What FsRtl wants to know of the stream: for oplocks that several may hold whether ranges are locked, for
// the others how many handles there are.
ULONG OpenCount(Fcb* fcb, PIRP irp) {
  if (FsRtlOplockIsSharedRequest(irp)) return FsRtlAreThereCurrentOrInProgressFileLocks(&fcb->locks) ? 1 : 0;
  return fcb->handles;
}

}  // namespace

#pragma code_seg()

// In whoever acknowledges, perhaps at DISPATCH_LEVEL and with the volume locked. The work item lies in the
// four words of the IRP that are the driver's.
static VOID NTAPI OplockReady(PVOID, PIRP irp) {
  static_assert(sizeof(WORK_QUEUE_ITEM) == sizeof(irp->Tail.Overlay.DriverContext));
  auto* item = reinterpret_cast<PWORK_QUEUE_ITEM>(irp->Tail.Overlay.DriverContext);
  ExInitializeWorkItem(item, ComeAgain, irp);
  ExQueueWorkItem(item, CriticalWorkQueue);
}

#pragma code_seg("PAGE")

NTSTATUS CheckOplock(Fcb* fcb, PIRP irp) {
  if (fcb->oplock == nullptr) return STATUS_SUCCESS;
  return FsRtlCheckOplock(&fcb->oplock, irp, nullptr, OplockReady, nullptr);
}

NTSTATUS BreakForOpen(Fcb* fcb, PIRP irp) {
  if (fcb->oplock == nullptr) return STATUS_SUCCESS;
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  NTSTATUS batch = STATUS_SUCCESS;
  // Whoever may keep handles open for later loses that before the share access is looked at.
  if (FsRtlCurrentBatchOplock(&fcb->oplock)) {
    batch = CheckOplock(fcb, irp);
    if (batch == STATUS_PENDING || !NT_SUCCESS(batch)) return batch;
  }
  const ACCESS_MASK access = stack->Parameters.Create.SecurityContext->DesiredAccess;
  const NTSTATUS shared = fcb->handles == 0 ? STATUS_SUCCESS
                                            : IoCheckShareAccess(access, stack->Parameters.Create.ShareAccess,
                                                                 stack->FileObject, &fcb->share, FALSE);
  if (!NT_SUCCESS(shared)) {
    if (!FsRtlCurrentOplockH(&fcb->oplock)) return shared;
    const NTSTATUS handle = FsRtlOplockBreakH(&fcb->oplock, irp, 0, nullptr, OplockReady, nullptr);
    return handle == STATUS_PENDING ? handle : shared;
  }
  const NTSTATUS status = CheckOplock(fcb, irp);
  return status == STATUS_SUCCESS ? batch : status;
}

NTSTATUS NTAPI HostFsFileSystemControl(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  const bool request =
      stack->MinorFunction == IRP_MN_USER_FS_REQUEST || stack->MinorFunction == IRP_MN_KERNEL_CALL;
  if (volume == nullptr || !request || !IsOplockCode(stack->Parameters.FileSystemControl.FsControlCode))
    return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
  auto* fcb = static_cast<Fcb*>(stack->FileObject->FsContext);
  auto* ccb = static_cast<Ccb*>(stack->FileObject->FsContext2);
  if (fcb == nullptr || ccb == nullptr || fcb->is_directory || ccb->is_volume)
    return Complete(irp, STATUS_INVALID_PARAMETER, 0);
  volume->Lock();  // the number of handles stays
  const NTSTATUS status = FsRtlOplockFsctrl(&fcb->oplock, irp, OpenCount(fcb, irp));
  volume->Unlock();
  return status;
}

}  // namespace hostfs
