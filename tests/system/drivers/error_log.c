// Writes one entry of the error log: what the console log must show.
#include <ntddk.h>

static VOID Unload(PDRIVER_OBJECT driver) {
  IoDeleteDevice(driver->DeviceObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path) {
  static const WCHAR kText[] = L"first text";
  UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\ErrorLogSample");
  PDEVICE_OBJECT device;
  PIO_ERROR_LOG_PACKET packet;
  const UCHAR size = sizeof(IO_ERROR_LOG_PACKET) + sizeof(ULONG) + sizeof(kText);
  NTSTATUS status = IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
  UNREFERENCED_PARAMETER(path);
  if (!NT_SUCCESS(status)) return status;
  driver->DriverUnload = Unload;
  packet = (PIO_ERROR_LOG_PACKET)IoAllocateErrorLogEntry(device, size);
  if (packet == NULL) {
    IoDeleteDevice(device);
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  packet->ErrorCode = (NTSTATUS)0xC004000B;
  packet->FinalStatus = STATUS_DEVICE_DATA_ERROR;
  packet->UniqueErrorValue = 42;
  packet->MajorFunctionCode = IRP_MJ_READ;
  packet->DumpDataSize = 2 * sizeof(ULONG);
  packet->DumpData[0] = 0x11111111;
  packet->DumpData[1] = 0x22222222;
  packet->NumberOfStrings = 1;
  packet->StringOffset = sizeof(IO_ERROR_LOG_PACKET) + sizeof(ULONG);
  RtlCopyMemory((PUCHAR)packet + packet->StringOffset, kText, sizeof(kText));
  IoWriteErrorLogEntry(packet);
  return STATUS_SUCCESS;
}
