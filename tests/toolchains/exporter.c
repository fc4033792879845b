/* A driver that exports a routine for other drivers. */
#include <ntddk.h>

__declspec(dllexport) ULONG NTAPI Answer(void);
ULONG NTAPI Answer(void) { return 42; }

static VOID NTAPI Unload(PDRIVER_OBJECT driver) { UNREFERENCED_PARAMETER(driver); }

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path) {
  UNREFERENCED_PARAMETER(path);
  driver->DriverUnload = Unload;
  return STATUS_SUCCESS;
}
