// Routines of the I/O manager that mingw-w64's headers lack. Source: the WDK page of each name, or common
// knowledge of those that have none (IoCreateDriver, IoDeleteDriver).
#pragma once

#include "nt_test.h"

extern "C" {
NTSTATUS NTAPI IoCreateDriver(PUNICODE_STRING DriverName, PDRIVER_INITIALIZE InitializationFunction);
VOID NTAPI IoDeleteDriver(PDRIVER_OBJECT DriverObject);
NTSTATUS NTAPI IoCreateSystemThread(PVOID IoObject, PHANDLE ThreadHandle, ULONG DesiredAccess,
                                    POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle,
                                    PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine, PVOID StartContext);
NTSTATUS NTAPI IoSetIoPriorityHintIntoThread(PETHREAD Thread, IO_PRIORITY_HINT PriorityHint);
NTSTATUS NTAPI IoRetrievePriorityInfo(PIRP Irp, PFILE_OBJECT FileObject, PETHREAD Thread,
                                      PIO_PRIORITY_INFO PriorityInfo);
VOID NTAPI IoSetMasterIrpStatus(PIRP MasterIrp, NTSTATUS Status);
}

// References of an object: its header lies in front of it, with the count first.
inline LONG_PTR ReferencesOf(PVOID object) {
  return *reinterpret_cast<volatile LONG_PTR*>(static_cast<UCHAR*>(object) - 0x30);
}
