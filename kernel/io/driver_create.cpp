// Driver objects without an image of their own: a driver makes them for further sets of devices.
#include "driver_internal.h"
#include "nt/export.h"

extern "C" VOID NTAPI IoDeleteDriver(PDRIVER_OBJECT DriverObject);

namespace io {
namespace {

volatile LONG g_next_number;

// \\Driver\\ and eight digits, when the caller names none; else a copy of the caller's name.
NTSTATUS MakeName(PCUNICODE_STRING wanted, UNICODE_STRING* name) {
  const USHORT room = wanted != nullptr ? wanted->Length + sizeof(WCHAR) : 64;
  *name = {0, room, static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, room, kNameTag))};
  if (name->Buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  if (wanted != nullptr) {
    RtlCopyUnicodeString(name, wanted);
    return STATUS_SUCCESS;
  }
  WCHAR digits[9] = L"00000000";
  auto number = static_cast<ULONG>(InterlockedIncrement(&g_next_number));
  for (int i = 7; number != 0; --i, number /= 10) digits[i] = static_cast<WCHAR>(L'0' + number % 10);
  RtlAppendUnicodeToString(name, L"\\Driver\\");
  return RtlAppendUnicodeToString(name, digits);
}

}  // namespace
}  // namespace io

/// Creates a driver object and calls its initialization routine, without a registry path; if that fails, the
/// object goes.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none known; the routine is not documented.
/// Source: not documented; used by bus drivers and layered class drivers.
NT_EXPORT(IoCreateDriver, nt::AtMost(PASSIVE_LEVEL), Full, "IoDriver.*");
extern "C" NTSTATUS NTAPI IoCreateDriver(PUNICODE_STRING DriverName,
                                         PDRIVER_INITIALIZE InitializationFunction) {
  UNICODE_STRING name;
  NTSTATUS status = io::MakeName(DriverName, &name);
  if (!NT_SUCCESS(status)) return status;
  PDRIVER_OBJECT driver;
  status = io::NewDriverObject(name, name, nullptr, &driver);
  if (!NT_SUCCESS(status)) return status;
  driver->Flags = DRVO_BUILTIN_DRIVER;
  driver->DriverInit = InitializationFunction;
  status = InitializationFunction(driver, nullptr);
  KeSetEvent(&IopDriverExtensionOf(driver)->EntryDone, IO_NO_INCREMENT, FALSE);
  if (NT_SUCCESS(status)) {
    IopReadyDeviceObjects(driver);
    io::CallReinitializeRoutines(driver);
  } else {
    IoDeleteDriver(driver);
  }
  return status;
}

/// Deletes a driver object of IoCreateDriver: it goes with its last device.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none known; the routine is not documented.
/// Source: not documented; used by bus drivers and layered class drivers.
NT_EXPORT(IoDeleteDriver, nt::AtMost(PASSIVE_LEVEL), Full, "IoDriver.*");
extern "C" VOID NTAPI IoDeleteDriver(PDRIVER_OBJECT DriverObject) {
  ObMakeTemporaryObject(DriverObject);
  ObfDereferenceObject(DriverObject);
}
