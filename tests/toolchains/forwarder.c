/* A driver whose export lies in another driver: ForwardedAnswer=exporter.Answer (see CMakeLists.txt). */
#include <ntddk.h>

static VOID NTAPI Unload(PDRIVER_OBJECT driver) { UNREFERENCED_PARAMETER(driver); }

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path) {
  UNREFERENCED_PARAMETER(path);
  driver->DriverUnload = Unload;
  return STATUS_SUCCESS;
}
