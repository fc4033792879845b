// Writes events of a provider: what the host's trace must show.
#include <ntddk.h>

static const GUID kProvider = {0x11223344, 0x5566, 0x7788, {0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0x00}};
static const GUID kActivity = {0x00000001, 0x0002, 0x0003, {4, 5, 6, 7, 8, 9, 10, 11}};

static VOID Unload(PDRIVER_OBJECT driver) {
  UNREFERENCED_PARAMETER(driver);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path) {
  REGHANDLE handle;
  EVENT_DESCRIPTOR event = {7, 1, 0, 4, 2, 3, 0x8000000000000010ULL};
  UCHAR numbers[100];
  EVENT_DATA_DESCRIPTOR data[2];
  ULONG i;
  NTSTATUS status = EtwRegister(&kProvider, NULL, NULL, &handle);
  UNREFERENCED_PARAMETER(path);
  driver->DriverUnload = Unload;
  if (!NT_SUCCESS(status)) return status;
  for (i = 0; i < sizeof(numbers); ++i) numbers[i] = (UCHAR)i;
  EventDataDescCreate(&data[0], "Hello", 5);
  EventDataDescCreate(&data[1], numbers, sizeof(numbers));
  status = EtwWriteTransfer(handle, &event, &kActivity, &kProvider, 2, data);
  event.Level = 5;
  if (NT_SUCCESS(status)) status = EtwWrite(handle, &event, NULL, 0, NULL);
  EtwUnregister(handle);
  return status;
}
