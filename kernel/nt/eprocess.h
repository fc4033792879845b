// _EPROCESS, _ETHREAD, loader entries. Owner: io (ps), mm (KLDR_DATA_TABLE_ENTRY). Ours in layout, Windows's
// names.
#pragma once

#include "nt/kthread.h"

typedef struct _ETHREAD {
  KTHREAD Tcb;
  LARGE_INTEGER CreateTime;
  LARGE_INTEGER ExitTime;
  PVOID StartAddress;
  CLIENT_ID Cid;
  LIST_ENTRY IrpList;
  PVOID TopLevelIrp;
  PDEVICE_OBJECT DeviceToVerify;
  PVOID Win32StartAddress;
  LIST_ENTRY ThreadListEntry;  // EPROCESS.ThreadListHead
  KSPIN_LOCK IrpListLock;
  union {
    ULONG CrossThreadFlags;
    struct {
      ULONG Terminated : 1;
      ULONG ThreadInserted : 1;
      ULONG HideFromDebugger : 1;
      ULONG ActiveImpersonationInfo : 1;
      ULONG HardErrorsAreDisabled : 1;
      ULONG BreakOnTermination : 1;
      ULONG SystemThread : 1;
      ULONG ThreadIoPriority : 3;  // IO_PRIORITY_HINT
    };
  };
  ULONG ActiveFaultCount;  // a page of this thread is on its way in
  NTSTATUS ExitStatus;
  PVOID ServiceCaller;  // return address of the Zw service that runs: whose handle a new handle is
  PVOID StartContext;
  PUNICODE_STRING ThreadName;
  // Whom the thread acts as: valid while ActiveImpersonationInfo, guarded by ThreadLock.
  EX_PUSH_LOCK ThreadLock;
  struct _TOKEN* ImpersonationToken;
  SECURITY_IMPERSONATION_LEVEL ImpersonationLevel;
  BOOLEAN CopyOnOpen;
  BOOLEAN EffectiveOnly;
  NTSTATUS RequestedExitStatus;  // with Tcb.ExitPending
  PVOID UserStack;               // of its program: the allocation, 0: none
  PVOID UserParameter;           // of the routine Win32StartAddress
  KLOCK_ENTRY LockEntryArray[8];
} ETHREAD;

typedef struct _SE_AUDIT_PROCESS_CREATION_INFO {
  struct _OBJECT_NAME_INFORMATION* ImageFileName;
} SE_AUDIT_PROCESS_CREATION_INFO;

typedef struct _EPROCESS {
  KPROCESS Pcb;
  EX_PUSH_LOCK ProcessLock;
  HANDLE UniqueProcessId;
  LIST_ENTRY ActiveProcessLinks;
  EX_RUNDOWN_REF RundownProtect;
  ULONG Flags;
  LARGE_INTEGER CreateTime;
  PVOID Token;
  HANDLE InheritedFromUniqueProcessId;
  PVOID Peb;
  PVOID Session;
  struct _HANDLE_TABLE* ObjectTable;
  PVOID WoW64Process;
  UCHAR ImageFileName[15];
  UCHAR PriorityClass;
  SE_AUDIT_PROCESS_CREATION_INFO SeAuditProcessCreationInfo;
  LIST_ENTRY ThreadListHead;
  volatile ULONG ActiveThreads;
  PVOID SectionBaseAddress;
  PVOID SystemDllBase;  // ntdll.dll in it, 0: none
  NTSTATUS ExitStatus;
  PVOID VadRoot;
  LARGE_INTEGER ExitTime;
  SIZE_T QuotaUsage[2];  // nonpaged, paged pool
  SIZE_T QuotaPeak[2];
  SIZE_T QuotaLimit[2];  // 0: none
  ULONG SessionId;
  PVOID DebugPort;
  PFILE_OBJECT ImageFilePointer;    // 0: a process without a program
  PUNICODE_STRING CommandLine;      // 0: none; freed with the process
  volatile LONG64 DiskCounters[5];  // bytes read, written; operations read, write, flush
  // I/O requests of its threads: read, write, other.
  volatile LONG64 IoOperationCounts[3];
  volatile LONG64 IoTransferCounts[3];
  volatile LONG Announced;     // the notification routines have heard of its creation
  volatile LONG ExitNotified;  // ... and of its end
} EPROCESS;

typedef struct _KLDR_DATA_TABLE_ENTRY {
  LIST_ENTRY InLoadOrderLinks;
  PVOID ExceptionTable;
  ULONG ExceptionTableSize;
  PVOID GpValue;
  PVOID NonPagedDebugInfo;
  PVOID DllBase;
  PVOID EntryPoint;
  ULONG SizeOfImage;
  UNICODE_STRING FullDllName;
  UNICODE_STRING BaseDllName;
  ULONG Flags;
  USHORT LoadCount;
  USHORT u1;
  PVOID SectionPointer;
  ULONG CheckSum;
  ULONG CoverageSectionSize;
  PVOID CoverageSection;
  PVOID LoadedImports;
  PVOID Spare;
  ULONG SizeOfImageNotRounded;
  ULONG TimeDateStamp;
} KLDR_DATA_TABLE_ENTRY, *PKLDR_DATA_TABLE_ENTRY;
static_assert(sizeof(KLDR_DATA_TABLE_ENTRY) == 0xA0 && FIELD_OFFSET(KLDR_DATA_TABLE_ENTRY, DllBase) == 0x30 &&
              FIELD_OFFSET(KLDR_DATA_TABLE_ENTRY, BaseDllName) == 0x58);

extern "C" {
extern LIST_ENTRY PsLoadedModuleList;
extern LIST_ENTRY PsActiveProcessHead;
extern PEPROCESS PsInitialSystemProcess;
extern PEPROCESS PsIdleProcess;
}
