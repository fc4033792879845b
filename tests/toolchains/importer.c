/* A driver that imports a routine which its exporter forwards to a third driver. */
#include <ntddk.h>

__declspec(dllimport) ULONG NTAPI ForwardedAnswer(void);

static VOID NTAPI Unload(PDRIVER_OBJECT driver) { UNREFERENCED_PARAMETER(driver); }

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path) {
  UNREFERENCED_PARAMETER(path);
  driver->DriverUnload = Unload;
  DbgPrint("toolchain forwarded: the answer is %u\n", ForwardedAnswer());
  return ForwardedAnswer() == 42 ? STATUS_SUCCESS : STATUS_INVALID_IMAGE_FORMAT;
}
