// A stand-in for the kernel in fabricated dumps: no code that runs, only the kernel's types (for the PDB) and
// the globals that a debugger looks for. nt_code.S has functions at fixed places.
#include "ex/pool_types.h"
#include "nt/eprocess.h"
#include "nt/kpcr.h"
#include "nt/ktrap.h"

extern "C" {

PKPRCB KiProcessorBlock[64];
LIST_ENTRY PsLoadedModuleList;
LIST_ENTRY PsActiveProcessHead;
PEPROCESS PsInitialSystemProcess;
PEPROCESS PsIdleProcess;
ULONG KeMaximumIncrement;
UCHAR KdDebuggerDataBlock[0x380];
CHAR NtBuildLabEx[128];
CHAR NtBuildLab[128];
ULONG64 KiBugCheckPerformanceCounter;
ULONG_PTR KiBugCheckData[5];
LARGE_INTEGER WmipSMBiosTablePhysicalAddress;
ULONG WmipSMBiosTableLength;
UNICODE_STRING CmpComputerName;

PPOOL_TRACKER_TABLE PoolTrackTable;
uint64_t PoolTrackTableSize;
PPOOL_TRACKER_BIG_PAGES PoolBigPageTable;
uint64_t PoolBigPageTableSize;
uint64_t MmNonPagedPoolStart, MmNonPagedPoolEnd;
uint64_t MmSpecialPoolStart, MmSpecialPoolEnd;
PMI_SPECIAL_POOL_SLOT MiSpecialPoolSlots;

// Complete definitions of what the commands read.
POOL_HEADER FabricatedPoolHeader;
POOL_TRACKER_TABLE FabricatedPoolTag;
POOL_TRACKER_BIG_PAGES FabricatedBigPages;
MI_SPECIAL_POOL_SLOT FabricatedSlot;
KPCR FabricatedPcr;
EPROCESS FabricatedProcess;
ETHREAD FabricatedThread;
KWAIT_BLOCK FabricatedWaitBlock;
KMUTANT FabricatedMutant;
KTRAP_FRAME FabricatedTrapFrame;
KEXCEPTION_FRAME FabricatedExceptionFrame;
KSWITCH_FRAME FabricatedSwitchFrame;
KLDR_DATA_TABLE_ENTRY FabricatedLoaderEntry;
UNICODE_STRING FabricatedString;
_KTHREAD_STATE FabricatedState;
KWAIT_REASON FabricatedReason;

}  // extern "C"
