// Variables that drivers read, and what concerns them; small services around processes.
#include "nt/export.h"
#include "ps_internal.h"

extern "C" {
extern ULONG_PTR KiBugCheckData[5];
ULONG NtBuildNumber = 22621 | 0xF0000000;  // a free build
ULONG InitSafeBootMode;                    // 0: a normal boot
ERESOURCE PsLoadedModuleResource;
}

/// The build's number, with 0xF in the upper bits for a free build.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/PsGetVersion.
NT_EXPORT_DATA(NtBuildNumber, Full, "PsData.*");

/// Whether the system is in safe mode: 0, it never is.
/// IRQL: any.
/// Differs from NT: none; there is no safe mode.
/// Source: WDK: Determining Whether the Operating System Is Running in Safe Mode.
NT_EXPORT_DATA(InitSafeBootMode, Full, "PsData.*");

/// Code and parameters of the bug check; zeroes before it.
/// IRQL: any.
/// Differs from NT: none.
/// Source: documented with the debuggers; in every kernel's export table.
NT_EXPORT_DATA(KiBugCheckData, Full, "PsData.*");

/// The list of loaded images (KLDR_DATA_TABLE_ENTRY.InLoadOrderLinks), the kernel first.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented by Microsoft; drivers walk it.
NT_EXPORT_DATA(PsLoadedModuleList, Full, "PsData.*");

/// A resource for walkers of PsLoadedModuleList: while somebody holds it, no image is loaded or unloaded.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented by Microsoft.
NT_EXPORT_DATA(PsLoadedModuleResource, Full, "PsData.*");

/// Whether the I/O of disks is counted for processes: it is.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/PsIsDiskCountersEnabled.
NT_EXPORT(PsIsDiskCountersEnabled, nt::AnyIrql(), Full, "PsData.*");
extern "C" BOOLEAN NTAPI PsIsDiskCountersEnabled(VOID) {
  return TRUE;
}

/// Adds to a process's counts of disk I/O.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: nobody can query the counts; the debugger sees them in EPROCESS.DiskCounters.
/// Source: WDK ntddk/PsUpdateDiskCounters.
NT_EXPORT(PsUpdateDiskCounters, nt::AtMost(DISPATCH_LEVEL), Partial, "PsData.*");
extern "C" VOID NTAPI PsUpdateDiskCounters(PEPROCESS Process, ULONG64 BytesRead, ULONG64 BytesWritten,
                                           ULONG ReadOperationCount, ULONG WriteOperationCount,
                                           ULONG FlushOperationCount) {
  const ULONG64 added[] = {BytesRead, BytesWritten, ReadOperationCount, WriteOperationCount,
                           FlushOperationCount};
  for (ULONG i = 0; i < RTL_NUMBER_OF(added); ++i)
    InterlockedExchangeAdd64(&Process->DiskCounters[i], static_cast<LONG64>(added[i]));
}

/// Would turn the current thread's APC into one for 32-bit code.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: there are no 32-bit programs: STATUS_NOT_SUPPORTED.
/// Source: WDK wdm/PsWrapApcWow64Thread.
NT_EXPORT(PsWrapApcWow64Thread, nt::AtMost(APC_LEVEL), Stub, "");
extern "C" NTSTATUS NTAPI PsWrapApcWow64Thread(PVOID*, PVOID*) {
  return STATUS_NOT_SUPPORTED;
}
