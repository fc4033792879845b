/* A driver for QEMU's teaching device "edu" (docs/specs/edu in QEMU's sources), written as for any PCI
 * device:
 *
 *     bugcheck run --device edu edu.sys
 *
 * or in the shell of a machine that has it (bugcheck up --device edu):
 *
 *     devnode map PCI\VEN_1234&DEV_11E8 edu
 *
 * This file: devices, plug and play, power, requests. hardware.c: interrupts and DMA. */
#include "../named_device.h"
#include "device.h"

static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\Edu");
static UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\Edu");

NTSTATUS EduComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
  Irp->IoStatus.Status = Status;
  Irp->IoStatus.Information = Information;
  IoCompleteRequest(Irp, IO_NO_INCREMENT);
  return Status;
}

NTSTATUS EduFinish(EDU_DEVICE* Edu, PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
  EduComplete(Irp, Status, Information);
  IoReleaseRemoveLock(&Edu->RemoveLock, Irp);
  return Status;
}

/* ---- Plug and play ---- */

static NTSTATUS Start(EDU_DEVICE* Edu, PIRP Irp) {
  PCM_RESOURCE_LIST Translated =
      IoGetCurrentIrpStackLocation(Irp)->Parameters.StartDevice.AllocatedResourcesTranslated;
  NTSTATUS Status;

  if (!IoForwardIrpSynchronously(Edu->Lower, Irp)) return STATUS_UNSUCCESSFUL;
  Status = Irp->IoStatus.Status;
  if (!NT_SUCCESS(Status)) return Status;
  Status = EduStartHardware(Edu, Translated);
  if (NT_SUCCESS(Status)) {
    Edu->Started = TRUE;
    ExReInitializeRundownProtection(&Edu->Hardware);
  } else {
    EduStopHardware(Edu);
  }
  return Status;
}

static VOID Stop(EDU_DEVICE* Edu, BOOLEAN Gone) {
  if (!Edu->Started) return;
  Edu->Started = FALSE;
  EduDrain(Edu, Gone);
  EduStopHardware(Edu);
}

static NTSTATUS Remove(EDU_DEVICE* Edu, PIRP Irp) {
  NTSTATUS Status;

  Stop(Edu, FALSE);
  Irp->IoStatus.Status = STATUS_SUCCESS;
  IoSkipCurrentIrpStackLocation(Irp);
  Status = IoCallDriver(Edu->Lower, Irp);
  IoReleaseRemoveLockAndWait(&Edu->RemoveLock, Irp);
  IoDetachDevice(Edu->Lower);
  DeleteNamedDevice(Edu->Self, &LinkName);
  return Status;
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT Device, PIRP Irp) {
  EDU_DEVICE* Edu = Device->DeviceExtension;
  NTSTATUS Status = IoAcquireRemoveLock(&Edu->RemoveLock, Irp);

  if (!NT_SUCCESS(Status)) return EduComplete(Irp, Status, 0);
  switch (IoGetCurrentIrpStackLocation(Irp)->MinorFunction) {
    case IRP_MN_START_DEVICE:
      return EduFinish(Edu, Irp, Start(Edu, Irp), Irp->IoStatus.Information);
    case IRP_MN_REMOVE_DEVICE:
      return Remove(Edu, Irp);
    case IRP_MN_STOP_DEVICE:
      Stop(Edu, FALSE);
      Irp->IoStatus.Status = STATUS_SUCCESS;
      break;
    case IRP_MN_SURPRISE_REMOVAL:
      Stop(Edu, TRUE);
      Irp->IoStatus.Status = STATUS_SUCCESS;
      break;
    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
      Irp->IoStatus.Status = STATUS_SUCCESS;
      break;
    default:
      break;
  }
  IoSkipCurrentIrpStackLocation(Irp);
  Status = IoCallDriver(Edu->Lower, Irp);
  IoReleaseRemoveLock(&Edu->RemoveLock, Irp);
  return Status;
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT Device, PIRP Irp) {
  EDU_DEVICE* Edu = Device->DeviceExtension;
  PoStartNextPowerIrp(Irp);
  IoSkipCurrentIrpStackLocation(Irp);
  return PoCallDriver(Edu->Lower, Irp);
}

static NTSTATUS NTAPI SystemControl(PDEVICE_OBJECT Device, PIRP Irp) {
  EDU_DEVICE* Edu = Device->DeviceExtension;
  IoSkipCurrentIrpStackLocation(Irp);
  return IoCallDriver(Edu->Lower, Irp);
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT Driver, PDEVICE_OBJECT Pdo) {
  PDEVICE_OBJECT Device;
  EDU_DEVICE* Edu;
  NTSTATUS Status = CreateNamedDevice(Driver, sizeof(EDU_DEVICE), &DeviceName, &LinkName, &Device);

  if (!NT_SUCCESS(Status)) return Status; /* this machine has one of them already */
  Edu = Device->DeviceExtension;
  Edu->Self = Device;
  Edu->Pdo = Pdo;
  IoInitializeRemoveLock(&Edu->RemoveLock, EDU_TAG, 0, 0);
  ExInitializeRundownProtection(&Edu->Hardware);
  ExWaitForRundownProtectionRelease(&Edu->Hardware); /* nobody gets in before the start */
  IoInitializeDpcRequest(Device, EduDpc);
  Edu->Lower = IoAttachDeviceToDeviceStack(Device, Pdo);
  if (Edu->Lower == NULL) {
    DeleteNamedDevice(Device, &LinkName);
    return STATUS_NO_SUCH_DEVICE;
  }
  Device->Flags |= DO_DIRECT_IO;
  Device->Flags &= ~DO_DEVICE_INITIALIZING;
  return STATUS_SUCCESS;
}

/* ---- Requests ---- */

static NTSTATUS NTAPI CreateClose(PDEVICE_OBJECT Device, PIRP Irp) {
  (void)Device;
  return EduComplete(Irp, STATUS_SUCCESS, 0);
}

/* What a request must bring so that EduStartIo can rely on it. */
static NTSTATUS Check(PIRP Irp) {
  PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
  ULONG Input = Stack->Parameters.DeviceIoControl.InputBufferLength;
  ULONG Output = Stack->Parameters.DeviceIoControl.OutputBufferLength;

  if (Stack->MajorFunction != IRP_MJ_DEVICE_CONTROL) { /* read or write: the same parameters */
    ULONG Length = Stack->Parameters.Read.Length;
    LONGLONG Offset = Stack->Parameters.Read.ByteOffset.QuadPart;
    if (Offset < 0 || Offset > EDU_MEMORY || Length > EDU_MEMORY - (ULONG)Offset)
      return STATUS_INVALID_PARAMETER;
    return STATUS_SUCCESS;
  }
  switch (Stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_EDU_IDENTIFY:
      return Output < sizeof(ULONG) ? STATUS_BUFFER_TOO_SMALL : STATUS_SUCCESS;
    case IOCTL_EDU_LIVENESS:
    case IOCTL_EDU_FACTORIAL:
      if (Input != sizeof(ULONG)) return STATUS_INVALID_PARAMETER;
      return Output < sizeof(ULONG) ? STATUS_BUFFER_TOO_SMALL : STATUS_SUCCESS;
    case IOCTL_EDU_RAISE:
      return Input != sizeof(ULONG) || *(PULONG)Irp->AssociatedIrp.SystemBuffer == 0
                 ? STATUS_INVALID_PARAMETER
                 : STATUS_SUCCESS;
    case IOCTL_EDU_STORE:
      return Input > EDU_MEMORY ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
    case IOCTL_EDU_FETCH:
      return Output > EDU_MEMORY ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
    case IOCTL_EDU_STATISTICS:
      return Output < sizeof(EDU_STATISTICS) ? STATUS_BUFFER_TOO_SMALL : STATUS_SUCCESS;
    default:
      return STATUS_INVALID_DEVICE_REQUEST;
  }
}

static NTSTATUS NTAPI Request(PDEVICE_OBJECT Device, PIRP Irp) {
  EDU_DEVICE* Edu = Device->DeviceExtension;
  NTSTATUS Status = IoAcquireRemoveLock(&Edu->RemoveLock, Irp);

  if (!NT_SUCCESS(Status)) return EduComplete(Irp, Status, 0);
  Status = Check(Irp);
  if (NT_SUCCESS(Status) && !ExAcquireRundownProtection(&Edu->Hardware)) Status = STATUS_DEVICE_NOT_READY;
  if (!NT_SUCCESS(Status)) return EduFinish(Edu, Irp, Status, 0);
  IoMarkIrpPending(Irp); /* FinishCurrent ends it */
  IoStartPacket(Device, Irp, NULL, NULL);
  return STATUS_PENDING;
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver) {
  (void)Driver;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath) {
  (void)RegistryPath;
  Driver->DriverExtension->AddDevice = AddDevice;
  Driver->DriverStartIo = EduStartIo;
  Driver->DriverUnload = Unload;
  Driver->MajorFunction[IRP_MJ_PNP] = Pnp;
  Driver->MajorFunction[IRP_MJ_POWER] = Power;
  Driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
  Driver->MajorFunction[IRP_MJ_CREATE] = CreateClose;
  Driver->MajorFunction[IRP_MJ_CLOSE] = CreateClose;
  Driver->MajorFunction[IRP_MJ_READ] = Request;
  Driver->MajorFunction[IRP_MJ_WRITE] = Request;
  Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Request;
  return STATUS_SUCCESS;
}
