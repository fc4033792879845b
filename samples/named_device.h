/* What many a sample begins with: a device with a name, and a link by which programs find it. */
#pragma once

#include <ntifs.h>

/* On failure nothing is left. The device still initializes: DriverEntry's end, or the caller, finishes that.
 */
static NTSTATUS CreateNamedDevice(PDRIVER_OBJECT Driver, ULONG ExtensionSize, PUNICODE_STRING DeviceName,
                                  PUNICODE_STRING LinkName, PDEVICE_OBJECT* Device) {
  NTSTATUS Status = IoCreateDevice(Driver, ExtensionSize, DeviceName, FILE_DEVICE_UNKNOWN,
                                   FILE_DEVICE_SECURE_OPEN, FALSE, Device);

  if (!NT_SUCCESS(Status)) return Status;
  Status = IoCreateSymbolicLink(LinkName, DeviceName);
  if (!NT_SUCCESS(Status)) IoDeleteDevice(*Device);
  return Status;
}

static void DeleteNamedDevice(PDEVICE_OBJECT Device, PUNICODE_STRING LinkName) {
  IoDeleteSymbolicLink(LinkName);
  IoDeleteDevice(Device);
}
