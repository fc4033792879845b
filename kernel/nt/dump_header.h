// Microsoft's 64-bit dump header and debugger data block: facts in the formats' public descriptions. Owner:
// ke.
#pragma once

#include "nt/ntos.h"

#pragma pack(push, 4)
typedef struct _PHYSICAL_MEMORY_RUN64 {
  ULONG64 BasePage;
  ULONG64 PageCount;
} PHYSICAL_MEMORY_RUN64;

#define DMP_PHYSICAL_MEMORY_RUNS 42
#define DMP_FILL 0x45474150  // 'PAGE': every field that is not set

typedef struct _DUMP_HEADER64 {
  ULONG Signature;
  ULONG ValidDump;
  ULONG MajorVersion;
  ULONG MinorVersion;
  ULONG64 DirectoryTableBase;
  ULONG64 PfnDataBase;
  ULONG64 PsLoadedModuleList;
  ULONG64 PsActiveProcessHead;
  ULONG MachineImageType;
  ULONG NumberProcessors;
  ULONG BugCheckCode;
  ULONG Padding0;
  ULONG64 BugCheckParameter[4];
  CHAR VersionUser[32];
  ULONG64 KdDebuggerDataBlock;
  union {
    struct {
      ULONG NumberOfRuns;
      ULONG Padding;
      ULONG64 NumberOfPages;
      PHYSICAL_MEMORY_RUN64 Run[DMP_PHYSICAL_MEMORY_RUNS];
    } PhysicalMemoryBlock;
    UCHAR PhysicalMemoryBlockBuffer[700];
  };
  ULONG Padding1;
  UCHAR ContextRecord[3000];
  EXCEPTION_RECORD64 Exception;
  ULONG DumpType;
  ULONG Padding2;
  ULONG64 RequiredDumpSpace;
  ULONG64 SystemTime;
  CHAR Comment[128];
  ULONG64 SystemUpTime;
  ULONG MiniDumpFields;
  ULONG SecondaryDataState;
  ULONG ProductType;
  ULONG SuiteMask;
  ULONG WriterStatus;
  UCHAR Unused1;
  UCHAR KdSecondaryVersion;
  UCHAR Unused2[2];
  ULONG Attributes;
  ULONG BootId;
  UCHAR Reserved[4008];
} DUMP_HEADER64, *PDUMP_HEADER64;
#pragma pack(pop)
static_assert(sizeof(DUMP_HEADER64) == 0x2000 && FIELD_OFFSET(DUMP_HEADER64, KdDebuggerDataBlock) == 0x80);
static_assert(FIELD_OFFSET(DUMP_HEADER64, ContextRecord) == 0x348 &&
              FIELD_OFFSET(DUMP_HEADER64, Exception) == 0xF00);
static_assert(FIELD_OFFSET(DUMP_HEADER64, DumpType) == 0xF98 &&
              FIELD_OFFSET(DUMP_HEADER64, SystemTime) == 0xFA8);
static_assert(FIELD_OFFSET(DUMP_HEADER64, SystemUpTime) == 0x1030 &&
              FIELD_OFFSET(DUMP_HEADER64, Reserved) == 0x1058);
