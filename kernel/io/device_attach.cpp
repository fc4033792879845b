// Attaching to a device by its name, and by a pointer without the result of who was below.
#include "io_internal.h"
#include "nt/export.h"

/// Attaches a device to the top of the stack of a named device. The name is opened for its attributes alone,
/// so that no file system is mounted or asked.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoAttachDevice.
NT_EXPORT(IoAttachDevice, nt::AtMost(PASSIVE_LEVEL), Full, "IoAttach.*");
extern "C" NTSTATUS NTAPI IoAttachDevice(PDEVICE_OBJECT SourceDevice, PUNICODE_STRING TargetDevice,
                                         PDEVICE_OBJECT* AttachedDevice) {
  PFILE_OBJECT file;
  PDEVICE_OBJECT device;
  NTSTATUS status = IoGetDeviceObjectPointer(TargetDevice, FILE_READ_ATTRIBUTES, &file, &device);
  if (!NT_SUCCESS(status)) return status;
  status = IoAttachDeviceToDeviceStackSafe(SourceDevice, device, AttachedDevice);
  ObfDereferenceObject(file);
  return status;
}

/// Attaches a device to the top of another's stack.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/IoAttachDeviceByPointer (superseded by IoAttachDeviceToDeviceStack).
NT_EXPORT(IoAttachDeviceByPointer, nt::AtMost(DISPATCH_LEVEL), Full, "IoAttach.*");
extern "C" NTSTATUS NTAPI IoAttachDeviceByPointer(PDEVICE_OBJECT SourceDevice, PDEVICE_OBJECT TargetDevice) {
  return IoAttachDeviceToDeviceStack(SourceDevice, TargetDevice) != nullptr ? STATUS_SUCCESS
                                                                            : STATUS_NO_SUCH_DEVICE;
}
