// _KDPC_DATA, _KTIMER_TABLE: a processor's DPC queues and its timers. Owner: ke.
#pragma once

#include "nt/ntos.h"

typedef struct _KDPC_DATA {
  LIST_ENTRY DpcListHead;
  KSPIN_LOCK DpcLock;
  volatile LONG DpcQueueDepth;
  ULONG DpcCount;
  struct _KDPC* volatile ActiveDpc;  // its routine runs now; set under DpcLock
} KDPC_DATA;

// The timers that were set on a processor. Lock guards all but the two times, which the clock reads as well.
#define KTIMER_TABLE_ENTRIES 256
typedef struct _KTIMER_TABLE {
  KSPIN_LOCK Lock;
  ULONG64 SystemTimeBase;     // system time at interrupt time 0, as the due times of absolute timers have it
  volatile ULONG64 FirstDue;  // interrupt time of the first, ~0 = none: any clock interrupt from then on
  volatile ULONG64 WakeTime;  // when one may wait no longer: ends the processor's idleness
  ULONG64 Occupied[KTIMER_TABLE_ENTRIES / 64];
  LIST_ENTRY TimerEntries[KTIMER_TABLE_ENTRIES];
} KTIMER_TABLE, *PKTIMER_TABLE;
