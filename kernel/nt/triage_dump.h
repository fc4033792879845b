// What bug check callbacks fill in that mingw-w64's headers lack (wdm.h of the WDK): data in parts, ranges of
// memory.
#pragma once

#include "nt/ntos.h"

#define KB_SECONDARY_DATA_FLAG_ADDITIONAL_DATA 0x00000001UL
#define KB_TRIAGE_DUMP_DATA_FLAG_BUGCHECK_ACTIVE 0x00000001UL

// Begins as KBUGCHECK_SECONDARY_DUMP_DATA.
typedef struct _KBUGCHECK_SECONDARY_DUMP_DATA_EX {
  PVOID InBuffer;
  ULONG InBufferLength;
  ULONG MaximumAllowed;
  GUID Guid;
  PVOID OutBuffer;
  ULONG OutBufferLength;
  PVOID Context;
  ULONG Flags;
  ULONG DumpType;
  ULONG BugCheckCode;
  ULONG_PTR BugCheckParameter1;
  ULONG_PTR BugCheckParameter2;
  ULONG_PTR BugCheckParameter3;
  ULONG_PTR BugCheckParameter4;
} KBUGCHECK_SECONDARY_DUMP_DATA_EX, *PKBUGCHECK_SECONDARY_DUMP_DATA_EX;
static_assert(FIELD_OFFSET(KBUGCHECK_SECONDARY_DUMP_DATA_EX, Context) ==
              sizeof(KBUGCHECK_SECONDARY_DUMP_DATA));

typedef struct _KADDRESS_RANGE {
  PVOID Address;
  ULONG_PTR Size;
} KADDRESS_RANGE, *PKADDRESS_RANGE;

typedef struct _KTRIAGE_DUMP_DATA_ARRAY {
  LIST_ENTRY List;
  ULONG NumBlocksUsed;
  ULONG NumBlocksTotal;
  ULONG DataSize;
  ULONG MaxDataSize;
  ULONG ComponentNameBufferLength;
  PUCHAR ComponentName;
  KADDRESS_RANGE Blocks[1];
} KTRIAGE_DUMP_DATA_ARRAY, *PKTRIAGE_DUMP_DATA_ARRAY;
static_assert(FIELD_OFFSET(KTRIAGE_DUMP_DATA_ARRAY, Blocks) == 0x30);

typedef struct _KBUGCHECK_TRIAGE_DUMP_DATA {
  PKTRIAGE_DUMP_DATA_ARRAY DataArray;
  ULONG Flags;
  ULONG MaxVirtMemSize;
  ULONG BugCheckCode;
  ULONG_PTR BugCheckParameter1;
  ULONG_PTR BugCheckParameter2;
  ULONG_PTR BugCheckParameter3;
  ULONG_PTR BugCheckParameter4;
} KBUGCHECK_TRIAGE_DUMP_DATA, *PKBUGCHECK_TRIAGE_DUMP_DATA;
