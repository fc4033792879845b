// Errors for the user's eyes. There is no user at this machine: the message goes to the console log.
#include "io_internal.h"
#include "nt/eprocess.h"
#include "nt/export.h"

/// Allows or forbids messages to the user about the current thread's errors; returns what was set before.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/IoSetThreadHardErrorMode.
NT_EXPORT(IoSetThreadHardErrorMode, nt::AtMost(DISPATCH_LEVEL), Full, "IoHardError.*");
extern "C" BOOLEAN NTAPI IoSetThreadHardErrorMode(BOOLEAN EnableHardErrors) {
  const PETHREAD thread = PsGetCurrentThread();
  const bool before = thread->HardErrorsAreDisabled == 0;
  thread->HardErrorsAreDisabled = EnableHardErrors ? 0 : 1;
  return before;
}

/// Tells the user of an I/O error and completes the request, as a user who cancels would have it completed.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: nobody can answer "retry"; the message is a line of the console log.
/// Source: WDK ntddk/IoRaiseHardError.
NT_EXPORT(IoRaiseHardError, nt::AtMost(APC_LEVEL), Partial, "IoHardError.*");
extern "C" VOID NTAPI IoRaiseHardError(PIRP Irp, PVPB Vpb, PDEVICE_OBJECT RealDeviceObject) {
  if (PsGetCurrentThread()->HardErrorsAreDisabled == 0) {
    DbgPrint("hard error: a request failed with status 0x%08x on device %p\n", Irp->IoStatus.Status,
             RealDeviceObject);
  }
  Irp->IoStatus.Information = 0;
  IoCompleteRequest(Irp, IO_DISK_INCREMENT);
}

/// Tells the user of an error; FALSE if that is disabled for the thread.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the message is a line of the console log at once; equal ones are not merged.
/// Source: WDK ntddk/IoRaiseInformationalHardError.
NT_EXPORT(IoRaiseInformationalHardError, nt::AtMost(APC_LEVEL), Partial, "IoHardError.*");
extern "C" BOOLEAN NTAPI IoRaiseInformationalHardError(NTSTATUS ErrorStatus, PUNICODE_STRING String,
                                                       PKTHREAD Thread) {
  const PETHREAD thread = Thread != nullptr ? reinterpret_cast<PETHREAD>(Thread) : PsGetCurrentThread();
  if (thread->HardErrorsAreDisabled != 0) return FALSE;
  const UNICODE_STRING none = {};
  DbgPrint("hard error: status 0x%08x %wZ\n", ErrorStatus, String != nullptr ? String : &none);
  return TRUE;
}
