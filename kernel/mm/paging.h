// Paging: bringing pages in, trimming, the page file, locks of pages (fault.cpp, paging.cpp, page_file.cpp,
// page_lock.cpp).
#pragma once

#include "mm/pte.h"

namespace mm {

// Makes the page of a system address resident. IRQL <= APC_LEVEL. False: nothing is there, no memory, or the
// page file could not be read.
bool MakeResident(ULONG64 va);
// The same for any kind of access to any address of the current address space: STATUS_ACCESS_VIOLATION,
// STATUS_GUARD_PAGE_VIOLATION (and the guard is gone), STATUS_NO_MEMORY, STATUS_IN_PAGE_ERROR.
enum class Access : UCHAR { kRead = 0, kWrite = 1, kExecute = 8 };
NTSTATUS ResolveFault(ULONG64 va, Access access);
// Makes a transition, demand-zero or paged-out PTE valid. STATUS_ACCESS_VIOLATION: it is none of these.
NTSTATUS BringIn(PMMPTE pte);
// Page-out may stop when that many pages are free.
inline constexpr ULONG64 kAllPages = ~0ull;
// The same for everything that can be paged. The page file is open. PASSIVE_LEVEL.
void PageOutAll(ULONG64 enough);
// Writes the transition pages of a range to the page file and frees them; returns how many. IRQL <=
// APC_LEVEL, and the TLBs were flushed since the pages were trimmed.
ULONG64 PageOutRange(ULONG64 va, ULONG64 pages, ULONG64 enough = kAllPages);
// Opens the page file, at the first time. PASSIVE_LEVEL. False: there is none, and nothing is paged out.
bool OpenPageFile();
// The driver whose file system holds the page file: none of it is ever written out. 0: no page file.
struct _KLDR_DATA_TABLE_ENTRY* PageFileDriver();
// Slots of the page file, a page each; 0: none left.
ULONG AllocateSlot();
void FreeSlot(ULONG slot);
NTSTATUS WriteSlot(ULONG slot, PFN_NUMBER pfn);
NTSTATUS ReadSlot(ULONG slot, PFN_NUMBER pfn);
// A paging request to a file: `bytes` (at most a page) between the page and the file; less only at a read
// across the file's end. IRQL <= APC_LEVEL.
NTSTATUS PagingTransfer(PFILE_OBJECT file, bool write, PFN_NUMBER pfn, ULONG64 offset, ULONG bytes,
                        ULONG* done);
// Asks or tells the file system something about a file, by its object. IRQL <= APC_LEVEL.
NTSTATUS FileInformation(PFILE_OBJECT file, bool set, FILE_INFORMATION_CLASS info_class, PVOID buffer,
                         ULONG bytes);
ULONG64 SlotsInUse();
// Locks a page of the current address space, resident and with the access asked for, until UnlockPage. Errors
// as ResolveFault; not resident at DISPATCH_LEVEL is STATUS_ACCESS_VIOLATION. IRQL <= DISPATCH_LEVEL.
NTSTATUS LockPage(ULONG64 va, bool write, PFN_NUMBER* pfn);
// `written`: a device or a driver may have written to it meanwhile.
void UnlockPage(PFN_NUMBER pfn, bool written = false);
// Takes away one reference of a page: freed with the last (a page that is still locked by an MDL stays).
void DropPage(PFN_NUMBER pfn);
// Gives back what a PTE that is no longer in a page table holds: page or slot. Not for views' shared pages.
void DropPte(MMPTE old);
// Turns valid, unlocked pages into transition pages; returns how many. The caller flushes every TLB when it
// is done.
ULONG64 TrimRange(ULONG64 va, ULONG64 pages);

void InitPaging();
bool InitSections();
// Gives back the stacks that wait for the next thread.
void FlushStackCache();
// Counters of MmQueryCounts.
struct Events {
  volatile LONG64 transitions;
  volatile LONG64 demand_zeroes;
  volatile LONG64 copies;
  volatile LONG64 reads;
  volatile LONG64 writes;
  volatile LONG64 mapped_writes;
};
extern Events g_events;
inline void Count(volatile LONG64& event) {
  __atomic_fetch_add(&event, 1, __ATOMIC_RELAXED);
}

struct Configuration {
  bool track_locked_pages;
  bool track_ptes;
};
extern Configuration g_configuration;

}  // namespace mm
