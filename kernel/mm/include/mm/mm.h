// Memory management for the other kernel modules. What has an NT prototype (MmGetPhysicalAddress,
// ExAllocatePool2, ...) is called by that; here is the rest.
#pragma once

#include "boot/loader_block.h"
#include "nt/ktrap.h"
#include "nt/ntos.h"

extern "C" {

// Takes over memory from the loader: PFN database, system PTEs, pools, the module list with ntoskrnl.exe.
// Needs the processor's PCR and IDT; runs once, on the first processor. Afterwards every function below and
// the pools work.
NTSTATUS MmInitSystem(const boot::LoaderBlock* block);

// Returns the boot files' memory (MemoryType::kLoadedProgram) to the free pages: when the boot drivers are
// loaded.
VOID MmReclaimBootFiles();

// A kernel stack of 24 KiB (large: 72 KiB) above an unmapped guard page. Returns its high end, 0 without
// memory. IRQL <= DISPATCH_LEVEL. MmDeleteKernelStack takes the same high end; the stack must not be in use.
PVOID MmCreateKernelStack(BOOLEAN Large);
VOID MmDeleteKernelStack(PVOID StackBase);
inline constexpr SIZE_T kKernelStackSize = 24 * 1024;
inline constexpr SIZE_T kLargeKernelStackSize = 72 * 1024;

// From KiPageFault. FaultCode: 0 read, 1 write, 8 execute. STATUS_SUCCESS: run the instruction again.
// STATUS_IN_PAGE_ERROR | 0x10000000: not resident at DISPATCH_LEVEL or above, the caller bug checks 0xA.
// STATUS_ACCESS_VIOLATION and others: an exception. Bad system addresses below DISPATCH_LEVEL bug check here
// (0x50), as do writes to read-only (0xBE) and execution of no-execute system pages (0xFC) at any IRQL.
NTSTATUS MmAccessFault(ULONG FaultCode, PVOID VirtualAddress, KPROCESSOR_MODE PreviousMode,
                       PKTRAP_FRAME TrapFrame);

// Sets the bit of every page that belongs in a kernel dump (bit n = PFN n, LSB first; at most `Bits`), clears
// the others and returns how many are set. Takes no locks: for the crash path, the other processors being
// frozen.
ULONG64 MmDescribeDumpPages(ULONG64* Bitmap, ULONG64 Bits);

// Highest PFN of RAM + 1: how many bits the dump's bitmap needs (before rounding to 64).
ULONG64 MmHighestPfnPlusOne();

// Physically contiguous pages of RAM, zeroed, mapped in the physical map: 0 if there are none. PFN of the
// first.
PFN_NUMBER MmAllocateContiguousPages(ULONG64 Pages);
VOID MmFreeContiguousPages(PFN_NUMBER First, ULONG64 Pages);

// The address of RAM (or of the device window, uncached) in the physical map.
FORCEINLINE PVOID MmPhysicalToVirtual(ULONG64 Physical) {
  return reinterpret_cast<PVOID>(boot::kPhysicalMapBase + Physical);
}

// Removes the loader's identity map (PML4 slot 0): once all processors run. Flushes every TLB.
VOID MmRemoveIdentityMap();

// A new address space that shares the system half: physical address of its PML4, 0 without memory.
ULONG64 MmCreateProcessAddressSpace();

// What mm has and what it did since boot. PASSIVE_LEVEL; what waits for its next use (the pools' caches,
// stacks, ranges that wait for a TLB flush) is given back first, so that pages can be compared exactly.
struct MmCounts {
  ULONG64 AvailablePages;
  ULONG64 NonPagedPoolPages;  // resident
  ULONG64 PagedPoolPages;     // addresses
  ULONG64 ResidentPagedPoolPages;
  ULONG64 FreeSystemPtes;
  ULONG64 PageFileSlots;  // in use
  ULONG64 Transitions;    // pages that were still in memory
  ULONG64 DemandZeroes;
  ULONG64 CopyOnWrites;
  ULONG64 PageReads;         // from the page file and from mapped files
  ULONG64 PageWrites;        // to the page file
  ULONG64 MappedPageWrites;  // to mapped files
};
VOID MmQueryCounts(MmCounts* Counts);

// TrackLockedPages: who locked a program's pages is remembered (0xCB); TrackPtes: who holds system PTEs
// (0xD8).
VOID MmSetTracking(BOOLEAN LockedPages, BOOLEAN Ptes);

// The type of section objects: after ob.
NTSTATUS MmInitSections();

// The lower half of a process with a page table of its own (MmCreateProcessAddressSpace). Clean unmaps
// everything when the process ends, and stops the machine when a driver left pages locked; Delete gives the
// page tables back when nobody can refer to the process any more. PASSIVE_LEVEL.
NTSTATUS MmInitializeProcessAddressSpace(PEPROCESS Process);
VOID MmCleanProcessAddressSpace(PEPROCESS Process);
VOID MmDeleteProcessAddressSpace(PEPROCESS Process);

// Makes the pages of pageable sections and of paged pool that nobody has locked not resident; returns how
// many. IRQL <= APC_LEVEL.
ULONG64 MmTrimPageableImages();
ULONG64 MmTrimPagedPool();
ULONG64 MmTrimDriver(struct _KLDR_DATA_TABLE_ENTRY* Entry);

// The start routine of the thread that makes pageable memory leave while few pages are free; and how few.
[[noreturn]] VOID NTAPI KeBalanceSetManager(PVOID Context);
inline constexpr ULONG64 MM_DEFAULT_LOW_PAGES = ~0ull;  // a 64th of the machine, at most 1024
VOID MmSetLowPages(ULONG64 Pages);                      // 0: nothing leaves

// Special pool: what an address without a page is there. No locks: for faults and the crash path.
enum MmSpecialPoolFault : ULONG { MmNotSpecialPool, MmSpecialPoolGuard, MmSpecialPoolFreed };
MmSpecialPoolFault MmClassifySpecialPoolAddress(PVOID Address);

// What an image allocated from the pools and has not freed: one call per block. The callback runs at
// APC_LEVEL or DISPATCH_LEVEL with the pool's lock held: it must not touch the pool nor pageable memory.
// Returns the number of blocks.
struct MmPoolBlock {
  PVOID Address;
  SIZE_T Bytes;
  ULONG Tag;
  BOOLEAN Paged;
  PVOID Caller;  // return address of the allocating call
};
typedef VOID (*MmPoolBlockCallback)(const MmPoolBlock* Block, PVOID Context);
ULONG64 MmQueryPoolOfImage(const struct _KLDR_DATA_TABLE_ENTRY* Entry, MmPoolBlockCallback Callback,
                           PVOID Context);

}  // extern "C"
