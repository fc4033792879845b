// Who asked for a request, and the little that the WDM version and master IRPs need.
#include "io_internal.h"
#include "nt/eprocess.h"
#include "nt/export.h"

/// The id of the process whose thread asked for the request; 0 if no thread did.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoGetRequestorProcessId.
NT_EXPORT(IoGetRequestorProcessId, nt::AtMost(DISPATCH_LEVEL), Full, "IoRequestor.*");
extern "C" ULONG NTAPI IoGetRequestorProcessId(PIRP Irp) {
  const PEPROCESS process = IoGetRequestorProcess(Irp);
  return process != nullptr ? HandleToULong(process->UniqueProcessId) : 0;
}

/// The session of the process whose thread asked for the request: STATUS_UNSUCCESSFUL and -1 if no thread
/// did.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoGetRequestorSessionId.
NT_EXPORT(IoGetRequestorSessionId, nt::AtMost(APC_LEVEL), Full, "IoRequestor.*");
extern "C" NTSTATUS NTAPI IoGetRequestorSessionId(PIRP Irp, PULONG pSessionId) {
  const PEPROCESS process = IoGetRequestorProcess(Irp);
  *pSessionId = process != nullptr ? process->SessionId : static_cast<ULONG>(-1);
  return process != nullptr ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

/// Tells whether a 32-bit process asked for the request: never, as the machine runs 64-bit code only.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: there are no 32-bit processes.
/// Source: WDK wdm/IoIs32bitProcess.
NT_EXPORT(IoIs32bitProcess, nt::AtMost(DISPATCH_LEVEL), Full, "IoRequestor.*");
extern "C" BOOLEAN NTAPI IoIs32bitProcess(PIRP Irp) {
  return FALSE;
}

/// Tells whether a thread is a system thread.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoIsSystemThread.
NT_EXPORT(IoIsSystemThread, nt::AtMost(DISPATCH_LEVEL), Full, "IoRequestor.*");
extern "C" BOOLEAN NTAPI IoIsSystemThread(PETHREAD Thread) {
  return PsIsSystemThread(Thread);
}

/// Sets a master IRP's status from one of its associated IRPs, which may end at the same time.
/// IRQL: any.
/// Differs from NT: which of several errors stays is not documented; here the first, or
/// STATUS_VERIFY_REQUIRED.
/// Source: WDK ntifs/IoSetMasterIrpStatus.
NT_EXPORT(IoSetMasterIrpStatus, nt::AnyIrql(), Partial, "IoRequestor.*");
extern "C" VOID NTAPI IoSetMasterIrpStatus(PIRP MasterIrp, NTSTATUS Status) {
  auto* status = reinterpret_cast<volatile LONG*>(&MasterIrp->IoStatus.Status);
  for (;;) {
    const LONG current = *status;
    const bool replace = NT_SUCCESS(current) ? !NT_SUCCESS(Status) : Status == STATUS_VERIFY_REQUIRED;
    if (!replace || InterlockedCompareExchange(status, Status, current) == current) return;
  }
}

/// Tells whether the system has at least a version of WDM; it has 6.0, as Windows since Vista.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoIsWdmVersionAvailable.
NT_EXPORT(IoIsWdmVersionAvailable, nt::Exactly(PASSIVE_LEVEL), Full, "IoRequestor.*");
extern "C" BOOLEAN NTAPI IoIsWdmVersionAvailable(UCHAR MajorVersion, UCHAR MinorVersion) {
  return MajorVersion < WDM_MAJORVERSION ||
         (MajorVersion == WDM_MAJORVERSION && MinorVersion <= WDM_MINORVERSION);
}
