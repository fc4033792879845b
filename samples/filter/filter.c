/* A filter driver: it lets every request of a device through and prints the plug and play requests that pass.
 * In the shell, over the children of toybus: `devnode map TOYBUS\Widget filter`. */
#include <wdm.h>

typedef struct _FILTER {
  PDEVICE_OBJECT Lower;
  IO_REMOVE_LOCK RemoveLock;
} FILTER;

static NTSTATUS PassDown(FILTER* filter, PIRP irp) {
  NTSTATUS status = IoAcquireRemoveLock(&filter->RemoveLock, irp);
  if (!NT_SUCCESS(status)) {
    irp->IoStatus.Status = status;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
  }
  IoSkipCurrentIrpStackLocation(irp);
  status = IoCallDriver(filter->Lower, irp);
  IoReleaseRemoveLock(&filter->RemoveLock, irp);
  return status;
}

static NTSTATUS NTAPI Any(PDEVICE_OBJECT device, PIRP irp) {
  return PassDown(device->DeviceExtension, irp);
}

static NTSTATUS NTAPI Power(PDEVICE_OBJECT device, PIRP irp) {
  FILTER* filter = device->DeviceExtension;
  PoStartNextPowerIrp(irp);
  IoSkipCurrentIrpStackLocation(irp);
  return PoCallDriver(filter->Lower, irp);
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT device, PIRP irp) {
  FILTER* filter = device->DeviceExtension;
  UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;
  DbgPrint("filter: plug and play request 0x%x\n", minor);
  if (minor != IRP_MN_REMOVE_DEVICE) return PassDown(filter, irp);
  IoAcquireRemoveLock(&filter->RemoveLock, irp);
  IoSkipCurrentIrpStackLocation(irp);
  NTSTATUS status = IoCallDriver(filter->Lower, irp);
  IoReleaseRemoveLockAndWait(&filter->RemoveLock, irp);
  IoDetachDevice(filter->Lower);
  IoDeleteDevice(device);
  return status;
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT driver, PDEVICE_OBJECT pdo) {
  PDEVICE_OBJECT device;
  NTSTATUS status = IoCreateDevice(driver, sizeof(FILTER), NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
  if (!NT_SUCCESS(status)) return status;
  FILTER* filter = device->DeviceExtension;
  IoInitializeRemoveLock(&filter->RemoveLock, 'tliF', 0, 0);
  filter->Lower = IoAttachDeviceToDeviceStack(device, pdo);
  if (filter->Lower == NULL) {
    IoDeleteDevice(device);
    return STATUS_NO_SUCH_DEVICE;
  }
  device->Flags |= filter->Lower->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE);
  device->Flags &= ~DO_DEVICE_INITIALIZING;
  return STATUS_SUCCESS;
}

static VOID NTAPI Unload(PDRIVER_OBJECT driver) {
  (void)driver;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path) {
  (void)registry_path;
  for (ULONG i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; ++i) driver->MajorFunction[i] = Any;
  driver->MajorFunction[IRP_MJ_PNP] = Pnp;
  driver->MajorFunction[IRP_MJ_POWER] = Power;
  driver->DriverExtension->AddDevice = AddDevice;
  driver->DriverUnload = Unload;
  return STATUS_SUCCESS;
}
