// Registered file systems, who wants to hear of them, and the mounting of volumes.
#include "io_internal.h"
#include "ke/lock_trace.h"
#include "nt/export.h"
#include "volume_mount.h"

namespace {

struct FileSystem {
  LIST_ENTRY link;
  PDEVICE_OBJECT device;  // the control device, referenced
};

struct Listener {
  LIST_ENTRY link;
  PDRIVER_OBJECT driver;
  PDRIVER_FS_NOTIFICATION routine;
};

// All under g_lock, which is held while listeners are called and volumes are mounted. It is recursive: either
// may register a file system.
LIST_ENTRY g_file_systems = {&g_file_systems, &g_file_systems};  // the last registered first
LIST_ENTRY g_listeners = {&g_listeners, &g_listeners};
ERESOURCE g_lock;
LONG g_lock_state;  // 0: not made, 1: being made, 2: made

PERESOURCE Lock() {
  if (InterlockedCompareExchange(&g_lock_state, 1, 0) == 0) {
    ExInitializeResourceLite(&g_lock);
    InterlockedExchange(&g_lock_state, 2);
  }
  while (__atomic_load_n(&g_lock_state, __ATOMIC_ACQUIRE) != 2) YieldProcessor();
  return &g_lock;
}

class RegistrationGuard {
 public:
  RegistrationGuard() { ExEnterCriticalRegionAndAcquireResourceExclusive(Lock()); }
  ~RegistrationGuard() { ExReleaseResourceAndLeaveCriticalRegion(Lock()); }
  RegistrationGuard(const RegistrationGuard&) = delete;
  RegistrationGuard& operator=(const RegistrationGuard&) = delete;
};

void Tell(PDEVICE_OBJECT device, BOOLEAN active) {
  for (LIST_ENTRY* link = g_listeners.Flink; link != &g_listeners;) {
    auto* listener = CONTAINING_RECORD(link, Listener, link);
    link = link->Flink;
    listener->routine(device, active);
  }
}

Listener* FindListener(PDRIVER_OBJECT driver, PDRIVER_FS_NOTIFICATION routine) {
  for (LIST_ENTRY* link = g_listeners.Flink; link != &g_listeners; link = link->Flink) {
    auto* listener = CONTAINING_RECORD(link, Listener, link);
    if (listener->driver == driver && listener->routine == routine) return listener;
  }
  return nullptr;
}

// Which kind of file system mounts on a device; 0: none does.
DEVICE_TYPE FileSystemTypeFor(DEVICE_TYPE device) {
  switch (device) {
    case FILE_DEVICE_DISK:
    case FILE_DEVICE_VIRTUAL_DISK:
      return FILE_DEVICE_DISK_FILE_SYSTEM;
    case FILE_DEVICE_CD_ROM:
      return FILE_DEVICE_CD_ROM_FILE_SYSTEM;
    case FILE_DEVICE_TAPE:
      return FILE_DEVICE_TAPE_FILE_SYSTEM;
    default:
      return 0;
  }
}

NTSTATUS SendVolumeRequest(PDEVICE_OBJECT target, UCHAR minor, PVPB vpb, PDEVICE_OBJECT device,
                           BOOLEAN allow_raw) {
  PIRP irp = IoAllocateIrp(target->StackSize, FALSE);
  if (irp == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = IRP_MJ_FILE_SYSTEM_CONTROL;
  stack->MinorFunction = minor;
  stack->Flags = allow_raw ? SL_ALLOW_RAW_MOUNT : 0;
  stack->Parameters.MountVolume.Vpb = vpb;  // VerifyVolume's members lie at the same places
  stack->Parameters.MountVolume.DeviceObject = device;
  return IopCallAndFreeIrp(target, irp);
}

bool TriesOn(NTSTATUS status) {
  return status == STATUS_UNRECOGNIZED_VOLUME || status == STATUS_INVALID_DEVICE_REQUEST ||
         status == STATUS_NOT_IMPLEMENTED;
}

// Asks one file system; a recognizer is told to load its driver, which then is asked by the next round.
NTSTATUS TryMount(FileSystem* file_system, PDEVICE_OBJECT device, PVPB vpb, bool* again) {
  PDEVICE_OBJECT target = IoGetAttachedDevice(file_system->device);
  PDEVICE_OBJECT top = IoGetAttachedDevice(device);
  NTSTATUS status = SendVolumeRequest(target, IRP_MN_MOUNT_VOLUME, vpb, top, FALSE);
  if (status == STATUS_FS_DRIVER_REQUIRED) {
    SendVolumeRequest(target, IRP_MN_LOAD_FILE_SYSTEM, nullptr, nullptr, FALSE);
    *again = true;
    return STATUS_UNRECOGNIZED_VOLUME;
  }
  if (!NT_SUCCESS(status)) return status;
  if (vpb->DeviceObject == nullptr) return STATUS_UNRECOGNIZED_VOLUME;
  vpb->DeviceObject->StackSize = static_cast<CCHAR>(top->StackSize + 1);
  vpb->DeviceObject->Flags &= ~DO_DEVICE_INITIALIZING;
  vpb->Flags |= VPB_MOUNTED;
  return STATUS_SUCCESS;
}

NTSTATUS MountLocked(PDEVICE_OBJECT device) {
  const DEVICE_TYPE wanted = FileSystemTypeFor(device->DeviceType);
  NTSTATUS status = STATUS_UNRECOGNIZED_VOLUME;
  bool again = true;
  for (ULONG rounds = 0; again && rounds < 8; ++rounds) {
    again = false;
    for (LIST_ENTRY* link = g_file_systems.Flink; link != &g_file_systems && !again; link = link->Flink) {
      auto* file_system = CONTAINING_RECORD(link, FileSystem, link);
      if (file_system->device->DeviceType != wanted) continue;
      status = TryMount(file_system, device, device->Vpb, &again);
      if (NT_SUCCESS(status) || !TriesOn(status)) return status;
    }
  }
  return STATUS_UNRECOGNIZED_VOLUME;
}

PVPB NewVpb(PDEVICE_OBJECT device) {
  auto* vpb = static_cast<PVPB>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(VPB), ' bpV'));
  if (vpb == nullptr) return nullptr;
  RtlZeroMemory(vpb, sizeof(VPB));
  vpb->Type = IO_TYPE_VPB;
  vpb->Size = sizeof(VPB);
  vpb->RealDevice = device;
  return vpb;
}

}  // namespace

namespace io {

NTSTATUS MountIfNeeded(PDEVICE_OBJECT device) {
  if (device->Vpb == nullptr || (device->Vpb->Flags & VPB_MOUNTED)) return STATUS_SUCCESS;
  if (IsListEmpty(&g_file_systems)) return STATUS_UNRECOGNIZED_VOLUME;
  // The registrations first, then the device: as IoVerifyVolume.
  RegistrationGuard guard;
  KeWaitForSingleObject(&device->DeviceLock, Executive, KernelMode, FALSE, nullptr);
  const NTSTATUS status = (device->Vpb->Flags & VPB_MOUNTED) ? STATUS_SUCCESS : MountLocked(device);
  KeSetEvent(&device->DeviceLock, IO_NO_INCREMENT, FALSE);
  return status;
}

void ReferenceVpb(PVPB vpb) {
  KIRQL irql;
  IoAcquireVpbSpinLock(&irql);
  ++vpb->ReferenceCount;
  IoReleaseVpbSpinLock(irql);
}

void DereferenceVpb(PVPB vpb) {
  KIRQL irql;
  IoAcquireVpbSpinLock(&irql);
  const bool last = --vpb->ReferenceCount == 0 && vpb->RealDevice->Vpb != vpb;
  IoReleaseVpbSpinLock(irql);
  if (last) ExFreePoolWithTag(vpb, ' bpV');  // the device has another volume since
}

}  // namespace io

/// Enters a file system's control device: it is asked to mount volumes of its kind (by DeviceType) from now
/// on, before those that came earlier, unless it has DO_LOW_PRIORITY_FILESYSTEM. Who asked is told.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoRegisterFileSystem.
NT_EXPORT(IoRegisterFileSystem, nt::AtMost(APC_LEVEL), Full, "IoFileSystems.*");
extern "C" VOID NTAPI IoRegisterFileSystem(PDEVICE_OBJECT DeviceObject) {
  auto* entry = static_cast<FileSystem*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(FileSystem), kFileTag));
  if (entry == nullptr) return;
  ObfReferenceObject(DeviceObject);
  entry->device = DeviceObject;
  DeviceObject->Flags &= ~DO_DEVICE_INITIALIZING;
  RegistrationGuard guard;
  if (DeviceObject->Flags & DO_LOW_PRIORITY_FILESYSTEM) {
    InsertTailList(&g_file_systems, &entry->link);
  } else {
    InsertHeadList(&g_file_systems, &entry->link);
  }
  Tell(DeviceObject, TRUE);
}

/// Takes a file system back. Volumes that it has mounted stay its own.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoUnregisterFileSystem.
NT_EXPORT(IoUnregisterFileSystem, nt::AtMost(APC_LEVEL), Full, "IoFileSystems.*");
extern "C" VOID NTAPI IoUnregisterFileSystem(PDEVICE_OBJECT DeviceObject) {
  FileSystem* found = nullptr;
  {
    RegistrationGuard guard;
    for (LIST_ENTRY* link = g_file_systems.Flink; link != &g_file_systems; link = link->Flink) {
      auto* entry = CONTAINING_RECORD(link, FileSystem, link);
      if (entry->device != DeviceObject) continue;
      RemoveEntryList(link);
      found = entry;
      break;
    }
    if (found != nullptr) Tell(DeviceObject, FALSE);
  }
  if (found == nullptr) return;
  ObfDereferenceObject(DeviceObject);
  ExFreePoolWithTag(found, kFileTag);
}

/// Calls a routine for each file system that is registered, and whenever one comes or goes. A filter attaches
/// to the file system's control device in it. STATUS_DEVICE_ALREADY_ATTACHED: it is registered already.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoRegisterFsRegistrationChange.
NT_EXPORT(IoRegisterFsRegistrationChange, nt::AtMost(APC_LEVEL), Full, "IoFileSystems.*");
extern "C" NTSTATUS NTAPI IoRegisterFsRegistrationChange(PDRIVER_OBJECT DriverObject,
                                                         PDRIVER_FS_NOTIFICATION DriverNotificationRoutine) {
  auto* listener = static_cast<Listener*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Listener), kFileTag));
  if (listener == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  listener->driver = DriverObject;
  listener->routine = DriverNotificationRoutine;
  RegistrationGuard guard;
  if (FindListener(DriverObject, DriverNotificationRoutine) != nullptr) {
    ExFreePoolWithTag(listener, kFileTag);
    return STATUS_DEVICE_ALREADY_ATTACHED;
  }
  ObfReferenceObject(DriverObject);
  InsertTailList(&g_listeners, &listener->link);
  for (LIST_ENTRY* link = g_file_systems.Blink; link != &g_file_systems;) {
    auto* entry = CONTAINING_RECORD(link, FileSystem, link);
    link = link->Blink;
    DriverNotificationRoutine(entry->device, TRUE);
  }
  return STATUS_SUCCESS;
}

/// Ends it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoUnregisterFsRegistrationChange.
NT_EXPORT(IoUnregisterFsRegistrationChange, nt::AtMost(APC_LEVEL), Full, "IoFileSystems.*");
extern "C" VOID NTAPI IoUnregisterFsRegistrationChange(PDRIVER_OBJECT DriverObject,
                                                       PDRIVER_FS_NOTIFICATION DriverNotificationRoutine) {
  Listener* listener;
  {
    RegistrationGuard guard;
    listener = FindListener(DriverObject, DriverNotificationRoutine);
    if (listener == nullptr) return;
    RemoveEntryList(&listener->link);
  }
  ObfDereferenceObject(DriverObject);
  ExFreePoolWithTag(listener, kFileTag);
}

/// Takes the lock of all VPBs.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoAcquireVpbSpinLock.
NT_EXPORT(IoAcquireVpbSpinLock, nt::AtMost(DISPATCH_LEVEL), Full, "IoFileSystems.*");
extern "C" VOID NTAPI IoAcquireVpbSpinLock(PKIRQL Irql) {
  *Irql = KiAcquireQueuedSpinLockFor(LockQueueIoVpbLock, DISPATCH_LEVEL, __builtin_return_address(0));
}

/// Releases it.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoReleaseVpbSpinLock.
NT_EXPORT(IoReleaseVpbSpinLock, nt::Exactly(DISPATCH_LEVEL), Full, "IoFileSystems.*");
extern "C" VOID NTAPI IoReleaseVpbSpinLock(KIRQL Irql) {
  KeReleaseQueuedSpinLock(LockQueueIoVpbLock, Irql);
}

/// Asks the file system of a device whether the medium is still the one that it has mounted; one that is not
/// is mounted anew.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: there is no raw file system: with AllowRawMount an unrecognized medium is
/// STATUS_UNRECOGNIZED_VOLUME too.
/// Source: WDK ntifs/IoVerifyVolume.
NT_EXPORT(IoVerifyVolume, nt::AtMost(APC_LEVEL), Partial, "IoFileSystems.*");
extern "C" NTSTATUS NTAPI IoVerifyVolume(PDEVICE_OBJECT DeviceObject, BOOLEAN AllowRawMount) {
  if (DeviceObject->Vpb == nullptr) return STATUS_INVALID_DEVICE_REQUEST;
  RegistrationGuard guard;
  KeWaitForSingleObject(&DeviceObject->DeviceLock, Executive, KernelMode, FALSE, nullptr);
  PVPB vpb = DeviceObject->Vpb;
  NTSTATUS status = STATUS_SUCCESS;
  if (vpb->Flags & VPB_MOUNTED) {
    status = SendVolumeRequest(IoGetAttachedDevice(vpb->DeviceObject), IRP_MN_VERIFY_VOLUME, vpb,
                               vpb->DeviceObject, AllowRawMount);
  }
  if (!(vpb->Flags & VPB_MOUNTED) || status == STATUS_WRONG_VOLUME) {
    PVPB fresh = NewVpb(DeviceObject);
    if (fresh == nullptr) {
      status = STATUS_INSUFFICIENT_RESOURCES;
    } else {
      DeviceObject->Vpb = fresh;
      if (vpb->ReferenceCount == 0) ExFreePoolWithTag(vpb, ' bpV');
      const NTSTATUS mounted = MountLocked(DeviceObject);
      if (!NT_SUCCESS(mounted) || status != STATUS_WRONG_VOLUME) status = mounted;
    }
  }
  DeviceObject->Flags &= ~DO_VERIFY_VOLUME;
  KeSetEvent(&DeviceObject->DeviceLock, IO_NO_INCREMENT, FALSE);
  return status;
}

/// The device that a thread's request found to be in want of verification.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoGetDeviceToVerify.
NT_EXPORT(IoGetDeviceToVerify, nt::AtMost(DISPATCH_LEVEL), Full, "IoFileSystems.*");
extern "C" PDEVICE_OBJECT NTAPI IoGetDeviceToVerify(PETHREAD Thread) {
  return Thread->DeviceToVerify;
}

/// Sets it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoSetDeviceToVerify.
NT_EXPORT(IoSetDeviceToVerify, nt::AtMost(DISPATCH_LEVEL), Full, "IoFileSystems.*");
extern "C" VOID NTAPI IoSetDeviceToVerify(PETHREAD Thread, PDEVICE_OBJECT DeviceObject) {
  Thread->DeviceToVerify = DeviceObject;
}

/// Sets the device of a request that failed with an error which a file system or user has to see to, for the
/// thread that made the request.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/IoSetHardErrorOrVerifyDevice.
NT_EXPORT(IoSetHardErrorOrVerifyDevice, nt::AtMost(DISPATCH_LEVEL), Full, "IoFileSystems.*");
extern "C" VOID NTAPI IoSetHardErrorOrVerifyDevice(PIRP Irp, PDEVICE_OBJECT DeviceObject) {
  if (Irp->Tail.Overlay.Thread != nullptr) Irp->Tail.Overlay.Thread->DeviceToVerify = DeviceObject;
}
