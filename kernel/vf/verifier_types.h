// What a debugger reads of Driver Verifier. NT's names where NT has the thing.
#pragma once

#include "nt/eprocess.h"
#include "nt/ntos.h"

// Options, bits as of verifier.exe /flags, beside those that <ntddk.h> has.
#ifndef DRIVER_VERIFIER_DEADLOCK_DETECTION
#define DRIVER_VERIFIER_DEADLOCK_DETECTION 0x00000020
#endif
#ifndef DRIVER_VERIFIER_DDI_COMPLIANCE
#define DRIVER_VERIFIER_DDI_COMPLIANCE 0x00020000
#endif

extern "C" {

typedef struct _MM_DRIVER_VERIFIER_DATA {
  ULONG Level;  // DRIVER_VERIFIER_*
  ULONG RaiseIrqls;
  ULONG AcquireSpinLocks;
  ULONG SynchronizeExecutions;
  ULONG AllocationsAttempted;
  ULONG AllocationsSucceeded;
  ULONG AllocationsSucceededSpecialPool;
  ULONG AllocationsWithNoTag;
  ULONG TrimRequests;
  ULONG Trims;
  ULONG AllocationsFailed;
  ULONG AllocationsFailedDeliberately;
  ULONG Loads;
  ULONG Unloads;
  ULONG UnTrackedPool;
  ULONG UserTrims;
  ULONG CurrentPagedPoolAllocations;
  ULONG CurrentNonPagedPoolAllocations;
  ULONG PeakPagedPoolAllocations;
  ULONG PeakNonPagedPoolAllocations;
  SIZE_T PagedBytes;
  SIZE_T NonPagedBytes;
  SIZE_T PeakPagedBytes;
  SIZE_T PeakNonPagedBytes;
} MM_DRIVER_VERIFIER_DATA, *PMM_DRIVER_VERIFIER_DATA;

// A driver that was named for verification: the list VfSuspectDriversList. Never removed.
typedef struct _VF_SUSPECT_DRIVER_ENTRY {
  LIST_ENTRY Links;
  ULONG Loads;
  ULONG Unloads;
  UNICODE_STRING BaseName;
  PKLDR_DATA_TABLE_ENTRY Image;  // while it is loaded
  PVOID StartAddress;
  PVOID EndAddress;
  PVOID Thunks;  // of its current image: code that checks IRQL rules
  ULONG ThunkCount;
  ULONG RedirectedImports;
  MM_DRIVER_VERIFIER_DATA VerifierData;  // this driver's share
} VF_SUSPECT_DRIVER_ENTRY, *PVF_SUSPECT_DRIVER_ENTRY;

extern MM_DRIVER_VERIFIER_DATA MmVerifierData;
extern LIST_ENTRY VfSuspectDriversList;

}  // extern "C"
