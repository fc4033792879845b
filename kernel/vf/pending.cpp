// Options that do more to an IRP than look at it: forced pending, the log, and buffers that must not change.
#include "io_checks.h"
#include "ke/spin_guard.h"

extern "C" {

// The last IRPs of verified drivers: VfIrpLog[VfIrpLogCount % VF_IRP_LOG] is written next.
#define VF_IRP_LOG 256
typedef struct _VF_IRP_LOG_ENTRY {
  ULONG64 Time;  // interrupt time
  PIRP Irp;
  PDEVICE_OBJECT DeviceObject;
  PKTHREAD Thread;
  NTSTATUS Status;
  UCHAR Event;  // vf::IrpEvent
  UCHAR MajorFunction;
  UCHAR MinorFunction;
  UCHAR Reserved;
} VF_IRP_LOG_ENTRY;
VF_IRP_LOG_ENTRY VfIrpLog[VF_IRP_LOG];
ULONG VfIrpLogCount;
ULONG VfForcedPending;  // calls that were answered with STATUS_PENDING
}

namespace vf {
namespace {

KSPIN_LOCK g_lock;

// ---- Forced pending: the completion waits for a work item, as that of a slow device ----

struct Detour {
  WORK_QUEUE_ITEM item;
  PDEVICE_OBJECT device;  // of the routine: what it would have been called with
  PIRP irp;
  PIO_COMPLETION_ROUTINE routine;
  PVOID context;
  UCHAR control;
};

bool Wants(const Detour& detour) {
  if (detour.irp->Cancel && (detour.control & SL_INVOKE_ON_CANCEL)) return true;
  const bool success = NT_SUCCESS(detour.irp->IoStatus.Status);
  return (detour.control & (success ? SL_INVOKE_ON_SUCCESS : SL_INVOKE_ON_ERROR)) != 0;
}

// What would have followed at once: the routine that was replaced, then the rest of the way up.
VOID NTAPI GoOn(PVOID context) {
  const Detour detour = *static_cast<Detour*>(context);
  ExFreePoolWithTag(context, kTag);
  PIRP irp = detour.irp;
  const bool top = irp->CurrentLocation > irp->StackCount;
  irp->PendingReturned = TRUE;
  if (Wants(detour)) {
    if (detour.routine(detour.device, irp, detour.context) == STATUS_MORE_PROCESSING_REQUIRED) return;
  } else if (!top) {
    IoMarkIrpPending(irp);
  }
  IofCompleteRequest(irp, IO_NO_INCREMENT);
}

NTSTATUS NTAPI Hold(PDEVICE_OBJECT device, PIRP, PVOID context) {
  auto* detour = static_cast<Detour*>(context);
  detour->device = device;
  ExInitializeWorkItem(&detour->item, GoOn, detour);
  ExQueueWorkItem(&detour->item, DelayedWorkQueue);
  return STATUS_MORE_PROCESSING_REQUIRED;
}

// Every second call, of IRPs whose sender can wait: not those of power, and none at DISPATCH_LEVEL.
bool IsChosen(PIRP irp) {
  static ULONG calls;
  if (!IsOn(kForcePending) || KeGetCurrentIrql() > APC_LEVEL || irp->CurrentLocation <= 1) return false;
  const UCHAR major = IoGetNextIrpStackLocation(irp)->MajorFunction;
  if (major == IRP_MJ_POWER || major == IRP_MJ_CLOSE || (irp->Flags & IRP_CLOSE_OPERATION) != 0) return false;
  // Nobody above: the completion of a request whose sender gave no routine ends at its thread.
  if (irp->CurrentLocation == irp->StackCount + 1 &&
      IoGetNextIrpStackLocation(irp)->CompletionRoutine == nullptr && irp->UserIosb == nullptr)
    return false;
  return __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED) % 2 == 1;
}

}  // namespace

NTSTATUS ForcePending(PDEVICE_OBJECT device, PIRP irp) {
  auto* detour = IsChosen(irp)
                     ? static_cast<Detour*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Detour), kTag))
                     : nullptr;
  if (detour == nullptr) return IofCallDriver(device, irp);
  const PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(irp);
  *detour = {{}, nullptr, irp, next->CompletionRoutine, next->Context, next->Control};
  next->CompletionRoutine = Hold;
  next->Context = detour;
  next->Control =
      static_cast<UCHAR>(next->Control | SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL);
  __atomic_fetch_add(&VfForcedPending, 1, __ATOMIC_RELAXED);
  IofCallDriver(device, irp);
  return STATUS_PENDING;
}

void LogIrp(IrpEvent event, PDEVICE_OBJECT device, PIRP irp) {
  if (!IsOn(kIrpLogging)) return;
  const bool has_location = irp->CurrentLocation >= 1 && irp->CurrentLocation <= irp->StackCount;
  const PIO_STACK_LOCATION stack = has_location ? IoGetCurrentIrpStackLocation(irp) : nullptr;
  if (device == nullptr && stack != nullptr) device = stack->DeviceObject;
  VF_IRP_LOG_ENTRY& entry = VfIrpLog[__atomic_fetch_add(&VfIrpLogCount, 1, __ATOMIC_RELAXED) % VF_IRP_LOG];
  entry = {KeQueryInterruptTime(),
           irp,
           device,
           KeGetCurrentThread(),
           irp->IoStatus.Status,
           event,
           stack == nullptr ? UCHAR{} : stack->MajorFunction,
           stack == nullptr ? UCHAR{} : stack->MinorFunction,
           0};
}

// ---- Invariant MDLs: what a write request's buffer held when it came in ----

namespace {

constexpr ULONG kWriteChanged = 0x1010;
struct Buffer {
  PIRP irp;  // 0: free
  PDEVICE_OBJECT device;
  PVOID address;
  ULONG bytes;
  ULONG64 sum;
};
constexpr ULONG kBuffers = 64;
Buffer g_buffers[kBuffers];

ULONG64 SumOf(const VOID* address, ULONG bytes) {
  ULONG64 sum = 0xCBF29CE484222325;  // FNV-1a
  for (ULONG i = 0; i < bytes; ++i) sum = (sum ^ static_cast<const UCHAR*>(address)[i]) * 0x100000001B3;
  return sum;
}

}  // namespace

void NoteBuffer(PDEVICE_OBJECT device, PIRP irp) {
  if (!IsOn(kInvariantMdl | kInvariantMdlStack) || irp->MdlAddress == nullptr) return;
  if (IoGetCurrentIrpStackLocation(irp)->MajorFunction != IRP_MJ_WRITE) return;
  PVOID address = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
  if (address == nullptr) return;
  const ULONG bytes = MmGetMdlByteCount(irp->MdlAddress);
  const ULONG64 sum = SumOf(address, bytes);
  ke::SpinGuard guard(&g_lock);
  for (const Buffer& buffer : g_buffers) {
    if (buffer.irp == irp) return;  // a driver above has it: its content counts
  }
  for (Buffer& buffer : g_buffers) {
    if (buffer.irp != nullptr) continue;
    buffer = {irp, device, address, bytes, sum};
    return;
  }
}

void CheckBuffer(PIRP irp) {
  if (!IsOn(kInvariantMdl | kInvariantMdlStack)) return;
  Buffer found = {};
  {
    ke::SpinGuard guard(&g_lock);
    for (Buffer& buffer : g_buffers) {
      if (buffer.irp != irp) continue;
      found = buffer;
      buffer.irp = nullptr;
    }
  }
  if (found.irp != nullptr && SumOf(found.address, found.bytes) != found.sum)
    VerifierBugCheckIfAppropriate(kViolation, kWriteChanged, Bits(found.device), Bits(irp),
                                  Bits(found.address));
}

}  // namespace vf
