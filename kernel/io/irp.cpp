// I/O request packets: allocation, cancellation, the list of a thread's requests.
#include "io_internal.h"
#include "ke/lock_trace.h"
#include "nt/export.h"

namespace {

// Freed IRPs of the two usual sizes, linked by ThreadListEntry.Flink, so that most requests need no pool.
constexpr CCHAR kSmallStack = 1;
constexpr CCHAR kLargeStack = 8;
constexpr ULONG kKeptIrps = 32;
struct IrpList {
  KSPIN_LOCK lock;
  PIRP first;
  ULONG count;
};
IrpList g_small_irps, g_large_irps;

PIRP TakeKept(IrpList& list) {
  ob::ShortGuard guard(&list.lock);
  PIRP irp = list.first;
  if (irp == nullptr) return nullptr;
  list.first = reinterpret_cast<PIRP>(irp->ThreadListEntry.Flink);
  --list.count;
  return irp;
}

bool Keep(IrpList& list, PIRP irp) {
  ob::ShortGuard guard(&list.lock);
  if (list.count >= kKeptIrps) return false;
  irp->ThreadListEntry.Flink = reinterpret_cast<PLIST_ENTRY>(list.first);
  list.first = irp;
  ++list.count;
  return true;
}

// Charged to the current process, so that it cannot be one of the kept ones; 0 beyond the quota.
PIRP AllocateWithQuota(CCHAR stack_size) {
  const USHORT size = IoSizeOfIrp(stack_size);
  constexpr auto kPool = static_cast<POOL_TYPE>(NonPagedPoolNx | POOL_QUOTA_FAIL_INSTEAD_OF_RAISE);
  auto* irp = static_cast<PIRP>(ExAllocatePoolWithQuotaTag(kPool, size, kIrpTag));
  if (irp == nullptr) return nullptr;
  IoInitializeIrp(irp, size, stack_size);
  irp->AllocationFlags = IRP_QUOTA_CHARGED;
  return irp;
}

}  // namespace

/// Prepares memory for an IRP with StackSize stack locations.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoInitializeIrp.
NT_EXPORT(IoInitializeIrp, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoInitializeIrp(PIRP Irp, USHORT PacketSize, CCHAR StackSize) {
  RtlZeroMemory(Irp, PacketSize);
  Irp->Type = IO_TYPE_IRP;
  Irp->Size = PacketSize;
  Irp->StackCount = StackSize;
  Irp->CurrentLocation = static_cast<CHAR>(StackSize + 1);
  Irp->ApcEnvironment = reinterpret_cast<PKTHREAD>(KeGetCurrentThread())->ApcStateIndex;
  InitializeListHead(&Irp->ThreadListEntry);
  Irp->Tail.Overlay.CurrentStackLocation = reinterpret_cast<PIO_STACK_LOCATION>(Irp + 1) + StackSize;
}

/// Allocates an IRP with StackSize stack locations; 0 without memory.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoAllocateIrp.
NT_EXPORT(IoAllocateIrp, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.* IoRequestor.*");
extern "C" PIRP NTAPI IoAllocateIrp(CCHAR StackSize, BOOLEAN ChargeQuota) {
  if (ChargeQuota) return AllocateWithQuota(StackSize);
  const bool usual = StackSize <= kLargeStack;
  const bool small = StackSize <= kSmallStack;
  PIRP irp = usual ? TakeKept(small ? g_small_irps : g_large_irps) : nullptr;
  if (irp == nullptr) {
    const CCHAR room = !usual ? StackSize : small ? kSmallStack : kLargeStack;
    irp = static_cast<PIRP>(ExAllocatePoolWithTag(NonPagedPoolNx, IoSizeOfIrp(room), kIrpTag));
    if (irp == nullptr) return nullptr;
  }
  IoInitializeIrp(irp, IoSizeOfIrp(StackSize), StackSize);
  if (usual) irp->AllocationFlags = small ? IRP_LOOKASIDE_ALLOCATION : IRP_ALLOCATED_FIXED_SIZE;
  return irp;
}

/// Frees an IRP of IoAllocateIrp and its relatives. One that is still in a thread's list is bug check 0x44.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoFreeIrp.
NT_EXPORT(IoFreeIrp, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoFreeIrp(PIRP Irp) {
  if (Irp->Type != IO_TYPE_IRP || !IsListEmpty(&Irp->ThreadListEntry)) {
    KeBugCheckEx(MULTIPLE_IRP_COMPLETE_REQUESTS, reinterpret_cast<ULONG_PTR>(Irp), __LINE__, 0, 0);
  }
  Irp->Type = 0;
  if ((Irp->AllocationFlags & IRP_LOOKASIDE_ALLOCATION) != 0 && Keep(g_small_irps, Irp)) return;
  if ((Irp->AllocationFlags & IRP_ALLOCATED_FIXED_SIZE) != 0 && Keep(g_large_irps, Irp)) return;
  ExFreePoolWithTag(Irp, kIrpTag);
}

/// Makes an IRP that its owner allocated ready for another use, with an initial status.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoReuseIrp.
NT_EXPORT(IoReuseIrp, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoReuseIrp(PIRP Irp, NTSTATUS Iostatus) {
  const UCHAR allocation = Irp->AllocationFlags;
  IoInitializeIrp(Irp, Irp->Size, Irp->StackCount);
  Irp->AllocationFlags = allocation;
  Irp->IoStatus.Status = Iostatus;
}

/// An IRP that counts as a part of a master IRP: when the last is complete the master is completed.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/IoMakeAssociatedIrp.
NT_EXPORT(IoMakeAssociatedIrp, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" PIRP NTAPI IoMakeAssociatedIrp(PIRP Irp, CCHAR StackSize) {
  PIRP part = IoAllocateIrp(StackSize, FALSE);
  if (part == nullptr) return nullptr;
  part->Flags |= IRP_ASSOCIATED_IRP;
  part->Tail.Overlay.Thread = Irp->Tail.Overlay.Thread;
  part->AssociatedIrp.MasterIrp = Irp;
  return part;
}

/// Takes the system-wide cancel spin lock.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoAcquireCancelSpinLock.
NT_EXPORT(IoAcquireCancelSpinLock, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.* KeSpinLockFamilies.Cancel*");
extern "C" VOID NTAPI IoAcquireCancelSpinLock(PKIRQL Irql) {
  *Irql = KiAcquireQueuedSpinLockFor(LockQueueIoCancelLock, DISPATCH_LEVEL, __builtin_return_address(0));
}

/// Releases the cancel spin lock.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoReleaseCancelSpinLock.
NT_EXPORT(IoReleaseCancelSpinLock, nt::Exactly(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoReleaseCancelSpinLock(KIRQL Irql) {
  KeReleaseQueuedSpinLock(LockQueueIoCancelLock, Irql);
}

/// Marks an IRP as to be cancelled and calls its cancel routine, which releases the cancel spin lock. TRUE if
/// there was one.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoCancelIrp.
NT_EXPORT(IoCancelIrp, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" BOOLEAN NTAPI IoCancelIrp(PIRP Irp) {
  KIRQL irql;
  IoAcquireCancelSpinLock(&irql);
  Irp->Cancel = TRUE;
  PDRIVER_CANCEL routine = IoSetCancelRoutine(Irp, nullptr);
  if (routine == nullptr) {
    IoReleaseCancelSpinLock(irql);
    return FALSE;
  }
  Irp->CancelIrql = irql;
  routine(IoGetCurrentIrpStackLocation(Irp)->DeviceObject, Irp);
  return TRUE;
}

extern "C" VOID IopQueueThreadIrp(PIRP Irp) {
  PETHREAD thread = Irp->Tail.Overlay.Thread;
  ob::ShortGuard guard(&thread->IrpListLock);
  InsertHeadList(&thread->IrpList, &Irp->ThreadListEntry);
}

extern "C" VOID IopDequeueThreadIrp(PIRP Irp) {
  PETHREAD thread = Irp->Tail.Overlay.Thread;
  ob::ShortGuard guard(&thread->IrpListLock);
  RemoveEntryList(&Irp->ThreadListEntry);
  InitializeListHead(&Irp->ThreadListEntry);
}

/// Whether a request may be handled synchronously: its file is synchronous or the request is of a synchronous
/// kind.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoIsOperationSynchronous.
NT_EXPORT(IoIsOperationSynchronous, nt::AnyIrql(), Full, "KernelIo.*");
extern "C" BOOLEAN NTAPI IoIsOperationSynchronous(PIRP Irp) {
  PFILE_OBJECT file = IoGetCurrentIrpStackLocation(Irp)->FileObject;
  const bool paging = (Irp->Flags & IRP_PAGING_IO) != 0;
  if ((Irp->Flags & IRP_SYNCHRONOUS_API) != 0) return TRUE;
  // The bit means something else (IRP_INPUT_OPERATION) in other requests.
  if (paging && (Irp->Flags & IRP_SYNCHRONOUS_PAGING_IO) != 0) return TRUE;
  return file != nullptr && (file->Flags & FO_SYNCHRONOUS_IO) != 0 && !paging;
}

/// The process whose thread asked for the request.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoGetRequestorProcess.
NT_EXPORT(IoGetRequestorProcess, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" PEPROCESS NTAPI IoGetRequestorProcess(PIRP Irp) {
  PETHREAD thread = Irp->Tail.Overlay.Thread;
  return thread != nullptr ? IoThreadToProcess(thread) : nullptr;
}

/// The top-level IRP of the current thread, or a flag value.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoGetTopLevelIrp.
NT_EXPORT(IoGetTopLevelIrp, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" PIRP NTAPI IoGetTopLevelIrp() {
  return static_cast<PIRP>(reinterpret_cast<PETHREAD>(KeGetCurrentThread())->TopLevelIrp);
}

/// Sets the top-level IRP of the current thread.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoSetTopLevelIrp.
NT_EXPORT(IoSetTopLevelIrp, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoSetTopLevelIrp(PIRP Irp) {
  reinterpret_cast<PETHREAD>(KeGetCurrentThread())->TopLevelIrp = Irp;
}
