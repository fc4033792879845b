// Segments of a thread's kernel stack (KeExpandKernelStackAndCallout). The first one is
// KTHREAD.InitialStack's; each further one describes, at its own top, the one that it was entered from.
#pragma once

#include "nt/ntos.h"

typedef struct _KSTACK_CONTROL {
  PVOID StackBase;  // of the segment that this record lies in
  PVOID StackLimit;
  PVOID PreviousBase;
  PVOID PreviousLimit;
  struct _KSTACK_CONTROL* PreviousControl;
  ULONG64 Spare;
} KSTACK_CONTROL, *PKSTACK_CONTROL;
static_assert(sizeof(KSTACK_CONTROL) % 16 == 0);
