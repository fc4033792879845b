// The executive: worker threads, resources, named synchronisation objects.
#pragma once

#include "nt/ntos.h"

extern "C" {
// Phase 1, after the processors are up: object types (Event, Mutant, Semaphore, Timer, Callback), worker
// threads.
NTSTATUS ExInitSystem();
// True once work items are served.
BOOLEAN ExpWorkersReady();

// Boot options: pool allocations of the kernel that fail on purpose (pool_faults.cpp): Mode 0 none, 1 each
// call site once, N > 1 one in N at random. And the tag whose allocations come from special pool, 0 = none.
VOID ExSetPoolFaults(ULONG Mode, ULONG Seed, BOOLEAN Watch);
VOID ExSetSpecialPoolTag(ULONG Tag);
// Faults happen while somebody has armed them: the I/O manager, around a driver's entry routine.
VOID ExArmPoolFaults(BOOLEAN Arm);
// The boot driver's allocations are among those that fail.
VOID ExIncludeInPoolFaults(PVOID Image, ULONG Size);
// Whether an allocation of pages by this code is to fail, too.
BOOLEAN ExFailPageOnPurpose(PVOID Caller);

// Looks for damage in the pools when the machine has stopped and nobody else runs: takes no lock, touches
// only what is resident, looks at a limited number of pages, first those of the addresses `About`. What it
// finds is in ExpPoolDamage, for the debugger.
VOID ExCheckPoolsAtCrash(const ULONG_PTR* About, ULONG Count);
// Reads an image's file and loads it; its entry is not called. Set by io at boot. PASSIVE_LEVEL.
extern NTSTATUS (*ExpLoadImageFile)(PUNICODE_STRING path, struct _KLDR_DATA_TABLE_ENTRY** image);
}
