// How much memory a process has, and how much there is for all.
#pragma once

#include "nt/ntos.h"

extern "C" {

struct MmProcessCounts {
  ULONG64 VirtualBytes, PeakVirtualBytes;
  ULONG64 CommittedPages, PeakCommittedPages;  // of private memory
  ULONG64 ResidentPages, PeakResidentPages;    // of private memory and views
  ULONG64 PageFaults;
};
// All 0 for a process without an address space of its own. IRQL <= APC_LEVEL.
VOID MmQueryProcessCounts(PEPROCESS Process, MmProcessCounts* Counts);

struct MmCommitment {
  ULONG64 Pages, Peak, Limit;
};
VOID MmQueryCommitment(MmCommitment* Commitment);

struct MmPageFileCounts {
  ULONG64 Total, InUse, Peak;  // pages; all 0 before the first page is written
};
VOID MmQueryPageFile(MmPageFileCounts* Counts);

}  // extern "C"
